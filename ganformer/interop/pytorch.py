"""Snapshots of GANformer's PyTorch code: a pickled dict of `G`, `D`, `Gs` and `dataset_args`; `Gs` suffices."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.interop import persistence
from ganformer.interop.imported import NO_DISCRIMINATOR, Imported, square
from ganformer.interop.options import Options
from ganformer.interop.translate import (
    are_close,
    given_group_misfit,
    refuse,
    translated,
    width_misfits,
    without,
    without_filters,
)
from ganformer.models.ganformer.positions import Linear, Sinusoidal

ORIGIN = "GANformer (PyTorch)"
POSITIONS = {"sinus": "sinusoidal", "linear": "linear", "trainable": "trainable", "trainable2d": "trainable-2d"}
NORMALISATIONS = {"": "none", "layer": "layer", "batch": "layer", "instance": "instance"}  # batch was never written
DEAD_BIASES = (r".*\.to_keys\.bias$", r".*\.to_pos_map\.bias$")  # change all scores of a softmax alike


def read(snapshot: Mapping[str, Any], where: Path) -> Imported:
    """Read the moving average `Gs` and the discriminator `D`; CheckpointError if no model here is equal to them."""
    average = persistence.network(snapshot["Gs"], "Generator", where)
    model, image = settings(average.options, named(average.values), where)
    generator = adapted(named(average.values), average.options, where)
    if persistence.is_absent(snapshot.get("D")):
        return translated(Imported(model, image, generator, None, ORIGIN, (NO_DISCRIMINATOR,)), where)
    other = persistence.network(snapshot["D"], "Discriminator", where)
    model |= {"discriminator_architecture": other.options.get("resnet", "architecture")}
    misfits = list(discriminator_misfits(other.options, model))
    discriminator = None if misfits else without_filters(named(other.values), where)
    notes = tuple(f"the discriminator is left out: {misfit}" for misfit in misfits)
    return translated(Imported(model, image, generator, discriminator, ORIGIN, notes), where)


# --------------------------------------------------------------------------------------------------- names


def named(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return values by the names of `ganformer.interop.names`."""
    values = {name.replace(".biasAct.bias", ".bias"): value for name, value in values.items()}
    labelled = "mapping.embed.weight" in values
    last = layers(values)
    return {_counted(name, last, labelled): value for name, value in values.items()}


def layers(values: Mapping[str, Tensor]) -> int:
    """Return the number of numbered layers of the mapping networks, which have equally many.

    A residual step is one of them. Snapshots that this project writes have no global one that would be without effect.
    """
    found = (re.match(r"mapping\.(?:global_)?mlp\.l(\d+)\.", name) for name in values)
    return len({match[1] for match in found if match})


def _counted(name: str, last: int, labelled: bool) -> str:
    name = re.sub(r"^(mapping\.(?:global_)?mlp)\.out_layer\.", rf"\1.l{last}.", name)
    if not labelled or not name.startswith("mapping.global_mlp.l"):
        return name
    number, _, rest = name.removeprefix("mapping.global_mlp.l").partition(".")
    return f"mapping.global_mlp.{f'l{int(number) - 1}' if int(number) else 'entrance'}.{rest}"


# ------------------------------------------------------------------------------------------------ settings


def settings(options: Options, values: Mapping[str, Tensor], where: Path) -> tuple[dict[str, Any], ImageSpec]:
    """Return settings of the model that is equal to a generator, and its images; none of the discriminator's."""
    mapping, synthesis = options.part("mapping_kwargs"), options.part("synthesis_kwargs")
    width = options.get(0, "img_resolution")
    image = square(width, options.get(3, "img_channels"), where, options.get(0, "c_dim"))
    _refuse_others(options, mapping, synthesis)
    shared = {
        "generator_architecture": synthesis.get("skip", "architecture"),
        "refine_colours": f"synthesis.b{width}.conv_last.weight" in values,
        "channel_base": synthesis.get(32768, "channel_base"),
        "channel_max": synthesis.get(512, "channel_max"),
        "mapping_learning_rate_multiplier": mapping.get(0.01, "lrmul"),
        "noise": synthesis.get(True, "local_noise"),
    }
    if synthesis.get(False, "transformer"):
        return {**shared, **_attending(options, values, where)}, image
    return {**shared, **_plain(options, values)}, image


