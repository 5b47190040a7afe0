"""Export a GANformer or StyleGAN2 as a snapshot that GANformer's PyTorch code loads."""

from __future__ import annotations

import math
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


class Config(Export):
    """GANformer's PyTorch code: a snapshot (.pkl) for its generate.py and run_network.py."""

    kind: Literal["ganformer"] = "ganformer"
    needs: ClassVar[Ability] = "latents"


def write(settings: Config, opened: Explorer, path: Path) -> Sequence[str]:
    """Write the snapshot to `path`, after reading it back."""
    from ganformer.interop import official, pytorch

    shared: Mapping[str, Sequence[Any]] = {"activation_clamp": [None], "refine_colours": [True]}
    attending: Mapping[str, Sequence[Any]] = {
        "attention": ["simplex", "centroid"],
        "classes": [0],
        "component_gate": [False],  # there it fits only layers with as many features as a component has values
        "update_components": [False],
        "synthesis_self_attention": [False],
        "carried_centroids": [False],
        "latent_normalisation": ["joint", "joint-local"],
        "integration": ["mul", "add"],  # its `both` raises an error
        "positions": ["sinusoidal", "trainable-2d"],  # it computes others once, when a network is built
    }
    model = opened.record.model
    is_attending = model["kind"] == "ganformer"
    plain: Mapping[str, Sequence[Any]] = {"classes": [0]} if model.get("mapping_architecture") == "resnet" else {}
    code = official.Code(
        title=pytorch.ORIGIN,
        average="Gs",
        labels="logits",
        required={"kind": ["ganformer", "stylegan2"], **shared, **(attending if is_attending else plain)},
        generator=_generator,
        discriminator=_discriminator,
        generator_values=_generator_values,
        discriminator_values=_discriminator_values,
        others={"dataset_args": {"resolution": opened.record.image.width, "ratio": 1.0}},
    )
    return official.write(code, opened, path)


def _generator(model: Mapping[str, Any], shape: Shape) -> Mapping[str, Any]:
    is_attending = model["kind"] == "ganformer"
    components = model["components"] if is_attending else 0
    size = model["latent_size"] // max(components, 1)
    attention, mapping, synthesis = _attention(model, shape) if is_attending else ({}, {}, {})
    is_residual = model["mapping_architecture"] == "resnet"
    # Their count leaves out the last layer of all, or, of residual ones, includes both layers of each step.
    layers = model["mapping_layers"] if is_residual else model["mapping_layers"] - 1 + (shape.classes > 0)
    return {
        "z_dim": size,
        "c_dim": shape.classes,
        "w_dim": size,
        "k": components + 1,
        "img_resolution": shape.side,
        "img_channels": shape.channels,
        "component_dropout": model.get("component_dropout", 0.0),
        "mapping_kwargs": {
            "num_layers": layers,
            "lrmul": model["mapping_learning_rate_multiplier"],
            "resnet": is_residual,
            **attention,
            **mapping,
        },
        "synthesis_kwargs": {
            "channel_base": model["channel_base"],
            "channel_max": model["channel_max"],
            "architecture": model["generator_architecture"],
            "local_noise": model["noise"],
            "style": model.get("global_style", True),
            "latent_stem": False,
            **attention,
            **synthesis,
        },
    }


def _attention(
    model: Mapping[str, Any], shape: Shape
) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
    """Return arguments of attention: of both networks, of the mapping network, of the synthesis network."""
    from ganformer.interop import pytorch

    positions = {ours: theirs for theirs, ours in pytorch.POSITIONS.items()}
    both = {
        "transformer": True,
        "use_pos": True,
        "num_heads": model["heads"],
        "attention_dropout": model["attention_dropout"],
    }
    mapping = {
        "ltnt2ltnt": model["latent_self_attention"],
        "ltnt_gate": False,
        "normalize_global": model["latent_normalisation"] == "joint",
    }
    end = model["end_resolution"] or shape.side
    synthesis = {
        "kmeans": model["attention"] == "centroid",
        "kmeans_iters": model["iterations"],
        "iterative": False,
        "integration": model["integration"],
        "norm": None if model["normalisation"] == "none" else model["normalisation"],
        "pos_type": positions[model["positions"]],
        "pos_init": "uniform",
        "pos_directions_num": model["position_directions"],
        "start_res": model["start_resolution"].bit_length() - 1,
        "end_res": end.bit_length() - 1,
        "img_gate": model["image_gate"],
        "ltnt_gate": model["component_gate"],
    }
    return both, mapping, synthesis


def _discriminator(model: Mapping[str, Any], shape: Shape) -> Mapping[str, Any]:
    from ganformer.interop import official
    from ganformer.nn.discriminator import GROUP

    return {
        **official.judged(model, shape),
        "block_kwargs": {},
        "epilogue_kwargs": {"mbstd_group_size": GROUP, "mbstd_num_channels": 1},
    }


def _generator_values(values: Mapping[str, Tensor], shape: Shape) -> Mapping[str, Tensor]:
    from ganformer.interop import pytorch

    labelled, last = shape.classes > 0, pytorch.layers(values) - 1

    def numbered(found: re.Match[str]) -> str:
        network, layer = found[1], int(found[2])
        is_shifted = labelled and network == "global_mlp"
        return f"mapping.{network}.{'out_layer' if layer == last else f'l{layer + is_shifted}'}."

    def renamed(name: str) -> str:
        name = re.sub(r"^mapping\.(global_mlp|mlp)\.l(\d+)\.", numbered, name)
        name = re.sub(r"^mapping\.global_mlp\.entrance\.", "mapping.global_mlp.l0.", name)
        name = re.sub(r"\.transformer\.positions\.grid$", ".grid_pos", name)
        return re.sub(r"(?<=\.)(conv\d|torgb)\.bias$", r"\1.biasAct.bias", name)

    def shaped(name: str, value: Tensor) -> Tensor:
        if not name.endswith(".grid_pos"):
            return value
        side = math.isqrt(len(value))
        return value.reshape(side, side, -1)

    values = {renamed(name): value for name, value in values.items()}
    return {name: shaped(name, value) for name, value in values.items()}


def _discriminator_values(values: Mapping[str, Tensor], shape: Shape) -> Mapping[str, Tensor]:
    return {
        re.sub(r"(?<=\.)(fromrgb|conv\d?)\.bias$", r"\1.biasAct.bias", name): value for name, value in values.items()
    }
