"""Table I of the security review: hostile samples, damaged checkpoints and strangers' models in
training.
"""

import io
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from flows.screens.model_card import UNKNOWN
from flows.screens.model_files import write_model_card
from pipelines.audio.decode import decoded
from pipelines.codecs import open_codec
from pipelines.errors import DeadInput, PipelineError
from pipelines.storage.arrow import npy_bytes
from pipelines.storage.tar import TarWriter
from pipelines.trust.trusted import NotTrusted, trust
from tests.pipelines.shards.shard_samples import flac
from tests.training.data.shards import BANDS, CHANNELS, FRAMES, latent, sample_of
from tests.training.runs import corpus, edited, recipe
from training.diffusion.text_encoder import open_text_encoder
from training.errors import BadData, TrainingError
from training.generation.generate import Generator
from training.run import checkpoints
from training.run.loop import train

ROOT = Path(__file__).parents[2]
SONGS = 12
BAD = 3  # the stranger's one among them


def npy(shape: str, descr: str = "<f2", body: bytes = bytes(64)) -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def archive() -> bytes:
    out = io.BytesIO()
    np.savez(out, np.zeros((CHANNELS, FRAMES, BANDS), np.float16))
    return out.getvalue()


def filled(value: float) -> bytes:
    return npy_bytes(np.full((CHANNELS, FRAMES, BANDS), value, np.float64))


def shards_with(folder: Path, members: dict[str, bytes], *, latents: bool = True) -> Path:
    """A shard of a dozen samples; members of one are replaced."""
    folder.mkdir()
    with (folder / "train-00000.tar").open("wb") as out:
        tar = TarWriter(out)
        for number in range(SONGS):
            sample = sample_of(number)
            whole = {"latent.npy": latent(number)} if latents else {}
            whole |= {"flac": flac(2.0), "json": sample.model_dump_json().encode()}
            for extension, content in (whole | members if number == BAD else whole).items():
                tar.add(f"{sample.key}.{extension}", content)
        tar.close()
    return folder


def trained_on(folder: Path, out: Path) -> str:
    """What a run of an epoch tells of the sample that it left out; it ends by itself, with one
    unusable sample.
    """
    lines: list[str] = []
    rules = recipe(folder, run__steps=3, data__unusable=0.2, run__survey=1)
    assert train(rules, str(out), lines.append).step == 3
    state = json.loads((out / checkpoints.folder_of(3) / "state.json").read_text())
    assert state["unusable"] == 1
    return lines[-1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (archive(), "not a NumPy file"),
        (npy("(64, 100000000, 8)"), "claims the shape"),
        (npy("(64, 10000000000000, 8)"), "claims the shape"),
        (npy("(64, 16, 8)", "<U9"), "not floating-point numbers"),
        (npy("(64, 16, 8)", "|O"), "not floating-point numbers"),
        (filled(float("nan")), "NaN or infinite"),
        (filled(1e300), "absurdly large"),
    ],
)
def test_i1_a_hostile_latent_costs_its_sample_and_no_run(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    output = trained_on(shards_with(tmp_path / "shards", {"latent.npy": content}), tmp_path / "run")
    assert "1 samples could not be used" in output
    assert reason in output


def lying_flac() -> bytes:
    """A FLAC of two seconds whose header claims 48 days."""
    content = bytearray(flac(2.0))
    claimed = int.from_bytes(content[18:26], "big") >> 36 << 36 | ((1 << 35) - 1)
    content[18:26] = claimed.to_bytes(8, "big")
    return bytes(content)


def float_wave(value: float) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.full(16_000, value, np.float32), 8000, format="WAV", subtype="FLOAT")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lying_flac(), "34359738367 frames"),
        (float_wave(float("nan")), "not finite"),
        (float_wave(1e30), "far above full scale"),
    ],
)
def test_i2_hostile_sound_costs_its_sample_and_no_run(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    assert reason in trained_on(
        shards_with(tmp_path / "shards", {"flac": content}, latents=False), tmp_path / "run"
    )


@pytest.mark.slow
def test_i2_two_silent_hours_are_refused_before_memory_is_taken() -> None:
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", 48_000, 2, format="FLAC", subtype="PCM_16") as file:
        for _ in range(120):
            file.write(np.zeros((60 * 48_000, 2), np.int16))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DeadInput, match="345600000 frames of 2 channels"):
        decoded(out.getvalue())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # KiB