def _refuse_others(options: Options, mapping: Options, synthesis: Options) -> None:
    size = options.get(512, "w_dim")
    options.only(size, "z_dim")
    mapping.only(size, "layer_dim", "embed_dim")
    mapping.only(False, "shared", "kmeans")
    for part in (mapping, synthesis):
        part.only("lrelu", "act")
    mapping.only(synthesis.get(False, "transformer"), "transformer")
    synthesis.only([1, 3, 3, 1], "resample_kernel")
    synthesis.only(size, "pos_dim")
    synthesis.only(False, "latent_stem", "ltnt_stem")
    synthesis.only(1.0, "crop_ratio")
    if synthesis.get(False, "kmeans"):
        synthesis.only(False, "iterative")


def _plain(options: Options, values: Mapping[str, Tensor]) -> dict[str, Any]:
    options.only(1, "k")
    options.part("synthesis_kwargs").only(True, "style")
    return {"kind": "stylegan2", "latent_size": options.get(512, "w_dim"), **_mapping(options, values)}


def _attending(options: Options, values: Mapping[str, Tensor], where: Path) -> dict[str, Any]:
    mapping, synthesis = options.part("mapping_kwargs"), options.part("synthesis_kwargs")
    if options.get(0, "c_dim"):
        raise refuse(where, "its labels enter the mapping network of the global latent only; no model here does that")
    components, size = (int(number) for number in values["pos"].shape)
    is_centroid = synthesis.get(False, "kmeans")
    positions = synthesis.get("sinus", "pos_type")
    mapping.only(synthesis.get(1, "num_heads"), "num_heads")
    attends_in_mapping = "mapping.mlp.sa0.to_queries.weight" in values
    if attends_in_mapping:
        mapping.only(False, "ltnt_gate")
    return {
        "kind": "ganformer",
        "attention": "centroid" if is_centroid else "simplex",
        "components": components,
        "latent_size": components * size,
        **_mapping(options, values),
        "latent_normalisation": "joint" if mapping.get(True, "normalize_global") else "joint-local",
        "latent_self_attention": attends_in_mapping,
        "global_style": synthesis.get(True, "style"),
        "heads": synthesis.get(1, "num_heads"),
        "integration": synthesis.get("add", "integration"),
        "normalisation": NORMALISATIONS.get(norm := synthesis.get("", "norm"), norm),
        "positions": POSITIONS.get(positions, positions),
        **_where_directed(positions, synthesis),
        **_attended_widths(synthesis, options.get(0, "img_resolution")),
        **({"iterations": synthesis.get(1, "kmeans_iters")} if is_centroid else {}),
        "image_gate": synthesis.get(False, "img_gate"),
        "component_gate": synthesis.get(False, "ltnt_gate"),
        "attention_dropout": synthesis.get(0.12, "attention_dropout"),
    }


def _mapping(options: Options, values: Mapping[str, Tensor]) -> dict[str, Any]:
    if options.part("mapping_kwargs").get(False, "resnet"):
        return {"mapping_architecture": "resnet", "mapping_layers": 2 * (layers(values) - 1)}
    return {"mapping_architecture": "plain", "mapping_layers": layers(values)}


def _where_directed(positions: str, synthesis: Options) -> dict[str, int]:
    if positions in ("sinus", "linear"):
        return {"position_directions": synthesis.get(2, "pos_directions_num")}
    return {}


def _attended_widths(synthesis: Options, width: int) -> dict[str, int]:
    """Return widths of the features that attend, from the base-2 logarithms they are given by."""
    start, end = (2 ** min(synthesis.get(default, name), 20) for name, default in (("start_res", 0), ("end_res", 20)))
    return {"start_resolution": max(start, 4), "end_resolution": max(min(end, 2 * width), 4)}


