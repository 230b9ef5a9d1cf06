"""madmom's ensemble of peephole LSTMs as one batched torch scan: all networks, both directions,
many clips at once.

The equations are those of Graves, "Supervised Sequence Labelling with RNNs" (2012), ch. 4.6, as
madmom's layers use them.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

Features = npt.NDArray[np.float32]  # (frames, features)
_GATES: Final = ("input_gate", "forget_gate", "output_gate", "cell")
# Clips of one scan. On a CPU always four, silence beside them where there are fewer: a matrix
# product rounds by its shape, so a clip gives the same bits alone and in any company, at the least
# cost per clip.
_AT_ONCE: Final = {"cpu": 4, "cuda": 64}


class StackedBlstm(torch.nn.Module):
    """An ensemble of networks of the same shape: bidirectional LSTM layers, then a softmax; outputs
    are averaged.

    Shapes: D directions × networks (forward and backward of each network in turn), N networks, B
    clips, T frames, F features in, H hidden units, C classes.
    """

    weights_NHC: torch.Tensor
    bias_NC: torch.Tensor

    def __init__(self, networks: Sequence[Any]) -> None:
        super().__init__()
        self.networks = len(networks)
        by_depth = list(zip(*(network.layers for network in networks), strict=True))
        self.layers = torch.nn.ModuleList(_BlstmLayer(layers) for layers in by_depth[:-1])
        last = by_depth[-1]
        self.register_buffer("weights_NHC", _stack([layer.weights for layer in last]))
        self.register_buffer("bias_NC", _stack([layer.bias for layer in last]))

    @torch.inference_mode()
    def forward(self, clips: Sequence[Features | torch.Tensor]) -> list[Features]:
        """Class probabilities (frames, classes) of each clip; clips may differ in length."""
        size = _AT_ONCE.get(self.bias_NC.device.type, 4)
        # Clips of like length go together: a scan lasts as long as its longest clip.
        order = sorted(range(len(clips)), key=lambda index: len(clips[index]))
        found: dict[int, Features] = {}
        for group in (order[start : start + size] for start in range(0, len(order), size)):
            found.update(
                zip(group, self._together([clips[index] for index in group], size), strict=True)
            )
        return [found[index] for index in range(len(clips))]

    def _together(self, clips: Sequence[Features | torch.Tensor], size: int) -> list[Features]:
        lengths = [len(clip) for clip in clips]
        x_NBTF = self.bias_NC.new_zeros(1, size, max(lengths), clips[0].shape[1])
        for index, clip in enumerate(clips):
            x_NBTF[0, index, : lengths[index]] = torch.as_tensor(clip)
        for layer in self.layers:
            x_NBTF = layer(x_NBTF, lengths)
        return [self._classes(x_NBTF[:, index, :length]) for index, length in enumerate(lengths)]

    def _classes(self, x_NTH: torch.Tensor) -> Features:
        logits_NTC = torch.einsum("nth,nhc->ntc", x_NTH, self.weights_NHC) + self.bias_NC[:, None]
        mean_TC: Features = torch.softmax(logits_NTC, dim=-1).mean(dim=0).cpu().numpy()
        return mean_TC


class _BlstmLayer(torch.nn.Module):
    """One bidirectional layer of every network."""

    weights_DFG: torch.Tensor
    recurrent_DHG: torch.Tensor
    bias_DG: torch.Tensor
    peepholes_3DH: torch.Tensor

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__()
        cells = [direction for layer in layers for direction in (layer.fwd_layer, layer.bwd_layer)]
        gates = [_gates_of(cell) for cell in cells]
        self.register_buffer("weights_DFG", _side_by_side(gates, "weights"))
        self.register_buffer("recurrent_DHG", _side_by_side(gates, "recurrent_weights"))
        self.register_buffer("bias_DG", _side_by_side(gates, "bias"))
        peepholes = [_stack([gate.peephole_weights for gate in row[:3]]) for row in gates]
        self.register_buffer("peepholes_3DH", torch.stack(peepholes, dim=1))

    def forward(self, x_NBTF: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Hidden states of both directions side by side, (N, B, T, 2H).

        The first layer's input has N = 1: all networks share it.
        """
        networks = len(self.bias_DG) // 2
        ahead_DBTF = x_NBTF.expand(networks, -1, -1, -1)
        both_DBTF = torch.stack([ahead_DBTF, _reversed(ahead_DBTF, lengths)], dim=1).flatten(0, 1)
        directions, clips, frames, _ = both_DBTF.shape
        gates_TDBG = both_DBTF.new_zeros(frames, directions, clips, self.bias_DG.shape[1])
        for index, length in enumerate(lengths):  # one by one: see _AT_ONCE
            x_DTF = both_DBTF[:, index, :length]
            gates_TDBG[:length, :, index] = (
                torch.bmm(x_DTF, self.weights_DFG) + self.bias_DG[:, None]
            ).transpose(0, 1)
        h_DBTH = self._scan(gates_TDBG).permute(1, 2, 0, 3)
        return torch.cat([h_DBTH[0::2], _reversed(h_DBTH[1::2], lengths)], dim=-1)

    def _scan(self, gates_TDBG: torch.Tensor) -> torch.Tensor:
        frames, directions, batch, width = gates_TDBG.shape
        hidden = width // 4
        peep_in, peep_forget, peep_out = (self.peepholes_3DH[gate][:, None] for gate in range(3))
        peep_both = torch.cat([peep_in, peep_forget], dim=-1)
        h_DBH = c_DBH = gates_TDBG.new_zeros(directions, batch, hidden)
        out_TDBH = gates_TDBG.new_empty(frames, directions, batch, hidden)
        for frame in range(frames):
            gates_DBG = torch.baddbmm(gates_TDBG[frame], h_DBH, self.recurrent_DHG)
            opened = torch.sigmoid_(
                torch.cat([c_DBH, c_DBH], dim=-1).mul_(peep_both).add_(gates_DBG[..., : 2 * hidden])
            )
            candidate = torch.tanh(gates_DBG[..., 3 * hidden :])
            c_DBH = candidate.mul_(opened[..., :hidden]).addcmul_(c_DBH, opened[..., hidden:])
            released = torch.sigmoid_(
                torch.addcmul(gates_DBG[..., 2 * hidden : 3 * hidden], c_DBH, peep_out)
            )
            h_DBH = torch.mul(torch.tanh(c_DBH), released, out=out_TDBH[frame])
        return out_TDBH


def _reversed(x_NBTF: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Each clip back to front within its own length, so that padding stays behind."""
    if len(set(lengths)) == 1:
        return x_NBTF.flip(2)
    out = torch.zeros_like(x_NBTF)
    for index, length in enumerate(lengths):
        out[:, index, :length] = x_NBTF[:, index, :length].flip(1)
    return out


def _gates_of(cell: Any) -> list[Any]:
    return [getattr(cell, name) for name in _GATES]


def _side_by_side(gates: Sequence[Sequence[Any]], name: str) -> torch.Tensor:
    """An array of every gate, those of one direction side by side; directions are stacked."""
    rows = [np.hstack(_named(row, name)) for row in gates]
    return _stack(rows)


def _named(row: Sequence[Any], name: str) -> list[npt.NDArray[Any]]:
    return [getattr(gate, name) for gate in row]


def _stack(arrays: Sequence[npt.NDArray[Any]]) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(array, np.float32) for array in arrays]))
