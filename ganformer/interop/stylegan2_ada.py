"""Snapshots of NVIDIA's StyleGAN2 networks: a pickled dict of `G`, `D`, `G_ema` and what trained them.

StyleGAN2-ADA for PyTorch wrote them, and later StyleGAN3's code did (`--cfg=stylegan2`). The two have other defaults
(activations are limited to nothing or 256) and hand the arguments of the synthesis network on in other ways, so that
no default is assumed: a setting is what the arguments say and the layers hold. `G_ema` suffices.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.interop import persistence
from ganformer.interop.imported import NO_DISCRIMINATOR, Imported, square
from ganformer.interop.options import Options
from ganformer.interop.persistence import Pickled
from ganformer.interop.translate import group_misfit, translated, width_misfits, widths, without_filters

ADA, LATER = "StyleGAN2-ADA (PyTorch)", "StyleGAN2 (of StyleGAN3's code)"
EMBEDDING_LAYERS = 8  # of the discriminator's mapping network
EMBEDDING_RATE = 0.01  # and the multiplier of its learning rate

# Names of parts: layers of the synthesis network, its blocks, and layers of a mapping network.
LAYERS, BLOCKS, DENSE = r"synthesis\.b\d+\.(conv\d|torgb)", r"synthesis\.b\d+", r"mapping\.fc\d+"
CONVOLUTIONS = r"synthesis\.b\d+\.conv\d"
JUDGES = r"b(?!4\.fromrgb)\d+\.(fromrgb|conv\d?)"  # those of a discriminator that limit activations

NUMBER, LIMIT = (int, float), (int, float, type(None))


def read(snapshot: Mapping[str, Any], where: Path) -> Imported:
    """Read the moving average `G_ema` and the discriminator `D`; CheckpointError if no model here is equal to them."""
    average = persistence.network(snapshot["G_ema"], "Generator", where)
    model, image = settings(average, where)
    model |= {"discriminator_labels": "projection"}
    generator = without_filters(named(average.values), where)
    origin = ADA if average.options.given("synthesis_kwargs") else LATER
    notes = tuple(_precision(average))
    if persistence.is_absent(snapshot.get("D")):
        return translated(Imported(model, image, generator, None, origin, (NO_DISCRIMINATOR, *notes)), where)
    other = persistence.network(snapshot["D"], "Discriminator", where)
    model |= {
        "discriminator_architecture": other.settled(
            "architecture", other.options.given("architecture"), r"b\d+", "architecture", str
        )
    }
    misfits = [f"the discriminator is left out: {misfit}" for misfit in discriminator_misfits(other, model)]
    discriminator = {re.sub(r"^mapping\.fc(?=\d)", "mapping.l", name): value for name, value in other.values.items()}
    kept = None if misfits else without_filters(discriminator, where)
    return translated(Imported(model, image, generator, kept, origin, (*misfits, *notes)), where)


def named(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return values of a generator by the names of `ganformer.interop.names`."""
    labelled = "mapping.embed.weight" in values
    return {_named(name, labelled): value for name, value in values.items()}


def _named(name: str, labelled: bool) -> str:
    found = re.match(r"mapping\.fc(\d+)\.", name)
    if not found:
        return name
    layer = f"l{int(found[1]) - labelled}" if int(found[1]) or not labelled else "entrance"
    return f"mapping.global_mlp.{layer}.{name[found.end() :]}"


