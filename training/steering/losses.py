"""How far latents are from what is asked: each loss is a function of latents, and gradients pass.

Most are DITTO's (Novack et al. 2024, arXiv 2401.12179).

Shapes: B samples, C latent channels, T latent frames, F latent bands, N frames at 10 Hz.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from pipelines.codecs import CodecFacts
from schemas.controls import CONTROL_RATE_HZ, NO_PITCH
from training.errors import TrainingError
from training.steering.listening import Ear

# latents (B, C, T, F), to a loss of each sample: (B,)
SteerLoss = Callable[[torch.Tensor], torch.Tensor]


class Weighted(NamedTuple):
    """One of several losses. DITTO weighs intensity 1/40 beside a form or given sound, 1/4 beside a
    melody, and all others 1.
    """

    loss: SteerLoss
    weight: float = 1.0


def together(parts: Sequence[Weighted]) -> SteerLoss:
    """The mean of several losses, by their weights. Raises `TrainingError` for none."""
    if not parts:
        raise TrainingError("nothing is asked of the latents: name one loss or more")

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        each = [part.weight * part.loss(latents_BCTF) for part in parts]
        return torch.stack(each).mean(0)

    return loss


def intensity(
    ear: Ear, wanted_db_N: torch.Tensor, counts_N: torch.Tensor | None = None
) -> SteerLoss:
    """Mean squared error of the dynamics, in dB², over the frames that count."""

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        heard_BN = ear.dynamics_db(latents_BCTF)
        error_BN = (heard_BN - _as_long("intensity", wanted_db_N, heard_BN)).square()
        return _mean(error_BN, counts_N)

    return loss


def intensity_shape(ear: Ear, wanted_db_N: torch.Tensor) -> SteerLoss:
    """Pearson's correlation of the dynamics with what is asked, negative: from -1, where they rise
    and fall alike at whatever level, to 1.
    """

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        heard_BN = ear.dynamics_db(latents_BCTF)
        wanted_N = _as_long("intensity", wanted_db_N, heard_BN)
        both = [one - one.mean(-1, keepdim=True) for one in (heard_BN, wanted_N)]
        return -torch.nn.functional.cosine_similarity(both[0], both[1].expand_as(both[0]), dim=1)

    return loss


def melody(ear: Ear, classes_N: torch.Tensor) -> SteerLoss:
    """Mean negative logarithm of the share of the pitch class that is asked for, over frames with
    one; 12 asks for nothing. By chance it is log 12 = 2.48.
    """

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        chroma_BNP = ear.chroma(latents_BCTF)
        wanted_N = _as_long("melody", classes_N, chroma_BNP[..., 0]).long()
        share_BNP = chroma_BNP / (chroma_BNP.sum(2, keepdim=True) + 1e-6)
        asked_N = wanted_N != NO_PITCH
        index_BN1 = (wanted_N * asked_N)[None, :, None].expand(len(share_BNP), -1, 1)
        surprise_BN = -(share_BNP.gather(2, index_BN1)[..., 0] + 1e-6).log()
        return _mean(surprise_BN, asked_N)

    return loss


def form(ear: Ear, wanted_NN: torch.Tensor, *, smooth: bool = True) -> SteerLoss:
    """Mean squared error of the self-similarity; `smooth` for a form by letters, not for one that
    is taken from a recording.
    """

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        heard_BNN = ear.similarity(latents_BCTF)
        wanted = _as_long("form", wanted_NN, heard_BNN)
        found = smoothed_matrix(heard_BNN) if smooth else heard_BNN
        return (found - wanted).square().mean((1, 2))

    return loss


def block_form(letters: str, frames: int) -> torch.Tensor:
    """The self-similarity of equally long parts, (frames, frames): 1 between parts of one letter, 0
    between others.

    >>> block_form("ABA", 3).tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    if not 1 <= len(letters) <= frames:
        raise TrainingError(f"form {letters!r}: name 1 to {frames} parts, a letter each")
    part_N = [letters[index * len(letters) // frames] for index in range(frames)]
    code_N = torch.tensor([ord(letter) for letter in part_N])
    return (code_N[:, None] == code_N).float()


def smoothed_matrix(matrix_BNN: torch.Tensor) -> torch.Tensor:
    """A matrix smoothed over a second both ways by quadratics (Savitzky & Golay 1964), mirrored at
    its ends.
    """
    from scipy.signal import savgol_coeffs  # late: it loads for half a second

    kernel = torch.from_numpy(savgol_coeffs(CONTROL_RATE_HZ + 1, 2)).to(matrix_BNN)
    side = CONTROL_RATE_HZ // 2
    padded = torch.nn.functional.pad(matrix_BNN[:, None], (side, side, side, side), "reflect")
    both = torch.outer(kernel, kernel)
    return torch.nn.functional.conv2d(padded, both[None, None])[:, 0]


def frames_within(facts: CodecFacts, frames: int, start_s: float, end_s: float) -> torch.Tensor:
    """The latent frames whose middle lies between two times: a mask (frames,).

    Raises `TrainingError` where there is none.
    """
    middles = (torch.arange(frames) + 0.5) * facts.samples_per_frame / facts.rate_hz
    mask_T = (middles >= start_s) & (middles < end_s)
    if not mask_T.any():
        length_s = frames * facts.samples_per_frame / facts.rate_hz
        raise TrainingError(
            f"{start_s:g} to {end_s:g} s holds no latent frame of a piece of {length_s:g} s"
        )
    return mask_T


def given(known_BCTF: torch.Tensor, mask_T: torch.Tensor) -> SteerLoss:
    """Mean squared error of the latents that are known: to fill a gap, or to go on from a
    beginning (see `beginning`).
    """

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        error = (latents_BCTF - known_BCTF)[:, :, mask_T.to(latents_BCTF.device)]
        return error.square().mean((1, 2, 3))

    return loss


def beginning(end_of_BCTF: torch.Tensor, overlap: int, frames: int) -> SteerLoss:
    """The loss of a piece of `frames` that begins with the last `overlap` frames of another."""
    known = torch.zeros(*end_of_BCTF.shape[:2], frames, end_of_BCTF.shape[3]).to(end_of_BCTF)
    known[:, :, :overlap] = end_of_BCTF[:, :, -overlap:]
    return given(known, torch.arange(frames) < overlap)


def loop(overlap: int, length: int | None = None) -> SteerLoss:
    """How far the `overlap` frames that follow on a loop are from its first: played without them,
    it goes round. `length` frames are the loop; all but the overlap, where none is said.
    """

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        frames = latents_BCTF.shape[2]
        turn = frames - overlap if length is None else length
        if not overlap <= turn <= frames - overlap:
            raise TrainingError(
                f"a loop of {turn} frames with {overlap} to compare does not fit in {frames}"
            )
        behind = latents_BCTF[:, :, turn : turn + overlap]
        return (latents_BCTF[:, :, :overlap] - behind).square().mean((1, 2, 3))

    return loss


def _as_long(what: str, wanted: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
    if wanted.shape[-1] != heard.shape[-1]:
        raise TrainingError(
            f"{what} is asked for in {wanted.shape[-1]} frames of {1 / CONTROL_RATE_HZ:g} s, and "
            f"the piece has {heard.shape[-1]}"
        )
    return wanted.to(heard.device)


def _mean(error_BN: torch.Tensor, counts_N: torch.Tensor | None) -> torch.Tensor:
    if counts_N is None:
        return error_BN.mean(1)
    weight_N = counts_N.to(error_BN)
    return (error_BN * weight_N).sum(1) / weight_N.sum().clamp(min=1)