def test_i3_absurd_times_in_a_sample_cost_it_alone(tmp_path: Path) -> None:
    sample = sample_of(BAD)
    late = sample.beats.replaced(times_s=(0.5, 1e300), numbers=(1, 2))
    content = (
        sample.replaced(beats=late, tempo=sample.tempo.replaced(bpm=1e308))
        .model_dump_json()
        .encode()
    )
    assert "names a time of 1e+300 s" in trained_on(
        shards_with(tmp_path / "shards", {"json": content}), tmp_path / "run"
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nine steps with checkpoints after three, six and nine."""
    folder = tmp_path_factory.mktemp("whole")
    train(rules_of(folder), str(folder / "run"), lambda _: None)
    return folder


def rules_of(folder: Path) -> Any:
    shards = folder / "shards"
    return recipe(
        shards if shards.exists() else corpus(shards),
        run__steps=9,
        run__checkpoint_every=3,
        sampling__steps=2,
    )


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def lying(file: Path) -> None:
    file.write_bytes((1 << 40).to_bytes(8, "little") + file.read_bytes()[8:])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


def worded(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"step": "nine"}))


def torn(file: Path) -> None:
    file.write_text(file.read_text()[:20])


def other_step(file: Path) -> None:
    file.write_text(file.read_text().replace('"step": 9', '"step": 8'))


@pytest.mark.parametrize(
    ("name", "hurt"),
    [
        ("model.safetensors", cut),
        ("model.safetensors", emptied),
        ("model.safetensors", lying),
        ("model.safetensors", flipped),
        ("ema.safetensors", flipped),
        ("optimizer.pt", cut),
        ("optimizer.pt", flipped),
        ("recipe.json", flipped),
        ("state.json", worded),
        ("state.json", torn),
        ("state.json", other_step),
        ("corpus.json", Path.unlink),
    ],
)
def test_i4_a_damaged_last_checkpoint_is_told_and_the_one_before_it_goes_on(
    name: str, hurt: Callable[[Path], None], whole: Path, tmp_path: Path
) -> None:
    run, last = tmp_path / "run", tmp_path / "run" / checkpoints.folder_of(9)
    shutil.copytree(whole / "run", run)
    hurt(last / name)
    lines: list[str] = []
    assert train(rules_of(whole), str(run), lines.append).step == 9
    assert any(
        line.startswith(f"{last} is damaged and not used: ") and name in line for line in lines
    )
    assert any(line.startswith("going on from step 6") for line in lines)
    for file in ("model.safetensors", "ema.safetensors"):  # and it comes to the same, to the bit
        assert (last / file).read_bytes() == (
            whole / "run" / checkpoints.folder_of(9) / file
        ).read_bytes()


def test_i4_a_model_plays_from_the_checkpoint_before_a_damaged_one(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    cut(tmp_path / "run" / checkpoints.folder_of(9) / "ema.safetensors")
    assert Generator.of(str(tmp_path / "run")).name.endswith("step-00000006")
    assert (
        "step-00000009 is damaged and not used: ema.safetensors is not what was written"
        in caplog.text
    )


def test_i4_where_no_checkpoint_is_whole_one_line_says_so(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    for step in (3, 6, 9):
        flipped(tmp_path / "run" / checkpoints.folder_of(step) / "model.safetensors")
    with pytest.raises(
        TrainingError,
        match=(
            r"holds no whole checkpoint "
            r"\(checkpoints/step-00000009: model.safetensors is not what"
        ),
    ) as caught:
        train(rules_of(whole), str(tmp_path / "run"), lambda _: None)
    assert "\n" not in str(caught.value)


def test_i4_the_last_whole_checkpoint_outlives_newer_damaged_ones(
    whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    for step in (6, 9):
        flipped(run / checkpoints.folder_of(step) / "model.safetensors")
    rules = rules_of(whole)
    stopping = rules.replaced(run=rules.run.replaced(checkpoint_every=1, keep=2))

    def stop(line: str) -> None:
        if line.startswith("step 5 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopping, str(run), stop)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "step-00000003",
        "step-00000004",
    ]


def without_hashes(checkpoint: Path) -> None:
    """As checkpoints were before their files had hashes; and so that a file can be changed by
    hand.
    """
    state = json.loads((checkpoint / "state.json").read_text())
    state.pop("files", None)
    (checkpoint / "state.json").write_text(json.dumps(state))


def spoiled(file: Path, value: float) -> None:
    """One weight of a file has another value."""
    content = bytearray(file.read_bytes())
    content[-4:] = np.float32(value).tobytes()
    file.write_bytes(bytes(content))


def test_i5_a_spoiled_weight_is_blamed_and_not_the_samples(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    shutil.rmtree(run / checkpoints.folder_of(9))
    without_hashes(run / checkpoints.folder_of(6))
    spoiled(run / checkpoints.folder_of(6) / "model.safetensors", 3e38)
    with pytest.raises(
        BadData, match=r"the weights are at fault, not the samples: \S+ holds 3e\+38"
    ):
        train(rules_of(whole), str(run), lambda _: None)


def test_i5_a_weight_that_is_no_number_is_found_without_hashes_too(
    whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    without_hashes(run / checkpoints.folder_of(9))
    spoiled(run / checkpoints.folder_of(9) / "model.safetensors", float("nan"))
    lines: list[str] = []
    train(rules_of(whole), str(run), lines.append)
    assert any(
        "step-00000009 is damaged and not used: model.safetensors holds numbers that are not finite"
        in line
        for line in lines
    )


def test_i5_checkpoints_from_before_there_were_hashes_go_on(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    shutil.rmtree(run / checkpoints.folder_of(9))
    without_hashes(run / checkpoints.folder_of(6))
    lines: list[str] = []
    train(rules_of(whole), str(run), lines.append)
    assert any(line.startswith("going on from step 6") for line in lines)
    last = f"{checkpoints.folder_of(9)}/model.safetensors"
    assert (run / last).read_bytes() == (whole / "run" / last).read_bytes()


@pytest.mark.slow
def test_i4_of_several_processes_the_first_looks_and_tells_once(
    whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    flipped(run / checkpoints.folder_of(9) / "optimizer.pt")
    (tmp_path / "recipe.json").write_text(rules_of(whole).model_dump_json())
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "from training.run.loop import train\n"
        "from training.run.recipe import TrainRecipe\n"
        "rules = TrainRecipe.model_validate_json(open(sys.argv[1]).read())\n"
        "train(rules, sys.argv[2], lambda line: print(line, flush=True))\n"
    )
    words = [str(tmp_path / "script.py"), str(tmp_path / "recipe.json"), str(run)]
    command = [
        sys.executable,
        "-m",
        "flows.launchers.node",
        "--processes",
        "2",
        "--",
        sys.executable,
        *words,
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.count("is damaged and not used: optimizer.pt")
        == done.stdout.count("going on from step 6")
        == 1
    )


@pytest.mark.parametrize(
    ("section", "knobs"),
    [
        ("model", {"widths": [65536, 65536], "norm_groups": 4, "head_width": 8}),
        ("model", {"widths": [16, 16384], "norm_groups": 4, "head_width": 8}),
        ("model", {"layers": 10**9}),
        ("model", {"control_width": 10**12}),
        ("data", {"seconds": 1e9}),
        ("objective", {"steps": 10**12}),
        ("sampling", {"steps": 10**12}),
    ],
)
def test_i6_an_absurd_recipe_of_a_model_is_refused_before_memory_is_taken(
    section: str, knobs: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(whole / "run" / checkpoints.folder_of(9), model)
    without_hashes(model)
    stated = json.loads((model / "recipe.json").read_text())
    stated[section] |= knobs
    (model / "recipe.json").write_text(json.dumps(stated))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TrainingError) as caught:
        Generator.of(str(model))
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # KiB


@pytest.mark.parametrize(
    "statistics",
    [
        {"tempos": {"4": {"1000000000000": 99}}},
        {"meters": {"1000000000000": 9}},
        {"first_beats": {"1": {"-1000000000000": 9}}},
    ],
)
def test_i6_absurd_statistics_of_a_model_are_refused(
    statistics: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(whole / "run" / checkpoints.folder_of(9), model)
    without_hashes(model)
    stated = json.loads((model / "corpus.json").read_text())
    stated["statistics"] |= statistics
    (model / "corpus.json").write_text(json.dumps(stated))
    with pytest.raises(TrainingError, match=r"corpus\.json is not of a model"):
        Generator.of(str(model))


class Evil:
    """What a pickle runs when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def t5(folder: Path) -> None:
    from transformers import T5Config, T5EncoderModel

    T5EncoderModel(
        T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=32)
    ).save_pretrained(folder)


