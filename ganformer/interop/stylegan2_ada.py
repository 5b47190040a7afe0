"""Snapshots of NVIDIA's StyleGAN2-ADA for PyTorch: a pickled dict of `G`, `D`, `G_ema` and what trained them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.interop import persistence
from ganformer.interop.imported import Imported, square
from ganformer.interop.options import Options
from ganformer.interop.translate import group_misfit, translated, width_misfits, without_filters

ORIGIN = "StyleGAN2-ADA (PyTorch)"
EMBEDDING_LAYERS = 8  # of the discriminator's mapping network


def read(snapshot: Mapping[str, Any], where: Path) -> Imported:
    """The moving average `G_ema` and the discriminator `D`; CheckpointError where no model here is equal to them."""
    options, values = persistence.network(snapshot["G_ema"], "Generator", where)
    model, image = settings(options, values, where)
    generator = without_filters(named(values), where)
    others, values = persistence.network(snapshot["D"], "Discriminator", where)
    model |= {"discriminator_architecture": others.get("resnet", "architecture"), "discriminator_labels": "projection"}
    misfits = [f"the discriminator is left out: {misfit}" for misfit in discriminator_misfits(others, model)]
    discriminator = {re.sub(r"^mapping\.fc(?=\d)", "mapping.l", name): value for name, value in values.items()}
    kept = None if misfits else without_filters(discriminator, where)
    notes = (*misfits, *_precision(options))
    return translated(Imported(model, image, generator, kept, ORIGIN, notes), where)


def named(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values of a generator by the names of `ganformer.interop.names`."""
    labelled = "mapping.embed.weight" in values
    return {_named(name, labelled): value for name, value in values.items()}


def _named(name: str, labelled: bool) -> str:
    found = re.match(r"mapping\.fc(\d+)\.", name)
    if not found:
        return name
    layer = f"l{int(found[1]) - labelled}" if int(found[1]) or not labelled else "entrance"
    return f"mapping.global_mlp.{layer}.{name[found.end() :]}"


def settings(options: Options, values: Mapping[str, Tensor], where: Path) -> tuple[dict[str, Any], ImageSpec]:
    """Settings of the model that is equal to a generator, and its images; the discriminator's are not among them."""
    mapping, synthesis = options.part("mapping_kwargs"), options.part("synthesis_kwargs")
    size, width = options.get(512, "w_dim"), options.get(0, "img_resolution")
    classes = options.get(0, "c_dim")
    options.only(size, "z_dim")
    mapping.only(size, "embed_features", "layer_features")
    for part in (mapping, synthesis):
        part.only("lrelu", "activation")
    synthesis.only([1, 3, 3, 1], "resample_filter")
    layers = len([name for name in values if re.match(r"mapping\.fc\d+\.weight$", name)])
    model = {
        "kind": "stylegan2",
        "latent_size": size,
        "mapping_layers": layers - (classes > 0),
        "mapping_learning_rate_multiplier": mapping.get(0.01, "lr_multiplier"),
        "generator_architecture": synthesis.get("skip", "architecture"),
        "channel_base": synthesis.get(32768, "channel_base"),
        "channel_max": synthesis.get(512, "channel_max"),
        "noise": synthesis.get(True, "use_noise"),
        "activation_clamp": _clamp(synthesis),
    }
    image = square(width, options.get(3, "img_channels"), where, classes)
    return model, image


def discriminator_misfits(options: Options, model: Mapping[str, Any]) -> Iterator[str]:
    """Why no model here with this generator has such a discriminator, if so."""
    mapping, block, epilogue = (options.part(f"{part}_kwargs") for part in ("mapping", "block", "epilogue"))
    for part in (mapping, block, epilogue):
        part.only("lrelu", "activation")
    block.only([1, 3, 3, 1], "resample_filter")
    yield from group_misfit(epilogue)
    yield from width_misfits(options, model)
    if (layers := mapping.get(EMBEDDING_LAYERS, "num_layers")) != EMBEDDING_LAYERS:
        yield f"its mapping network has {layers} layers; here it has {EMBEDDING_LAYERS}"
    if (clamp := _clamp(options)) != model["activation_clamp"]:
        yield f"its activations are limited to {clamp} and those of the generator to {model['activation_clamp']}"
    if clamp is not None and options.get("resnet", "architecture") == "skip":
        yield "of its layers that look at colours all but one limit their activations"
    features = min(model["channel_base"] // 4, model["channel_max"])
    if (size := options.get(features, "cmap_dim")) != features:
        yield f"its labels are embedded in {size} values (cmap_dim); here it is {features}"


def _clamp(options: Options) -> float | None:
    """conv_clamp, 0 standing for none."""
    return options.get(0.0, "conv_clamp") or None


def _precision(options: Options) -> Iterator[str]:
    if rungs := options.part("synthesis_kwargs").get(0, "num_fp16_res"):
        yield f"the official code computes the {rungs} finest resolutions in float16; here all are float32"
