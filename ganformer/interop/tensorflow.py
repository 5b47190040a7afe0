"""Snapshots of GANformer's TensorFlow code, the published ones among them: a pickled tuple of G, D and Gs.

Values are those of the PyTorch code, turned: dense weights are [inputs, outputs], convolutions [k, k, inputs, outputs],
those that double the resolution mirrored, and styles lack their 1. Three things are computed otherwise: every local
latent is normalised by itself and the global one not at all; plain mapping networks have one layer less; and every
iteration of k-means has its own weights.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganformer.interop import pytorch
from ganformer.interop.imported import Imported
from ganformer.interop.options import Options
from ganformer.interop.translate import given_group_misfit, refuse, translated, without
from ganformer.interop.unpickler import Held, TensorFlowNetwork

ORIGIN = "GANformer (TensorFlow)"
VERSION = 4  # of dnnlib.tflib.network.Network, in all releases of StyleGAN2 and GANformer

PARTS = {"query": "to_queries", "key": "to_keys", "value": "to_values", "out": "modulation"} | {
    "from_pos": "from_pos_map",
    "to_pos": "to_pos_map",
    "n_cont": "from_gate_attention.gate",
    "n_pos": "from_gate_attention.gate_pos",
    "e_cont": "to_gate_attention.gate",
    "e_pos": "to_gate_attention.gate_pos",
}
PLACES = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "Skip": "skip", "ToRGB": "torgb"} | {
    "ToRGB/extraLayer": "conv_last"
}
LAYERS = {"Conv0": "conv0", "Conv1_down": "conv1", "Skip": "skip", "FromRGB": "fromrgb", "Conv": "conv", "Dense0": "fc"}
ARGUMENTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "": {
        "z_dim": ("latent_size", "z_dim"),
        "w_dim": ("dlatent_size", "w_dim"),
        "img_channels": ("num_channels",),
    },
    "mapping_kwargs": {
        "lrmul": ("mapping_lrmul",),
        "resnet": ("mapping_resnet",),
        **{name: (name,) for name in ("transformer", "num_heads", "attention_dropout", "use_pos", "ltnt_gate")},
    },
    "synthesis_kwargs": {
        "channel_max": ("fmap_max", "channel_max"),
        "latent_stem": ("latent_stem", "ltnt_stem"),
        **{
            name: (name,)
            for name in (
                *("crop_ratio", "architecture", "resample_kernel", "local_noise", "style", "transformer", "start_res"),
                *("end_res", "num_heads", "attention_dropout", "ltnt_gate", "img_gate", "integration", "norm"),
                *("kmeans", "kmeans_iters", "iterative", "use_pos", "pos_type", "pos_directions_num"),
            )
        },
    },
}
"""Names of arguments: in the PyTorch code, the part they belong to, and in earlier and later TensorFlow code."""


def read(snapshot: tuple[Any, Any, Any], where: Path) -> Imported:
    """Return the moving average Gs and the discriminator D; CheckpointError if no model here is equal to them."""
    _, other, average = snapshot
    given, variables = _network(average, where)
    _refuse_others(given, where)
    options = Options(_arguments(given), where)
    values = generator_named(variables, options, where)
    model, image = pytorch.settings(options, values, where)
    if model["kind"] == "ganformer":
        model["latent_normalisation"] = "local"
    given, variables = _network(other, where)
    model |= {"discriminator_architecture": given.get("resnet", "architecture")}
    misfits = list(_discriminator_misfits(given, model))
    discriminator = None if misfits else discriminator_named(variables)
    notes = tuple(f"the discriminator is left out: {misfit}" for misfit in misfits)
    values = pytorch.adapted(values, options, where)
    return translated(Imported(model, image, values, discriminator, ORIGIN, notes), where)


def _network(value: Any, where: Path) -> tuple[Options, dict[str, Tensor]]:
    if not isinstance(value, TensorFlowNetwork):
        raise refuse(where, "where a dnnlib.tflib Network should be, there is something else")
    if (version := value.state.get("version")) != VERSION:
        raise refuse(where, f"its networks are of version {str(version)[:20]}; only version {VERSION} can be read")
    return Options(value.state["static_kwargs"], where), dict(_variables(value, ""))


def _variables(network: TensorFlowNetwork, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in network.state["variables"]:
        yield prefix + name, value.tensor if isinstance(value, Held) else torch.tensor(value, dtype=torch.float32)
    for name, part in network.state["components"].items():
        yield from _variables(part, f"{prefix}{name}/")


# ------------------------------------------------------------------------------------------------ settings


def _refuse_others(given: Options, where: Path) -> None:
    """Refuse options that only the TensorFlow code has, and rename those it calls otherwise."""
    if given.first("components_num") is None:
        raise refuse(where, "its networks are of other TensorFlow code than GANformer's; they have no components_num")
    size = given.get(512, "dlatent_size", "w_dim")
    given.only(size, "latent_size", "z_dim", "mapping_dim", "pos_dim")
    given.only("lrelu", "nonlinearity", "mapping_nonlinearity")
    given.only(False, "tanh", "merge", "img2ltnt", "ltnt2ltnt")
    given.only(0, "img2img", "local_attention", "mapping_shared_dim", "label_size", "c_dim")
    given.only(1.0, "fmap_decay")
    given.only(1, "fmap_min")
    given.only(True, "normalize_latents")


def _arguments(given: Options) -> dict[str, Any]:
    """Return the arguments as the PyTorch code would be given them."""
    parts = {
        part: {name: value for name, names in arguments.items() if (value := given.first(*names)) is not None}
        for part, arguments in ARGUMENTS.items()
    }
    parts["synthesis_kwargs"]["channel_base"] = _channel_base(given)
    return {**parts.pop(""), **parts, "k": 1, "img_resolution": given.get(1024, "resolution")}


def _channel_base(given: Options) -> int:
    return 2 * given.get(16384, "fmap_base", "channel_base")


def _discriminator_misfits(given: Options, model: Mapping[str, Any]) -> Iterator[str]:
    given.only("lrelu", "nonlinearity")
    given.only([1, 3, 3, 1], "resample_kernel")
    given.only(0, "label_size", "c_dim")
    given.only(1.0, "crop_ratio", "fmap_decay")
    if given.get(False, "transformer"):
        yield "it attends (transformer)"
    if given.get(0, "local_attention"):
        yield "it attends locally (local_attention)"
    yield from given_group_misfit(given)
    found = {"channel_base": _channel_base(given), "channel_max": given.get(512, "fmap_max", "channel_max")}
    for name, value in found.items():
        if value != model[name]:
            yield f"its {name} is {value} and that of the generator {model[name]}"


# -------------------------------------------------------------------------------------------------- values


def generator_named(variables: Mapping[str, Tensor], options: Options, where: Path) -> dict[str, Tensor]:
    """Return values of a generator, turned, by the names of `ganformer.interop.names`."""
    synthesis = options.part("synthesis_kwargs")
    variables = _with_one_weight(variables, where)
    values = {_generator_name(name, synthesis): _turned(name, value) for name, value in variables.items()}
    values = _counted(values) | dict(_missing_maps(values))
    values |= dict(_positions(variables, values, synthesis.get("sinus", "pos_type")))
    dead = [r"synthesis/pos_emb"]
    if not synthesis.get(True, "local_noise"):
        dead.append(r".*\.noise_const$")
    if not synthesis.get(False, "transformer"):
        dead.append(r"pos$")
    return without(values, dead)


def _generator_name(name: str, synthesis: Options) -> str:
    """Return the name of a variable in the common tongue; those that are in none stay as they are."""
    fixed = {"ltnt_emb/emb": "pos", "dlatent_avg": "mapping.w_avg", "synthesis/4x4/Const/const": "synthesis.b4.const"}
    if name in fixed:
        return fixed[name]
    if found := re.fullmatch(r"synthesis/noise(\d+)", name):
        number = int(found[1]) + 5
        return f"synthesis.b{2 ** (number // 2)}.conv{number % 2 if number > 5 else 1}.noise_const"
    if found := re.fullmatch(r"mapping/(global/)?Dense(\d+)(?:_(\d))?/(weight|bias)", name):
        is_global = found[1] or not synthesis.get(False, "transformer")
        layer = f"l{found[2]}.fc{found[3]}" if found[3] else f"l{found[2]}"
        return f"mapping.{'global_mlp' if is_global else 'mlp'}.{layer}.{found[4]}"
    if found := re.fullmatch(r"mapping/AttLayer_(\d+)/(.+)", name):
        return f"mapping.mlp.sa{found[1]}.{_attention_name(found[2])}"
    if found := re.fullmatch(r"synthesis/(\d+)x\1/(.+?)/AttLayer_l2n/(.+)", name):
        return f"synthesis.b{found[1]}.{PLACES.get(found[2], found[2])}.transformer.{_attention_name(found[3])}"
    if found := re.fullmatch(r"synthesis/(\d+)x\1/(.+)/(\w+)", name):
        kind = found[3].replace("mod_", "affine.")
        return f"synthesis.b{found[1]}.{PLACES.get(found[2], found[2])}.{kind}"
    return name


def _attention_name(name: str) -> str:
    if found := re.fullmatch(r"(weight|bias)_(\w+)", name):
        return f"{PARTS.get(found[2], found[2])}.{found[1]}"
    return {"toasgn_init": "centroids", "iter_0/st_weights": "att_weight"}.get(name, name)


def _turned(name: str, value: Tensor) -> Tensor:
    """Return a value as the PyTorch code has it."""
    if name.endswith("Const/const"):
        return value[0]
    if name.endswith("/mod_bias"):
        return value + 1
    if not re.search(r"weight(_\w+)?$", name):
        return value
    if value.ndim == 2:
        return value.T
    return (value.flip(0, 1) if "_up/" in name else value).permute(3, 2, 0, 1)


def _with_one_weight(variables: Mapping[str, Tensor], where: Path) -> dict[str, Tensor]:
    """Drop the weights of later k-means iterations; CheckpointError if they differ from the first's."""
    for name, value in variables.items():
        first = re.sub(r"/iter_\d+/st_weights$", "/iter_0/st_weights", name)
        if first != name and not torch.equal(value, variables[first]):
            raise refuse(
                where,
                f"its iterations of k-means have different weights ({name} and {first}); here, as in the PyTorch code, "
                "one set serves all of them",
            )
    return without(variables, [r".*/iter_[1-9]\d*/st_weights$"])