def settings(network: Pickled, where: Path) -> tuple[dict[str, Any], ImageSpec]:
    """Return settings of the model that is equal to a generator, and its images; none of the discriminator's."""
    options, values = network.options, network.values
    mapping, synthesis = options.part("mapping_kwargs"), options.flat("synthesis_kwargs")
    size, width, channels, classes = (
        network.settled(name, options.given(name), "", name, int)
        for name in ("w_dim", "img_resolution", "img_channels", "c_dim")
    )
    options.only(size, "z_dim")
    mapping.only(size, "embed_features", "layer_features")
    for part in (mapping, synthesis):
        part.only("lrelu", "activation")
    synthesis.only([1, 3, 3, 1], "resample_filter")
    _check_activation(network, (mapping, synthesis), rf"{DENSE}|{CONVOLUTIONS}")
    layers = len([name for name in values if re.match(rf"{DENSE}\.weight$", name)])
    network.settled("num_layers", [layers, *mapping.given("num_layers")], "mapping", "num_layers", int)
    model = {
        "kind": "stylegan2",
        "latent_size": size,
        "mapping_layers": layers - (classes > 0),
        "mapping_learning_rate_multiplier": network.settled(
            "lr_multiplier", mapping.given("lr_multiplier"), DENSE, "bias_gain", NUMBER
        ),
        "generator_architecture": network.settled(
            "architecture", synthesis.given("architecture"), BLOCKS, "architecture", str
        ),
        **_widths(synthesis, values, r"synthesis\.b(\d+)\.conv1\.weight"),
        "noise": network.settled("use_noise", synthesis.given("use_noise"), CONVOLUTIONS, "use_noise", bool),
        "activation_clamp": _clamp(network, synthesis, LAYERS),
    }
    return model, square(width, channels, where, classes)


def _widths(options: Options, values: Mapping[str, Tensor], layers: str) -> dict[str, int]:
    """Return channel_base and channel_max as arguments say them; where these do not, as layers have them."""
    found = {int(match[1]): len(value) for name, value in values.items() if (match := re.fullmatch(layers, name))}
    held = widths(found) if found else {}
    return {name: options.get(value, name) for name, value in held.items()}


def _check_activation(network: Pickled, arguments: Sequence[Options], parts: str) -> None:
    said = [value for part in arguments for value in part.given("activation")]
    activation = network.settled("activation", said, parts, "activation", str)
    Options({"activation": activation}, network.where).only("lrelu", "activation")


def discriminator_misfits(network: Pickled, model: Mapping[str, Any]) -> Iterator[str]:
    """Return why no model here with this generator has such a discriminator; None if one has."""
    options = network.options
    mapping, block, epilogue = (options.part(f"{part}_kwargs") for part in ("mapping", "block", "epilogue"))
    for part in (mapping, block, epilogue):
        part.only("lrelu", "activation")
    block.only([1, 3, 3, 1], "resample_filter")
    _check_activation(network, (mapping, block, epilogue), rf"{JUDGES}|b4\.fc|{DENSE}")
    group, channels = (
        network.settled(f"mbstd_{name}", epilogue.given(f"mbstd_{name}"), r"b4\.mbstd", name, kinds)
        for name, kinds in (("group_size", (int, type(None))), ("num_channels", int))
    )
    yield from group_misfit(group, channels)
    held = _widths(options, network.values, r"b(\d+)\.conv0?\.weight")
    yield from width_misfits(Options(held, network.where), model)
    if layers := len([name for name in network.values if re.match(rf"{DENSE}\.weight$", name)]):
        if layers != EMBEDDING_LAYERS:
            yield f"its mapping network has {layers} layers; here it has {EMBEDDING_LAYERS}"
        rate = network.settled("lr_multiplier", mapping.given("lr_multiplier"), DENSE, "bias_gain", NUMBER)
        if rate != EMBEDDING_RATE:
            yield f"its mapping network's lr_multiplier is {rate}; here it is {EMBEDDING_RATE}"
    clamp = _clamp(network, options, JUDGES)
    if clamp != model["activation_clamp"]:
        yield f"its activations are limited to {clamp} and those of the generator to {model['activation_clamp']}"
    if clamp is not None and model["discriminator_architecture"] == "skip":
        yield "of its layers that look at colours all but one limit their activations"
    features = min(held["channel_base"] // 4, held["channel_max"])
    if (size := options.get(features, "cmap_dim")) != features:
        yield f"its labels are embedded in {size} values (cmap_dim); here it is {features}"


def _clamp(network: Pickled, options: Options, layers: str) -> float | None:
    """Return conv_clamp, 0 standing for none."""
    return network.settled("conv_clamp", options.given("conv_clamp"), layers, "conv_clamp", LIMIT) or None


def _precision(network: Pickled) -> Iterator[str]:
    halves = [place for place, part in network.parts.items() if part.get("use_fp16") is True]
    if halves:
        yield f"the official code computes the {len(halves)} finest resolutions in float16; here all are float32"
