"""Masked models of codes as they play: what is kept stays to the bit, one seed gives the same
bytes, and what was learned is heard.
"""

from pathlib import Path

import numpy as np
import obbligato
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from flows.cli.main import app
from flows.models import code_pieces
from flows.models.code_pieces import CodesAsking, codes_player, play_codes
from flows.models.sampling import SamplerOptions
from flows.models.training_run import TrainingRequest
from flows.screens.model_files import write_model_card
from pipelines.codecs.layout import for_codec
from tests.pipelines.codecs.coded_waves import BOOKS, ENTRIES
from tests.support.melodies import RATE_HZ, melody
from tests.training.tokens.micro import ALWAYS, coded_corpus, micro
from training.errors import TrainingError
from training.run.recipe import StepsRecipe
from training.run.warm_start import played_model
from training.samplers.rounds_config import RoundsConfig
from training.timed_controls.options import ControlOptions
from training.timed_controls.steer_options import SteerOptions
from training.tokens.keeping import Keeping
from training.tokens.player import KeptCodes, TokenPlayer
from training.tokens.training import train_tokens


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned three codes by heart."""
    folder = tmp_path_factory.mktemp("run")
    recipe = micro(coded_corpus(folder / "shards"), folder / "codec")
    longer = recipe.replaced(
        run=StepsRecipe(steps=12, log_every=12, validate_every=4, checkpoint_every=12)
    )
    lines: list[str] = []
    train_tokens(longer, str(folder / "run"), lines.append)
    losses = [float(line.rpartition(" ")[2]) for line in lines if "validation loss" in line]
    assert losses[-1] < losses[0] < np.log(ENTRIES)
    return folder / "run"


@pytest.fixture(scope="module")
def player(run: Path) -> TokenPlayer:
    return TokenPlayer.of(str(run), "cpu")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("song") / "song.flac"
    soundfile.write(file, melody(0, 4.0), RATE_HZ)
    return file


def asking(
    player: TokenPlayer, *, seconds: float | None = None, steer: SteerOptions | None = None
) -> CodesAsking:
    return CodesAsking(
        player, ControlOptions(), seconds, 0, SamplerOptions(), None, steer or SteerOptions()
    )


def test_what_was_learned_is_played(player: TokenPlayer) -> None:
    request = asking(player, seconds=2.5).request("A flute")
    codes_BLT = player.codes(
        [request.numbered("0")],
        KeptCodes.nothing(BOOKS, 100),  # window after window, of 40 frames
        sampling=player.recipe.sampling.replaced(temperature=0.3, choice=0),
    )
    expected_LT = torch.tensor(ALWAYS)[:, None].expand(BOOKS, 100)
    assert (codes_BLT[0] == expected_LT).float().mean() > 0.95


def test_one_seed_gives_the_same_codes_in_any_company_and_another_others(
    player: TokenPlayer,
) -> None:
    request = asking(player).request("A flute")
    # so hot that all entries are drawn
    rules = RoundsConfig(coarse_rounds=3, fine_rounds=2, temperature=10.0)
    nothing = KeptCodes.nothing(BOOKS, 40)
    requests = [request.numbered(key) for key in "ab"]
    together = player.codes(requests, nothing, seed=1, sampling=rules)
    alone = player.codes(requests[1:], nothing, seed=1, sampling=rules)
    assert torch.equal(together[1:], alone)
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(alone, player.codes(requests[1:], nothing, seed=2, sampling=rules))


def test_kept_codes_are_kept_to_the_bit(player: TokenPlayer) -> None:
    kept_LT = torch.rand(BOOKS, 100, generator=torch.Generator().manual_seed(0)) < 0.3
    codes_LT = torch.randint(ENTRIES, (BOOKS, 100), generator=torch.Generator().manual_seed(1))
    request = asking(player, seconds=2.5).request("A flute")
    begun = KeptCodes(codes_LT, kept_LT)
    played_LT = player.codes([request.numbered("0")], begun)[0]
    assert torch.equal(played_LT[kept_LT], codes_LT[kept_LT])
    assert not torch.equal(played_LT[~kept_LT], codes_LT[~kept_LT])


def test_a_recording_keeps_its_codes_at_its_beats(player: TokenPlayer, song: Path) -> None:
    steer = SteerOptions(of=str(song), keep="beats 0.1").checked()
    request = asking(player, steer=steer).request("")
    assert request.kept is not None
    labels, kept = request.labels, request.kept
    assert labels.beats.times_s == obbligato.annotate(song).beats.times_s
    own_LT = player.codec.codes(for_codec([_at(player, song)]))[0]
    assert torch.equal(kept.codes_LT, own_LT)
    frames = [int(beat_s * 40 + 1e-6) for beat_s in labels.beats.times_s]
    assert set(torch.nonzero(kept.kept_LT[0]).flatten().tolist()) == {
        frame + more for frame in frames for more in range(4) if frame + more < own_LT.shape[1]
    }
    [one] = play_codes(player, request, ["0"], 0)
    [again] = play_codes(player, request, ["0"], 0)
    assert np.array_equal(one.wave, again.wave)
    assert abs(len(one.wave) / player.codec.facts.rate_hz - 4.0) < 0.001
    by_python = obbligato.sample("", model=run_of(player), of=song, keep="beats 0.1", device="cpu")
    assert np.array_equal(by_python.wave, one.wave)


def run_of(player: TokenPlayer) -> str:
    return player.name.rpartition("/checkpoints/")[0]


def _at(player: TokenPlayer, song: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    from training.timed_controls.recordings import read_recording

    return read_recording(song, "--of").at(player.codec.facts.rate_hz)


def test_a_recording_goes_on_and_stays_what_it_is(
    player: TokenPlayer, song: Path, tmp_path: Path, run: Path
) -> None:
    command = ["sample", "--model", str(run), "--continue", str(song), "--seconds", "1"]
    for folder in ("one", "two"):
        made = CliRunner().invoke(app, [*command, "--out", str(tmp_path / folder)])
        assert made.exit_code == 0, made.output
    [one], [two] = (list((tmp_path / folder).glob("*.flac")) for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    wave, rate_hz = soundfile.read(one, dtype="float32")
    before = _at(player, song)
    fade = round(0.06 * rate_hz)
    assert len(wave) == len(before) + rate_hz
    assert np.abs(wave[: len(before) - fade] - before[:-fade]).max() < 2**-14


def test_what_such_a_model_cannot_take_is_told(player: TokenPlayer, song: Path) -> None:
    with pytest.raises(TrainingError, match=r"--loop, --form: a model of codes fills them in"):
        asking(player, steer=SteerOptions(loop=True, form="ABA")).request("")
    with pytest.raises(TrainingError, match="name the recording with --of"):
        SteerOptions(keep="beats").checked()
    with pytest.raises(TrainingError, match="--keep 'drums' is not a prompt"):
        Keeping.of("drums")
    steer = SteerOptions(of=str(song), keep="beats")
    led = asking(player, steer=steer)._replace(options=ControlOptions(bpm=90))
    with pytest.raises(TrainingError, match="--keep goes by what is heard in the recording"):
        led.request("")
    with pytest.raises(TrainingError, match="--keep 'drums' is not a prompt"):
        # before a model is looked for
        codes_player("nowhere", "cpu", SteerOptions(of=str(song), keep="drums"))


def test_a_recording_that_is_longer_than_a_piece_is_not_played_at_once(
    player: TokenPlayer, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_pieces, "LONGEST_S", 3.5)
    with pytest.raises(TrainingError, match=r"--of song\.flac lasts 4 s, more than the 3\.5 s"):
        asking(player, steer=SteerOptions(of=str(song), keep="every 2")).request("")


def test_what_wants_a_model_of_latents_says_that_this_is_one_of_codes(run: Path) -> None:
    told = "is a model of codes, which `sample` alone plays; take a model of latents"
    with pytest.raises(TrainingError, match=told):
        played_model(str(run))  # evaluate, ablate, export
    plain = TrainingRequest(shards=("shards",), out="student")
    for asked in (plain.replaced(start_from=str(run)), plain.replaced(distil=str(run))):
        with pytest.raises(TrainingError, match=told):
            _ = asked.recipe
    # what it names of others may be trusted as any run's
    assert CliRunner().invoke(app, ["trust", str(run)]).exit_code == 0


def test_its_card_says_what_it_learned_from_and_how_it_plays(
    run: Path, player: TokenPlayer
) -> None:
    made = write_model_card(str(run))
    card = (run / "README.md").read_text()
    assert made.parameters == sum(one.numel() for one in player.model.parameters())
    assert f"A masked model of codes of {made.parameters / 1e6:.3g} million parameters" in card
    assert f"| codes | {BOOKS} codebooks of {ENTRIES} entries |" in card
    assert "--of song.flac --keep beats" in card
    assert "shards without a dataset.json" in card
