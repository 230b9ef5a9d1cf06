"""Ready recipes by name, and the parts of a set on the command line."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from flows.build.local import build
from flows.build.recipe_files import load_recipe, ready_recipes, recipe_toml
from flows.build.run_step import begin
from flows.cli import app
from flows.errors import UsageError
from pipelines.beam.options import Engine
from pipelines.stages.output.verify import read_back
from schemas.recipe import Clips, FilterAction, Recipe, WindowMeaning
from tests.pipelines.shards.shard_samples import our_sample, write_build
from tests.support.melodies import RATE_HZ as MELODY_HZ
from tests.support.melodies import melody
from training.codec.wave_recipe import ready_wave
from training.run.presets import ready_recipe


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_musicbench_by_name_is_what_its_paper_says() -> None:
    recipe = load_recipe(Path("musicbench"), [])
    assert (recipe.ingest.clip_s, recipe.ingest.window, recipe.ingest.extend) == (
        10,
        WindowMeaning.ALREADY_CUT,
        1,
    )
    assert (recipe.filter.words, recipe.filter.words_action) == (
        ("quality", "low fidelity"),
        FilterAction.KEEP_ORIGINAL,
    )
    assert (recipe.vary.semitones, recipe.vary.speeds, recipe.vary.volumes) == (
        (-3, -2, -1, 1, 2, 3),
        4,
        1,
    )
    assert (recipe.vary.speed_min, recipe.vary.speed_max, recipe.vary.rate_hz) == (
        0.05,
        0.25,
        16_000,
    )
    assert (recipe.caption.sentences, recipe.caption.paraphrases) == (
        (0.25, 0.30, 0.20, 0.15, 0.10),
        1,
    )


def test_attm_parts_no_artist_and_keeps_the_band_of_music() -> None:
    recipe = load_recipe(Path("attm"), [])
    assert recipe.ingest.group.value == "artist"
    assert (recipe.vary.rate_hz, recipe.vary.channels) == (44_100, 2)
    assert recipe.caption.metadata_columns["genre"] == "genre"


def test_stable_has_stereo_of_two_windows_of_its_preset_and_the_names_of_its_prompts() -> None:
    recipe, learned = load_recipe(Path("stable"), []), ready_recipe("stable")
    assert (recipe.vary.rate_hz, recipe.vary.channels) == (44_100, 2)
    assert recipe.ingest.clip_s == 2 * learned.data.seconds
    assert recipe.ingest.keep_last
    assert learned.prompts.metadata == 1.0
    assert recipe.caption.metadata_columns["instruments"] == "instruments"
    shape = ready_wave("stereo").net
    assert (learned.model.latent_channels, shape.rate_hz) == (shape.latent_channels, 44_100)
    assert -(-round(learned.data.seconds * shape.rate_hz) // shape.hop) == 2048
    assert learned.model.attends_to_seconds


def test_fmacaps_by_name_takes_one_clip_of_a_track_and_varies_none() -> None:
    recipe = load_recipe(Path("fmacaps"), ["corpus.seed=3"])
    assert (
        recipe.ingest.clips,
        recipe.ingest.test,
        recipe.ingest.validation,
        recipe.corpus.seed,
    ) == (Clips.FIRST, 1, 0, 3)
    assert (
        recipe.vary.semitones,
        recipe.vary.speeds,
        recipe.vary.volumes,
        recipe.filter.words,
    ) == ((), 0, 0, ())


def test_each_is_listed_in_a_line_and_printed_whole_with_its_reasons(tmp_path: Path) -> None:
    listed = run("recipe", "--list").splitlines()
    names = ["attm", "fmacaps", "musicbench", "noise2music", "stable"]
    assert [line.split()[0] for line in listed] == names
    assert max(map(len, listed)) < 140
    for name in ready_recipes():
        printed = run("recipe", name)
        (tmp_path / "printed.toml").write_text(printed)
        assert load_recipe(tmp_path / "printed.toml", []) == load_recipe(Path(name), [])
        assert run("recipe", tmp_path / "printed.toml") == printed
    printed = run("recipe", "musicbench", "--set", "vary.speeds=2")
    assert (
        "\n"
        "# One crescendo or decrescendo, between 10 to 50 % of the amplitude and all of it.\n"
        "volumes = 1\n"
    ) in printed
    assert "\nspeeds = 2\n" in printed
    assert printed.startswith("# MusicCaps as MusicBench has it")


def test_a_file_wins_over_a_name_and_a_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("musicbench")
    assert load_recipe(Path("musicbench"), []).corpus.name == "MusicBench, made anew"
    Path("fmacaps").write_text(recipe_toml(Recipe(), comments=True).replace('"corpus"', '"mine"'))
    assert load_recipe(Path("fmacaps"), []).corpus.name == "mine"
    for wrong in ("musicbanch", "musicbench.toml", "musicbench/x"):
        with pytest.raises(
            UsageError, match=f"recipe {wrong}: .*; ready recipes are attm, fmacaps, musicbench"
        ):
            load_recipe(Path(wrong), [])


def test_a_build_takes_the_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ready recipes are attm, fmacaps, musicbench"):
        CliRunner().invoke(
            app, ["plan", str(tmp_path), "--recipe", "nosuch"], catch_exceptions=False
        )
    answer = json.loads(run("plan", tmp_path, "--recipe", "fmacaps", "--json"))
    assert answer["clips"] == 0


def test_parts_go_by_the_builds_own_seed_and_words(tmp_path: Path) -> None:
    samples = [
        our_sample(
            key=f"{n:016x}-0-2000-orig",
            clip_key=f"{n:016x}-0-2000",
            song_id=f"{n:016x}",
            split="test",
        )
        for n in range(4)
    ]
    own = samples[0].captions[0].replaced(text="A shrill flute.", sentences=("A shrill flute.",))
    build = write_build(
        tmp_path / "build",
        samples[0].replaced(captions=(own, *samples[0].captions[1:])),
        *samples[1:],
        our_sample(),
    )
    begin([str(tmp_path)], str(build), load_recipe(None, ["filter.words=['shrill']"]))
    answer = json.loads(
        run("shards", "export", build, "--out", tmp_path / "parts", "--parts", "--json")
    )
    assert answer["rows"] == {
        "TrainA": 1,
        "TrainB": 1,
        "TrainC": 1,
        "train_augmented": 0,
        "train": 1,
        "TestA": 2,
        "TestB": 2,
    }
    assert answer["skipped"]["TestA"] == {"no_counterpart": 2}
    shown = run(
        "shards", "export", build, "--out", tmp_path / "parts", "--parts", "--force"
    ).splitlines()
    assert shown[0].split() == ["TrainA", "1", "rows"]
    assert shown[5].split() == ["TestA", "2", "rows,", "2", "skipped:", "no_counterpart"]
    assert shown[7] == f"5 samples read; written to {tmp_path / 'parts'}"
    with pytest.raises(UsageError, match="leave out --split"):
        run("shards", "export", build, "--out", tmp_path / "parts", "--parts", "--split", "test")


def test_noise2music_gives_clips_at_two_rates_with_the_curated_ones_marked(tmp_path: Path) -> None:
    with (tmp_path / "songs.csv").open("w") as out:
        out.write("uri,curated,split\n0.wav,yes,train\n1.wav,no,train\n")
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.wav", melody(number, 70), MELODY_HZ)
    recipe = load_recipe(
        Path("noise2music"),
        ["pack.anchor_column=curated", "ingest.clip_s=5", "ingest.spaced_clips=3"],
    )
    plain = dict.fromkeys(("beats", "chords", "key"), "tests.support.plug_ins.plain_annotator")
    recipe = recipe.replaced(
        annotate=recipe.annotate.replaced(**plain), verify=recipe.verify.replaced(relabel_clips=0)
    )
    build([str(tmp_path / "songs.csv")], str(tmp_path / "out"), recipe, Engine(), lambda _: None)
    heard, anchors = {}, []
    for shard in sorted((tmp_path / "out/shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                content = io.BytesIO(tar.extractfile(member).read())  # type: ignore[union-attr]
                if member.name.endswith(".flac"):
                    wave, rate_hz = soundfile.read(content)
                    heard[member.name] = (rate_hz, len(wave) / rate_hz)
        anchors += [read.sample.anchor for read in read_back(str(shard))]
    assert sorted(anchors) == [False] * 3 + [True] * 3
    assert sorted(heard.values()) == [(16_000, 5.0)] * 6 + [(24_000, 5.0)] * 6
    assert all(name.endswith((".16k.flac", "-orig.flac")) for name in heard)
