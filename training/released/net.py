"""A released transformer behind our seam, and frame rows on it.

Nothing of its classes is changed: rows are added to what enters each block, by hooks of torch.

Shapes: B samples, C latent channels, T latent frames, F latent bands, N tokens of the transformer,
D their width, R frame rows, M channels that they are mixed into, L tokens of the text.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import torch
from torch import nn
from torch.nn.functional import avg_pool1d

from training.conditions import Condition
from training.conditions.embeddings import Jump, RowMixer
from training.conditions.net_shape import check_inputs
from training.conditions.rows import row_width
from training.conditions.tokens import Context, Tokens
from training.errors import TrainingError
from training.released.config import Family, ReleasedConfig

_TOLD: Final = 1000.0  # our objectives tell times in thousandths, released nets take them whole
_STATES: Final = "hidden_states"


class TransformerRows(nn.Module):
    """Frame rows for each block of a transformer, which begin as nothing."""

    def __init__(self, blocks: nn.ModuleList, config: ReleasedConfig) -> None:
        super().__init__()
        self.ahead, self.patch = config.tokens_ahead, config.patch
        self.mix = RowMixer(row_width(config.rows), config.row_width)
        self.into = nn.ModuleList(
            nn.Linear(config.row_width, config.width, bias=False) for _ in range(len(blocks))
        )
        for layer in self.into:
            nn.init.zeros_(cast(nn.Linear, layer).weight)
        self._mixed_BNM: torch.Tensor | None = None
        for block, layer in zip(blocks, self.into, strict=True):
            block.register_forward_pre_hook(self._hook(layer), with_kwargs=True)

    def tell(self, rows_BTR: torch.Tensor | None) -> None:
        """What the next pass through the transformer is told; it stays until then, as activations
        may be computed again on the way back.
        """
        if rows_BTR is None:
            self._mixed_BNM = None
            return
        mixed_BMT = self.mix(rows_BTR)
        pooled_BMN = avg_pool1d(mixed_BMT, self.patch, ceil_mode=True)
        self._mixed_BNM = pooled_BMN.transpose(1, 2)

    def _hook(self, layer: nn.Module) -> Any:
        def added(
            _: nn.Module, given: tuple[Any, ...], named: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
            if self._mixed_BNM is None:
                return None
            states_BND = named[_STATES] if _STATES in named else given[0]
            found_BND = layer(self._mixed_BNM)
            led_BND = states_BND + nn.functional.pad(found_BND, (0, 0, self.ahead, 0))
            if _STATES in named:
                return given, {**named, _STATES: led_BND}
            return (led_BND, *given[1:]), named

        return added


class ReleasedNet(nn.Module):
    """Predicts what the released transformer does, and what frame rows add.

    Stable Audio's predicts v on a cosine's path, ACE-Step's the velocity of a flow; each is told
    the time as a share of the way (`objective.schedule=squaredcos_cap_v2`; `objective.kind=flow`).
    """

    def __init__(self, config: ReleasedConfig, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.config = config
        self.base = _made(str(config.family), config.shape)
        self.projection = (
            _made("StableAudioProjectionModel", config.projection) if config.projection else None
        )
        if config.family is Family.ACE_STEP:
            # what stands for "no music given": of the released condition encoder, or zeros
            self.silence_C = nn.Parameter(torch.zeros(config.latent_channels * config.latent_bands))
        if checkpointing:
            self.base.enable_gradient_checkpointing()
        self.rows = TransformerRows(self.blocks, config) if config.rows else None

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer's own blocks, in their order."""
        name = "transformer_blocks" if self.config.family is Family.STABLE_AUDIO else "layers"
        return cast(nn.ModuleList, self.base.get_submodule(name))

    def forward(
        self,
        x_BCTF: torch.Tensor,
        steps_B: torch.Tensor,
        context: Context,
        seconds_B2: torch.Tensor | None = None,
        rows_BTR: torch.Tensor | None = None,
        frames_B: torch.Tensor | None = None,
        jump: Jump | None = None,
    ) -> torch.Tensor:
        """The prediction, shaped as the latent.

        `steps_B`: times in thousandths. `seconds_B2`: start of the clip and length of its song, for
        Stable Audio's. `rows_BTR`: frame rows (`training.conditions.rows`), or none where nothing
        is known. `frames_B` changes nothing: padding is music to these, as where they were trained.
        """
        check_inputs(self.config, x_BCTF, context, seconds_B2, rows_BTR, jump)
        if self.rows is not None:
            self.rows.tell(rows_BTR)
        text = context[Condition.TEXT]
        x_BTC = x_BCTF.transpose(1, 2).flatten(2)
        times_B = steps_B / _TOLD
        predicted_BTC = (
            self._stable_audio(x_BTC, times_B, text, seconds_B2)
            if self.config.family is Family.STABLE_AUDIO
            else self._ace_step(x_BTC, times_B, text)
        )
        channels, bands = x_BCTF.shape[1], x_BCTF.shape[3]
        return predicted_BTC.reshape(len(x_BTC), -1, channels, bands).transpose(1, 2)

    def _stable_audio(
        self,
        x_BTC: torch.Tensor,
        times_B: torch.Tensor,
        text: Tokens,
        seconds_B2: torch.Tensor | None,
    ) -> torch.Tensor:
        """Start and length are tokens of the text, and stand together before the first frame."""
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        states_BLD, mask_BL = text.states_BLD, text.mask_BL
        width = self.base.config.global_states_input_dim
        global_B1D = x_BTC.new_zeros(len(x_BTC), 1, width)
        if self.projection is not None:
            if seconds_B2 is None:
                raise TrainingError("Stable Audio is told seconds, and these conditions have none")
            told = self.projection(states_BLD, seconds_B2[:, :1], seconds_B2[:, 1:])
            ends = [told.seconds_start_hidden_states, told.seconds_end_hidden_states]
            states_BLD = torch.cat([told.text_hidden_states * mask_BL[..., None], *ends], dim=1)
            global_B1D = torch.cat(ends, dim=2)
            mask_BL = nn.functional.pad(mask_BL, (0, len(ends)), value=True)
        rotary = get_1d_rotary_pos_embed(
            self.base.config.attention_head_dim // 2,
            x_BTC.shape[1] + 1,
            use_real=True,
            repeat_interleave_real=False,
        )
        predicted_BCT: torch.Tensor = self.base(
            x_BTC.transpose(1, 2),
            times_B.to(x_BTC.dtype),
            encoder_hidden_states=states_BLD,
            encoder_attention_mask=mask_BL,
            global_hidden_states=global_B1D,
            rotary_embedding=tuple(part.to(x_BTC.device) for part in rotary),
            return_dict=False,
        )[0]
        return predicted_BCT.transpose(1, 2)

    def _ace_step(self, x_BTC: torch.Tensor, times_B: torch.Tensor, text: Tokens) -> torch.Tensor:
        """Nothing is given to be kept: silence, all of it to be made."""
        silence_BTC = self.silence_C.expand_as(x_BTC)
        times_B = times_B.to(x_BTC.dtype)
        predicted_BTC: torch.Tensor = self.base(
            x_BTC,
            times_B,
            times_B,
            encoder_hidden_states=text.states_BLD * text.mask_BL[..., None],
            context_latents=torch.cat([silence_BTC, torch.ones_like(x_BTC)], dim=-1),
            return_dict=False,
        )[0]
        return predicted_BTC


def _made(name: str, shape: Mapping[str, Any]) -> Any:
    """A module of one of diffusers' classes, which names code of a library, never of data."""
    import diffusers

    kind = getattr(diffusers, name)
    knobs = {knob: value for knob, value in shape.items() if not knob.startswith("_")}
    try:
        return kind(**knobs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(f"diffusers makes no {name} of {dict(shape)}: {error}") from error
