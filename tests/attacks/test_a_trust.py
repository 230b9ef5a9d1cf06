"""Trust, attacked: what is printed to be pasted, a place that was trusted once, and what a
stranger's build would read of its reader's.
"""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.build.local import build, retry, verify_build
from flows.build.run_step import trust_recipe
from pipelines.beam.options import Engine
from pipelines.build.outputs import Job
from pipelines.build.tables import BEGUN
from pipelines.engine.bucket import local_files
from pipelines.errors import DeadInput
from pipelines.trust import trusted
from pipelines.trust.trusted import NotTrusted, reached, requested
from schemas.corpus import Source
from schemas.label_recipe import LabelRecipe
from schemas.recipe import (
    CaptionRecipe,
    EncodeRecipe,
    IngestRecipe,
    LlmRecipe,
    Paraphraser,
    Price,
    Recipe,
)
from tests.support.running import obbligato
from tests.support.small_build import Built

Change = Callable[[str, str], None]


def test_a_trust_the_line_to_paste_is_one_word_per_name(
    strange: Path, in_recipe: Change, tmp_path: Path
) -> None:
    name = f"encode.codec=a.b; touch {tmp_path}/ran #`touch {tmp_path}/ran`"
    in_recipe('codec = ""', f"codec = {json.dumps(name.partition('=')[2])}")
    output = obbligato("verify", strange).stderr
    assert shlex.split(output.rpartition("if you trust it: ")[2]) == [
        "obbligato",
        "trust",
        str(strange),
        name,
    ]


def test_a_trust_a_name_with_a_line_break_is_one_name(
    strange: Path, in_recipe: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_recipe('codec = ""', r'codec = "a.b\nlabel.python=/bin/sh"')
    monkeypatch.setenv(trusted.VARIABLE, "encode.codec=a.b\nlabel.python=/bin/sh")
    with pytest.raises(NotTrusted, match=re.escape("encode.codec=a.b\nlabel.python=/bin/sh")):
        verify_build(str(strange), Engine(), lambda _: None)
    assert (
        r"wanted   encode.codec=a.b\nlabel.python=/bin/sh"
        in obbligato("trust", strange).stdout.splitlines()
    )


@pytest.mark.parametrize(
    ("spent", "wants"),
    [
        (LlmRecipe(budget_usd=500), "llm.budget_usd=500"),
        (
            LlmRecipe(budget_usd=2, prices={"gpt-4o-mini": Price(prompt=0, answer=0)}),
            "llm.prices=",
        ),
    ],
)
def test_a_trust_of_a_place_holds_for_no_larger_budget_of_another_who_stands_there(
    spent: LlmRecipe, wants: str, tmp_path: Path
) -> None:
    asks = CaptionRecipe(paraphraser=Paraphraser.OPENAI)
    trust_recipe(str(tmp_path), Recipe(caption=asks, llm=LlmRecipe(budget_usd=2)))
    left = set(requested(Recipe(caption=asks, llm=spent))) - trusted.trusted(str(tmp_path))
    assert [name[: len(wants)] for name in left] == [wants]


def test_a_trust_a_plug_in_is_not_handed_a_strangers_folder(tmp_path: Path) -> None:
    """Our own readers take safetensors alone; what a plug-in does with a folder, nobody here
    knows.
    """
    label, encode = (
        LabelRecipe(embedder="muq", model=str(tmp_path)),
        EncodeRecipe(codec="company.codec", source=str(tmp_path)),
    )
    assert set(requested(Recipe(label=label, encode=encode))) == {
        "label.embedder=muq",
        f"label.model={tmp_path}",
        "encode.codec=company.codec",
        f"encode.source={tmp_path}",
    }
    assert requested(Recipe(label=LabelRecipe(model=str(tmp_path)))) == ()


@pytest.fixture
def private(tmp_path: Path) -> Path:
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary/texts.txt").write_text("My secret thoughts on slow pianos\n")
    return tmp_path / "diary"


def test_a_trust_sources_of_a_strangers_build_are_not_read(strange: Path, private: Path) -> None:
    (strange / "sources.json").write_text(json.dumps([str(private)]))
    (strange / BEGUN.name).unlink()
    shutil.rmtree(strange / "listing")
    for command in (["dead", "retry", str(strange)], ["encode", str(strange), "--codec", "mel"]):
        output = obbligato(*command)
        assert (output.returncode, output.stdout) == (1, "")
        assert f"source={private}" in output.stderr
    assert not (strange / "listing").exists()


@pytest.mark.parametrize("knob", ["vocabularies", "exclude"])
def test_a_trust_texts_of_its_reader_do_not_get_into_a_strangers_labels(
    strange: Path, in_recipe: Change, private: Path, knob: str
) -> None:
    texts = private / "texts.txt"
    in_recipe(f"{knob} = []", f'{knob} = ["{texts}"]')
    with pytest.raises(NotTrusted, match=f"label.{knob}={texts}"):
        retry(str(strange), [], Engine(), lambda _: None)


def test_a_trust_inner_networks_and_other_protocols_are_not_asked_for_a_stranger() -> None:
    far = IngestRecipe(protocols=("s3", "http", "ssh"), private_addresses=True, follow_links=True)
    assert reached([], Recipe(ingest=far)) == (
        "ingest.protocols=http",
        "ingest.protocols=ssh",
        "ingest.private_addresses=true",
        "ingest.follow_links=true",
    )


def test_a_trust_whoever_built_it_goes_on_without_a_word(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "own"
    shutil.copytree(built.out, out)
    build(built.sources, str(out), built.recipe, Engine(), lambda _: None)
    assert retry(str(out), [], Engine(), lambda _: None).samples == built.dataset.samples
    monkeypatch.setenv(trusted.FOLDER, str(tmp_path / "a file/none"))
    (tmp_path / "a file").touch()  # where nothing can be remembered, a build is made all the same
    assert (
        build(built.sources, str(out), built.recipe, Engine(), lambda _: None).samples
        == built.dataset.samples
    )


@pytest.mark.parametrize(
    "address",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1/x?key",
        "http://host/b.wav?s",
        ["x"],
        None,
    ],
)
def test_d_private_addresses_that_came_with_a_build_lead_nowhere_else(
    address: Any, tmp_path: Path
) -> None:
    uri = "http://host/a.wav#q=0011223344556677"
    (tmp_path / "private").mkdir()
    (tmp_path / "private/addresses-00.jsonl").write_text(json.dumps([uri, address]) + "\n")
    job = Job(str(tmp_path), "", Recipe(ingest=IngestRecipe(protocols=("http",))))
    with (
        local_files(job) as local,
        pytest.raises(DeadInput, match="whole address is not in private"),
    ):
        local(Source(uri=uri))