def discriminator_misfits(options: Options, model: Mapping[str, Any]) -> Iterator[str]:
    """Return why no model here with this generator has such a discriminator; None if one has."""
    epilogue, block = options.part("epilogue_kwargs"), options.part("block_kwargs")
    for part in (epilogue, block):
        part.only("lrelu", "act")
        part.only([1, 3, 3, 1], "resample_kernel")
    options.only(1.0, "crop_ratio")
    yield from given_group_misfit(epilogue)
    yield from width_misfits(options, model)


# -------------------------------------------------------------------------------------------------- values


def adapted(values: dict[str, Tensor], options: Options, where: Path) -> dict[str, Tensor]:
    """Return exactly the values of our model: drop those without effect, convert those stored otherwise."""
    mapping, synthesis = options.part("mapping_kwargs"), options.part("synthesis_kwargs")
    dead = [*DEAD_BIASES]
    values = without_filters(values, where)
    if not synthesis.get(True, "style"):
        dead += [r".*\.affine\.", r"mapping\.global_mlp\."]
    if synthesis.get(False, "kmeans"):
        dead += [r"synthesis\..*\.to_keys\.", r"synthesis\..*\.to_pos_map\."]
    else:
        values = values | _sharpened(values, synthesis)
    if not mapping.get(False, "use_pos"):
        values = values | _zeros(values, r"mapping\..*_pos_map\.")
    if not synthesis.get(False, "use_pos"):
        values = values | _zeros(values, r"synthesis\..*\.(to_pos_map|to_gate_attention\.gate_pos)\.")
    values = values | _positions(values, synthesis, where)
    return without(values, [*dead, r".*\.conv\d\.(grid_pos|pos\d)$"])


def _zeros(values: Mapping[str, Tensor], pattern: str) -> dict[str, Tensor]:
    """Return zeros for what positions would be multiplied with, and added to, if they were looked at."""
    return {name: torch.zeros_like(value) for name, value in values.items() if re.match(pattern, name)}


def _sharpened(values: Mapping[str, Tensor], synthesis: Options) -> dict[str, Tensor]:
    """Return queries with what the official code divides scores by once too often in every iteration more than one."""
    more = synthesis.get(1, "kmeans_iters") - 1
    pattern = re.compile(r"synthesis\..*\.transformer\.(to_queries|from_pos_map)\.")
    head = {name: len(value) / synthesis.get(1, "num_heads") for name, value in values.items() if pattern.match(name)}
    return {name: values[name] / math.sqrt(size) ** more for name, size in head.items()} if more else {}


def _positions(values: Mapping[str, Tensor], synthesis: Options, where: Path) -> dict[str, Tensor]:
    """Return learned positions of pixels by our names; CheckpointError if fixed ones differ from ours."""
    found: dict[str, Tensor] = {}
    kind, directions = synthesis.get("sinus", "pos_type"), synthesis.get(2, "pos_directions_num")
    for layer in {name.rpartition(".")[0] for name in values if re.search(r"\.conv\d\.(grid_pos|pos0)$", name)}:
        prefix, grid = f"{layer}.transformer.positions.", values.get(f"{layer}.grid_pos")
        if kind == "trainable":
            found |= {f"{prefix}columns": values[f"{layer}.pos0"], f"{prefix}rows": values[f"{layer}.pos1"]}
        elif kind == "trainable2d" and grid is not None:
            found[f"{prefix}grid"] = grid.flatten(0, 1)
        elif kind == "linear" and grid is not None:
            found[f"{prefix}slopes"] = _slopes(grid, directions)
        elif kind == "sinus" and grid is not None:
            height, width, size = grid.shape
            if not are_close(grid.flatten(0, 1), Sinusoidal(height, width, size, directions)()):
                raise refuse(where, f"its {layer}.grid_pos are not the positions of {directions} directions")
    return found


def _slopes(grid: Tensor, directions: int) -> Tensor:
    """Return the factors of all pixels' distances that give positions grid [height, width, size]."""
    height, width, size = grid.shape
    distances = Linear(height, width, size, directions).distances[:, :, None]
    projected = (grid.flatten(0, 1).unflatten(1, (directions, -1)) * distances).sum(dim=0)
    strengths: Tensor = projected / distances.square().sum(dim=0)
    return strengths