@pytest.mark.parametrize("pickled", [True, False])
def test_i7_weights_of_a_text_encoder_are_no_pickle_and_whole(
    pickled: bool, tmp_path: Path
) -> None:
    t5(tmp_path)
    stored = tmp_path / "model.safetensors"
    if pickled:
        stored.unlink()
        (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    else:
        stored.write_bytes(stored.read_bytes()[:-100])
    with pytest.raises(
        TrainingError, match="with weights in safetensors, not in pickles"
    ) as caught:
        open_text_encoder(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_i7_an_encoder_that_lacks_weights_is_not_filled_with_random_ones(tmp_path: Path) -> None:
    t5(tmp_path)
    (tmp_path / "config.json").write_text(
        (tmp_path / "config.json").read_text().replace('"num_layers": 1', '"num_layers": 2')
    )
    tokenizer = open_text_encoder()._tokenizer  # type: ignore[attr-defined]
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(TrainingError, match=r"lack encoder\.block\.1"):
        open_text_encoder(str(tmp_path))


def test_i7_weights_of_a_codec_are_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae/config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    torch.save({"weight": Evil(tmp_path / "ran")}, tmp_path / "vae/diffusion_pytorch_model.bin")
    with pytest.raises(
        PipelineError,
        match=r"no autoencoder at .* no file named diffusion_pytorch_model\.safetensors",
    ):
        open_codec("vae", str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_i8_a_stranger_s_checkpoint_says_nothing_on_the_card_but_text(
    whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    file = run / checkpoints.folder_of(9) / "state.json"
    state = json.loads(file.read_text())
    del state["files"]["state.json"]  # a stranger's has whatever seal fits, or none
    file.write_text(
        json.dumps(
            state | {"torch": "2\n# Free [x](http://y)", "obbligato": "<script>alert(1)</script>|"}
        )
    )
    write_model_card(str(run))
    card = (run / "README.md").read_text()
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        "# run",
        "## Learned from",
        "## Licences",
    ]
    assert "<script>" not in card.replace("\\<script", "")
    assert "](http" not in card.replace("\\](http", "")


@pytest.mark.parametrize("content", [b"\xff{", b"[" * 10_000, b'{"shards": NaN', b"[1, 2]"])
def test_i8_what_stands_at_a_corpus_s_place_now_breaks_no_card(
    content: bytes, whole: Path, tmp_path: Path
) -> None:
    run, corpus = tmp_path / "run", tmp_path / "corpus"
    shutil.copytree(whole / "run", run)
    corpus.mkdir()
    (corpus / "dataset.json").write_bytes(content)
    file = run / checkpoints.folder_of(9) / "corpus.json"
    without_hashes(file.parent)
    stated = json.loads(file.read_text())
    stated["datasets"][0] |= {"target": str(corpus), "sha256": "ab" * 32}
    file.write_text(json.dumps(stated))
    assert write_model_card(str(run)).corpora[0].facts.sha256 == "ab" * 32
    assert UNKNOWN in (run / "README.md").read_text()


def test_a6_a_model_does_not_name_the_module_that_plays_it(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, model = tmp_path / "ran", tmp_path / "model"
    shutil.copytree(whole / "run", model)
    (tmp_path / "evilpkg").mkdir()
    (tmp_path / "evilpkg" / "codec.py").write_text(
        f"open({str(mark)!r}, 'w').close()\nfrom pipelines.codecs.mel import open_codec\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    edited(sorted((model / "checkpoints").iterdir())[-1], "recipe.json", '"mel"', '"evilpkg.codec"')
    with pytest.raises(NotTrusted, match=r"wants codec\.name=evilpkg\.codec"):
        Generator.of(str(model))
    assert not mark.exists()
    trust(str(model), ["codec.name=evilpkg.codec"])
    assert Generator.of(str(model)).recipe.codec.name == "evilpkg.codec"
    assert mark.exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "wanted"),
    [
        ("recipe.json", '"minilm"', '"stranger/encoder"', "text.source=stranger/encoder"),
        (
            "recipe.json",
            '"source": ""',
            '"source": "stranger/codec"',
            "codec.source=stranger/codec",
        ),
    ],
)
def test_a6_nor_whose_weights_are_fetched_for_it(
    whole: Path, tmp_path: Path, file: str, old: str, new: str, wanted: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(whole / "run", model)
    edited(sorted((model / "checkpoints").iterdir())[-1], file, old, new)
    with pytest.raises(NotTrusted, match=wanted):
        Generator.of(str(model))


@pytest.mark.parametrize("name", ["state.json", "recipe.json"])
def test_i_a_pipe_or_a_device_in_a_strangers_model_is_not_waited_for(
    name: str, whole: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(whole / "run", copied)
    [*_, last] = sorted((copied / "checkpoints").iterdir())
    (last / name).unlink()
    for make in (os.mkfifo, lambda at: os.symlink("/dev/zero", at)):
        make(last / name)
        with pytest.raises(TrainingError, match=f"{name} is a pipe, socket or device"):
            checkpoints.find_checkpoint(str(copied))
        (last / name).unlink()
