"""Export a StyleGAN2 as a snapshot that StyleGAN2-ADA (PyTorch) and StyleGAN3's code load."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ganformer.config import Ability, Export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ganformer.analysis.explorer import Explorer
    from ganformer.interop.official import Shape

ACTIVATION = {"activation": "lrelu"}  # readers of snapshots take no default for granted


class Config(Export):
    """StyleGAN2-ADA: a snapshot (.pkl) for its generate.py, train.py and projector.py, and StyleGAN3's."""

    kind: Literal["stylegan2-ada"] = "stylegan2-ada"
    needs: ClassVar[Ability] = "latents"


def write(settings: Config, opened: Explorer, path: Path) -> Sequence[str]:
    """Write the snapshot to `path`, after reading it back."""
    from ganformer.interop import official, stylegan2_ada

    code = official.Code(
        title=stylegan2_ada.ADA,
        average="G_ema",
        labels="projection",
        required={"kind": ["stylegan2"], "mapping_architecture": ["plain"], "refine_colours": [False]},
        generator=_generator,
        discriminator=_discriminator,
        generator_values=_generator_values,
        discriminator_values=_discriminator_values,
        others={"training_set_kwargs": None, "augment_pipe": None},
    )
    return official.write(code, opened, path)


def _generator(model: Mapping[str, Any], shape: Shape) -> Mapping[str, Any]:
    return {
        "z_dim": model["latent_size"],
        "c_dim": shape.classes,
        "w_dim": model["latent_size"],
        "img_resolution": shape.side,
        "img_channels": shape.channels,
        "mapping_kwargs": {
            **ACTIVATION,
            "num_layers": model["mapping_layers"] + (shape.classes > 0),
            "lr_multiplier": model["mapping_learning_rate_multiplier"],
        },
        "synthesis_kwargs": {
            **ACTIVATION,
            "channel_base": model["channel_base"],
            "channel_max": model["channel_max"],
            "architecture": model["generator_architecture"],
            "use_noise": model["noise"],
            "conv_clamp": model["activation_clamp"],
            "num_fp16_res": 0,
        },
    }


def _discriminator(model: Mapping[str, Any], shape: Shape) -> Mapping[str, Any]:
    from ganformer.interop import official, stylegan2_ada
    from ganformer.nn.discriminator import GROUP

    return {
        **official.judged(model, shape),
        "conv_clamp": model["activation_clamp"],
        "num_fp16_res": 0,
        "block_kwargs": {**ACTIVATION},
        "mapping_kwargs": {
            **ACTIVATION,
            "num_layers": stylegan2_ada.EMBEDDING_LAYERS,
            "lr_multiplier": stylegan2_ada.EMBEDDING_RATE,
        },
        "epilogue_kwargs": {**ACTIVATION, "mbstd_group_size": GROUP, "mbstd_num_channels": 1},
    }


def _generator_values(values: Mapping[str, Tensor], shape: Shape) -> Mapping[str, Tensor]:
    labelled = shape.classes > 0

    def renamed(name: str) -> str:
        name = re.sub(r"^mapping\.global_mlp\.entrance\.", "mapping.fc0.", name)
        return re.sub(r"^mapping\.global_mlp\.l(\d+)\.", lambda found: f"mapping.fc{int(found[1]) + labelled}.", name)

    return {renamed(name): value for name, value in values.items()}


def _discriminator_values(values: Mapping[str, Tensor], shape: Shape) -> Mapping[str, Tensor]:
    return {re.sub(r"^mapping\.l(?=\d)", "mapping.fc", name): value for name, value in values.items()}