def _counted(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return layers counted through: behind residual steps the last layer bears the number of the last of them."""
    found = [re.match(r"mapping\.global_mlp\.l(\d+)\.fc0\.weight$", name) for name in values]
    last = max((int(match[1]) for match in found if match), default=None)
    if last is None:
        return dict(values)
    plain = rf"^(mapping\.(?:global_)?mlp\.)l{last}\.(?=weight$|bias$)"
    return {re.sub(plain, rf"\g<1>l{last + 1}.", name): value for name, value in values.items()}


def _missing_maps(values: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield zeros for what positions would be multiplied with, where latents have none: others have the same shapes."""
    likes = {"from_pos_map": "to_keys", "to_pos_map": "to_keys", "to_gate_attention.gate_pos": "to_gate_attention.gate"}
    for name, value in values.items():
        for kind, like in likes.items():
            missing = name.replace(f".{like}.", f".{kind}.")
            if missing not in values:
                yield missing, torch.zeros_like(value)


def _positions(
    variables: Mapping[str, Tensor], values: Mapping[str, Tensor], kind: str
) -> Iterator[tuple[str, Tensor]]:
    """Yield learned positions of pixels for each attention layer; the official two of a resolution share them."""
    kinds = {
        "linear": {"emb": "slopes"},
        "trainable": {"x_emb": "columns", "y_emb": "rows"},
        "trainable2d": {"emb": "grid"},
    }
    for name in values:
        if found := re.fullmatch(r"(synthesis\.b(\d+)\.conv\d\.transformer)\.to_values\.weight", name):
            for theirs, ours in kinds.get(kind, {}).items():
                table = variables[f"synthesis/pos_emb{int(found[2]).bit_length() - 1}/{theirs}"]
                yield f"{found[1]}.positions.{ours}", table.flatten(0, -2) if ours == "grid" else table


def discriminator_named(variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return values of a discriminator, turned, by the names of `ganformer.interop.names`."""
    alive = without(variables, [r"ltnt_emb/", r"pos_emb"])
    return {_discriminator_name(name): _turned(name, value) for name, value in alive.items()}


def _discriminator_name(name: str) -> str:
    if found := re.fullmatch(r"(\d+)x\1/(\w+)/(weight|bias)", name):
        return f"b{found[1]}.{LAYERS.get(found[2], found[2])}.{found[3]}"
    return re.sub(r"^Output/", "b4.out.", name)
