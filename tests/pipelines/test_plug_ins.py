"""Plug-ins: the packages of the page are what it says they are, and every door answers alike."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from flows.launchers import LAUNCHERS, JobEnd, LauncherModule, Launching, TrainJob, launched, local
from flows.launchers.local import LocalSettings
from pipelines.annotators import (
    BEATS,
    CHORDS,
    KEY,
    RATE_HZ,
    BeatAnnotator,
    ChordAnnotator,
    KeyAnnotator,
    default,
    windows,
)
from pipelines.annotators.windows import annotate_waves
from pipelines.codecs import CODECS, CodecModule, mel, open_codec
from pipelines.embedders import EMBEDDERS, ClipSound, EmbedderModule, bridge
from pipelines.embedders import describe as describe_embedder
from pipelines.embedders.child import describe as describe_in_child
from pipelines.errors import PipelineError
from pipelines.plug_ins import Door
from pipelines.stages.output import encode
from pipelines.synthesis.compose import compose
from pipelines.synthesis.render import render
from pipelines.trust.trusted import requested
from schemas.label_recipe import LabelRecipe
from schemas.labels import Labels
from schemas.recipe import AnnotateRecipe, EncodeRecipe, Recipe
from tests.support.building import ROOT
from training.diffusion import frozen_encoder
from training.diffusion.text_encoder import TEXT_ENCODERS, TextEncoderModule, open_text_encoder
from training.evaluation.scorers import (
    SCORERS,
    ObservedClips,
    ScorerChoice,
    ScorerModule,
    audioset,
    open_scorer,
)
from training.run import recipe as training

PAGE = ROOT / "pipelines/plug-ins.md"
DOORS: list[tuple[Door[object], list[str]]] = [
    (BEATS, ["obbligato"]),
    (CHORDS, ["obbligato"]),
    (KEY, ["obbligato"]),
    (CODECS, ["audioldm", "dac", "encodec", "mel", "oobleck", "same", "vae", "wave"]),
    (EMBEDDERS, ["bridge", "clap"]),
    (LAUNCHERS, ["kubernetes", "local", "slurm"]),
    (SCORERS, ["ast"]),
    (TEXT_ENCODERS, ["transformers"]),
]
every_door = pytest.mark.parametrize(
    ("door", "ours"), DOORS, ids=[door.kind.replace(" ", "-") for door, _ in DOORS]
)
Install = Callable[..., None]


def page_files() -> dict[str, str]:
    """The files that the page shows, by name."""
    shown = re.findall(r"^```\w+\n# (obbligato-\S+)\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return dict(shown)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of one module, as pip lays it out."""

    def installed(package: str, entries: str, source: str = "", version: str = "0.1") -> None:
        folder = tmp_path / package
        info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(entries)
        (folder / f"{package.replace('-', '_')}.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder))

    return installed


@pytest.fixture
def from_page(install: Install) -> Callable[[str], None]:
    """Install a package of the page."""
    shown = page_files()

    def installed(package: str) -> None:
        entries = re.sub(
            r'\[project\.entry-points\."(.*?)"\]',
            r"[\1]",
            shown[f"{package}/pyproject.toml"].replace(' = "', " = ").replace('"\n', "\n"),
        )
        install(package, entries, shown[f"{package}/{package.replace('-', '_')}.py"])

    return installed


@pytest.mark.slow
def test_the_pages_annotator_is_built_by_pip_and_its_command_labels_a_composed_piece(
    tmp_path: Path,
) -> None:
    for name, text in page_files().items():
        if name.startswith("obbligato-krumhansl/"):
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    packages = tmp_path / "packages"
    pip = "-m pip install --quiet --no-build-isolation --no-deps --no-index"
    subprocess.run(
        [sys.executable, *pip.split(), "--target", packages, "./obbligato-krumhansl"],
        cwd=tmp_path,
        check=True,
    )
    soundfile.write(tmp_path / "song.wav", render(compose(2)), RATE_HZ)
    [command] = re.findall(r"^obbligato (annotate .*)$", PAGE.read_text(), re.M)
    answered = subprocess.run(
        [sys.executable, "-P", "-m", "flows.cli", *shlex.split(command), "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{packages}"},
        capture_output=True,
        text=True,
        check=True,
    )
    labels = Labels.model_validate(json.loads(answered.stdout)["labels"])
    assert (labels.key.key, compose(2).key.name) == (compose(2).key, "A minor")
    assert (labels.key.tool, labels.key.version) == ("krumhansl", "0.1")
    assert labels.key.confidence == pytest.approx(0.87, abs=0.01)
    assert labels.beats.tool.startswith("madmom")


def test_the_pages_annotator_hears_no_key_in_silence(from_page: Callable[[str], None]) -> None:
    from_page("obbligato-krumhansl")
    recipe = AnnotateRecipe(
        beats="tests.support.plug_ins.plain_annotator",
        chords="tests.support.plug_ins.plain_annotator",
        key="krumhansl",
        silence_db=-200,
    )
    [labels] = annotate_waves([np.zeros(RATE_HZ, np.float32)], recipe)
    assert (labels.key.key, labels.key.tool, labels.beats.tool) == (None, "krumhansl", "plain")


def test_the_pages_codec_gives_back_what_it_was_given(from_page: Callable[[str], None]) -> None:
    from_page("obbligato-folded")
    codec = open_codec("folded")
    waves_BS = torch.rand(2, 100, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents_BCTF = codec.encode(waves_BS)
    assert latents_BCTF.shape == (2, codec.facts.channels, codec.facts.frames(100), 1)
    assert torch.allclose(codec.decode(latents_BCTF)[:, :100], waves_BS)
    assert not codec.decode(latents_BCTF)[:, 100:].any()


def test_the_pages_text_encoder_reads_bytes(from_page: Callable[[str], None]) -> None:
    from_page("obbligato-bytes")
    tokens = open_text_encoder(encoder="bytes", max_tokens=3).encode(["A é", ""])
    assert tokens.states_BLD[0].argmax(1)[:3].tolist() == [65, 32, 0xC3]
    assert tokens.mask_BL.sum(1).tolist() == [3, 1]


def test_the_pages_scorer_tells_a_sine_from_a_square(from_page: Callable[[str], None]) -> None:
    from_page("obbligato-crest")
    scorer = open_scorer(ScorerChoice(name="crest"))
    wave = np.sin(2 * np.pi * 441 * np.arange(44_100) / 44_100).astype(np.float32)
    square = (np.sign(wave) / 2).astype(np.float32)
    rows = scorer.observe([wave, square])
    [found] = scorer.score(ObservedClips(rows, np.zeros((0, 1))))
    assert found.values == pytest.approx((3.01, 0.0), abs=0.1)


def test_a_plug_in_is_not_handed_the_name_of_our_own_weights(install: Install) -> None:
    install(
        "obbligato-echo",
        "[obbligato.text_encoders]\necho = obbligato_echo",
        "class Echo:\n    def __init__(self, source, device, max_tokens):\n        "
        "self.identity = source\n\n\nopen_text_encoder = Echo\n",
    )
    assert open_text_encoder(encoder="echo").identity == ""
    assert open_text_encoder("a/b", encoder="echo").identity == "a/b"


def test_the_pages_launcher_runs_a_job_where_ssh_leads(
    from_page: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_page("obbligato-ssh")
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text('#!/bin/sh\necho "$2 is reached"\nexec sh -c "$3"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    launching = Launching(launcher="ssh", settings={"host": "gpu1", "python": sys.executable})
    out = tmp_path / "a run"
    declared: list[str] = []
    job = TrainJob(arguments=(str(out),), out=str(out), module="tests.flows.launchers.pretend")
    assert launched(launching.made, job, declared.append) == JobEnd(0)
    assert declared[0] == "gpu1 is reached"
    assert list(out.glob("turn-*"))
    with pytest.raises(ValueError, match=r"the ssh launcher: port: .*; it has host, python"):
        Launching(launcher="ssh", settings={"host": "gpu1", "port": 1})


def test_an_embedders_package_is_known_where_its_child_runs(install: Install) -> None:
    install(
        "obbligato-plain", "[obbligato.embedders]\nplain = tests.support.plug_ins.plain_embedder"
    )
    [found] = describe_in_child([LabelRecipe(embedder="plain")], None)
    assert (found.name, found.package) == ("plain", "obbligato-plain 0.1")
    wave = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    loaded = EMBEDDERS.offer("plain").load(LabelRecipe(embedder="plain"))
    [vector] = loaded.embed_audio([ClipSound(wave)])
    edges_hz = np.geomspace(100, 6000, len(vector) + 1)
    assert edges_hz[vector.argmax()] < 440 < edges_hz[vector.argmax() + 1]


@pytest.mark.parametrize("package", ["krumhansl", "folded", "bytes", "ssh", "muq", "crest"])
def test_every_module_of_the_page_is_python(package: str) -> None:
    name = f"obbligato-{package}/obbligato_{package}.py"
    compile(page_files()[name], name, "exec")


def test_our_own_modules_are_what_the_protocols_ask() -> None:
    """The annotations are the claim, which mypy checks."""
    beats: BeatAnnotator = default
    chords: ChordAnnotator = default
    key: KeyAnnotator = default
    codec: CodecModule = mel
    embedder: EmbedderModule = bridge
    launcher: LauncherModule[LocalSettings] = local
    encoder: TextEncoderModule = frozen_encoder
    scorer: ScorerModule = audioset
    assert [BEATS.offer("obbligato"), CHORDS.offer("obbligato")] == [beats, chords]
    assert [KEY.offer("obbligato"), CODECS.offer("mel")] == [key, codec]
    assert [EMBEDDERS.offer("bridge"), TEXT_ENCODERS.offer("transformers")] == [embedder, encoder]
    assert LAUNCHERS.offer("local") is launcher
    assert SCORERS.offer("ast") is scorer


@every_door
def test_our_own_are_all_there_and_come_in_no_package(door: Door[object], ours: list[str]) -> None:
    assert sorted(door.built_in) == ours
    for name in ours:
        door.check(name)
        assert (door.is_built_in(name), door.package(name)) == (True, "")


@every_door
def test_an_unknown_name_is_answered_with_what_is_there(
    door: Door[object], ours: list[str], install: Install
) -> None:
    install("obbligato-harp", f"[{door.group}]\nharp = obbligato_harp", version="2.1")
    listed = ", ".join([*ours, r"harp \(of obbligato-harp 2.1\)"])
    for ask in (door.offer, door.check):
        with pytest.raises(
            PipelineError,
            match=f"no {door.kind} called 'harq': expected {listed}, a module's dotted name, or a "
            f"package that offers it as an entry point of {door.group}",
        ):
            ask("harq")
        with pytest.raises(PipelineError, match=f"no {door.kind} called 'no.such'"):
            ask("no.such")


@every_door
def test_a_folder_given_for_a_name_is_told_to_be_weights(
    door: Door[object], ours: list[str], tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match=f"no {door.kind} called .*; a folder of weights is "):
        door.check(str(tmp_path))


@every_door
def test_what_cannot_be_imported_or_lacks_a_function_is_named_with_its_package(
    door: Door[object], ours: list[str], install: Install
) -> None:
    install("obbligato-odd", f"[{door.group}]\nodd = obbligato_odd", "x = 1 / 0")
    install("obbligato-empty", f"[{door.group}]\nempty = obbligato_empty")
    with pytest.raises(
        PipelineError,
        match=rf"{door.kind} 'odd' of obbligato-odd 0\.1 cannot be loaded: ZeroDivisionError",
    ):
        door.offer("odd")
    with pytest.raises(
        PipelineError, match=rf"'empty' of obbligato-empty 0\.1 has no {door.needs[0]}: "
    ):
        door.offer("empty")


@every_door
def test_two_packages_of_one_name_are_refused_and_none_takes_ours(
    door: Door[object], ours: list[str], install: Install
) -> None:
    for package in ("obbligato-a", "obbligato-b"):
        install(package, f"[{door.group}]\nharp = x\n{ours[0]} = x")
    with pytest.raises(
        PipelineError, match=r"is offered more than once, by obbligato-a 0\.1 and obbligato-b 0\.1"
    ):
        door.offer("harp")
    door.check(ours[0])
    assert door.package(ours[0]) == ""


def test_a_new_version_of_a_package_is_seen_by_all_that_came_from_it(
    install: Install, tmp_path: Path
) -> None:
    install("obbligato-flat", "[obbligato.annotators]\nflat = obbligato_flat", version="1")
    install(
        "obbligato-level", "[obbligato.codecs]\nlevel = tests.pipelines.codecs.level", version="3"
    )
    install(
        "obbligato-plain",
        "[obbligato.embedders]\nplain = tests.support.plug_ins.plain_embedder",
        version="4",
    )
    recipe = Recipe(annotate=AnnotateRecipe(key="flat"))
    before = windows.tools(recipe)
    (tmp_path / "obbligato-flat/obbligato_flat-1.dist-info").rename(
        tmp_path / "obbligato-flat/obbligato_flat-2.dist-info"
    )
    metadata = tmp_path / "obbligato-flat/obbligato_flat-2.dist-info/METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1", "Version: 2"))
    after = windows.tools(recipe)
    assert (before.pop("flat"), after.pop("flat")) == ("obbligato-flat 1", "obbligato-flat 2")
    assert before == after
    assert before["obbligato"] == windows.tools(Recipe())["obbligato"]
    assert CODECS.package("level") == "obbligato-level 3"
    assert describe_embedder(LabelRecipe(embedder="plain")).package == "obbligato-plain 4"


def test_latents_depend_on_the_version_of_the_codecs_package(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("obbligato-level", "[obbligato.codecs]\nlevel = tests.pipelines.codecs.level")
    monkeypatch.setattr(encode, "codec_facts", lambda recipe: open_codec("level").facts)
    tools = encode.tools(Recipe(encode=EncodeRecipe(codec="level")))
    assert tools["level"] == "1 (obbligato-level 0.1)"


def test_data_names_no_plug_in_that_its_reader_has_not_named() -> None:
    recipe = Recipe(
        annotate=AnnotateRecipe(beats="thump", chords="strum", key="krumhansl"),
        encode=EncodeRecipe(codec="folded"),
        label=LabelRecipe(embedder="muq"),
    )
    assert set(requested(recipe)) == {
        "annotate.beats=thump",
        "annotate.chords=strum",
        "annotate.key=krumhansl",
        "encode.codec=folded",
        "label.embedder=muq",
    }
    text, codec = training.TextRecipe(encoder="bytes"), training.CodecRecipe(name="folded")
    assert training.foreign_names(text, codec) == ("text.encoder=bytes", "codec.name=folded")


def test_a_strangers_folder_is_not_handed_to_a_plug_in_of_training(tmp_path: Path) -> None:
    text = training.TextRecipe(encoder="bytes", source=str(tmp_path))
    codec = training.CodecRecipe(name="folded", source=str(tmp_path))
    assert f"text.source={tmp_path}" in training.foreign_names(text)
    assert f"codec.source={tmp_path}" in training.foreign_names(text, codec)
    ours = training.TextRecipe(source=str(tmp_path)), training.CodecRecipe(source=str(tmp_path))
    assert training.foreign_names(*ours) == ()


def test_checkpoints_from_before_text_encoders_had_a_door_are_read() -> None:
    stored = {"source": "google/flan-t5-large", "max_tokens": 256, "cache_mb": 0.0}
    assert training.TextRecipe.model_validate(stored).encoder == "transformers"
