"""Checkpoints (.ckpt) of Taming Transformers, the code of VQGAN's authors (github.com/CompVis/taming-transformers).

There are those of the first stage alone, and those of the transformer, which hold their first stage as well. PyTorch
Lightning wrote them; its own objects in them are passed over. Shapes tell the settings, except the resolution, the
number of heads and what the transformer is conditioned on: these stand in `configs/*-project.yaml`, beside the folder
`checkpoints` (or `ckpts`) that the file is in, as in a training and in what was published.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.errors import CheckpointError
from ganformer.interop.imported import NO_DISCRIMINATOR, Imported, square
from ganformer.models.vqgan import model as vqgan
from ganformer.models.vqgan.settings import Config

ORIGIN = "Taming Transformers"
PROJECTS = "*-project.yaml"
RESOLUTION = 256  # of everything that was published
GROUPS = 32
TOKENS = "transformer.tok_emb.weight"
NAMES = r"(first_stage_model\.)?(encoder\.conv_in|quantize\.embed|post_quant_conv)|transformer\.tok_emb"
FIRST_STAGE = "first_stage_model."
DISCRIMINATOR = "loss.discriminator."
UNTRAINED = {"layers": 1, "heads": 1, "width": 32}
UNTRAINED_NOTE = "without a transformer, which it does not hold: it reconstructs images, but samples codes at random"
RESOLUTION_NOTE = f"taken as of images {RESOLUTION} pixels wide, as all published ones are; no settings are beside it"
ACTNORM_NOTE = "without its discriminator, which is normalised by ActNorm"

Weights = Mapping[str, Tensor]

# Official names of the first stage, by what they begin with, and ours.
FIRST_STAGE_NAMES = (
    (r"(encoder|decoder)\.conv_in\.", r"\1.first."),
    (r"(encoder|decoder)\.norm_out\.", r"\1.norm."),
    (r"(encoder|decoder)\.conv_out\.", r"\1.last."),
    (r"(encoder|decoder)\.mid\.block_1\.", r"\1.middle.0."),
    (r"(encoder|decoder)\.mid\.attn_1\.", r"\1.middle.1."),
    (r"(encoder|decoder)\.mid\.block_2\.", r"\1.middle.2."),
    (r"(encoder|decoder)\.(?:down|up)\.(\d+)\.block\.", r"\1.stages.\2.blocks."),
    (r"(encoder|decoder)\.(?:down|up)\.(\d+)\.attn\.", r"\1.stages.\2.attentions."),
    (r"(encoder|decoder)\.(?:down|up)\.(\d+)\.(?:down|up)sample\.conv\.", r"\1.stages.\2.resample.convolution."),
    (r"quant_conv\.", "before."),
    (r"post_quant_conv\.", "after."),
    (r"quantize\.embed(?:ding)?\.weight$", "quantiser.codebook"),
    (r"quantize\.proj\.", "quantiser.scores."),
)
# Parts of a residual or attention block, and of a layer of the transformer.
BLOCK_NAMES = {
    "norm1": "change.0",
    "conv1": "change.1",
    "norm2": "change.2",
    "conv2": "change.4",
    "nin_shortcut": "shortcut",
    "q": "queries",
    "k": "keys",
    "v": "values",
    "proj_out": "projection",
}
LAYER_NAMES = {
    "ln1": "attention_norm",
    "ln2": "layers_norm",
    "attn.proj": "attention.projection",
    "mlp.0": "layers.0",
    "mlp.2": "layers.2",
}


def is_one(content: Mapping[Any, Any]) -> bool:
    """Return whether it is a checkpoint of a first stage or of both stages."""
    state = content.get("state_dict")
    return isinstance(state, Mapping) and any(isinstance(name, str) and re.match(NAMES, name) for name in state)


def read(content: Any, path: Path, project: Path | None = None) -> Imported:
    """Read the checkpoint `path`; `project`: file of its settings, if that is not at its usual place.

    Raises CheckpointError if one of them is damaged, asks for code to be executed, or is of a model that none here
    is equal to.
    """
    state = _state(content, path)
    project = project or _beside(path)
    settings = None if project is None else _parameters(project)
    if TOKENS not in state:
        return _first_stage(state, settings, path)
    if settings is None:
        raise CheckpointError(
            f"{path}: does not say how many heads its transformer has; put the {PROJECTS} that it was published with "
            f"into {path.parent.parent / 'configs'}"
        )
    return _both_stages(state, settings, path)


def _first_stage(state: Weights, settings: Mapping[str, Any] | None, path: Path) -> Imported:
    resolution = RESOLUTION if settings is None else int(_setting(settings, path, "ddconfig.resolution"))
    discriminator, notes = _discriminator(state)
    model = {**autoencoder_settings(state, path), **discriminator_settings(discriminator), "transformer": UNTRAINED}
    image = _image(state, resolution, path)
    return Imported(
        model=model,
        image=image,
        sampler={**_prefixed("autoencoder", autoencoder(state)), **_prefixed("transformer", _untrained(model, image))},
        discriminator=discriminator,
        origin=ORIGIN,
        notes=(UNTRAINED_NOTE, *notes, *([RESOLUTION_NOTE] if settings is None else [])),
    )


def _both_stages(state: Weights, settings: Mapping[str, Any], path: Path) -> Imported:
    first = _below(FIRST_STAGE, state)
    resolution = int(_setting(settings, path, "first_stage_config.params.ddconfig.resolution"))
    image = _image(first, resolution, path)
    model = {**autoencoder_settings(first, path), "transformer": transformer_settings(state, settings, path)}
    starts, classes = start_tokens(settings, path)
    length = _length(model, image)
    _check_transformer(state, model, length, path)
    return Imported(
        model=model,
        image=image.model_copy(update={"classes": classes}),
        sampler={
            **_prefixed("autoencoder", autoencoder(first)),
            **_prefixed("transformer", transformer(_below("transformer.", state), starts, length)),
        },
        discriminator=None,
        origin=ORIGIN,
        notes=(NO_DISCRIMINATOR,),
    )


# ------------------------------------------------------------------------------------------------ the files


def _state(content: Any, path: Path) -> Weights:
    """Return all weights by their official names."""
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: is no checkpoint of {ORIGIN}: it has no weights under 'state_dict'")
    return dict(state)


def _beside(path: Path) -> Path | None:
    """Return the newest file of settings in the folder where they lie."""
    found = sorted((path.parent.parent / "configs").glob(PROJECTS))
    return found[-1] if found else None


def _parameters(project: Path) -> Mapping[str, Any]:
    """Return the parameters that a model was made with."""
    try:
        settings = yaml.safe_load(project.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{project}: cannot be read as settings of {ORIGIN} ({error})") from error
    parameters: Mapping[str, Any] = _setting(settings, project, "model.params")
    return parameters


def _setting(settings: Any, where: Path, name: str) -> Any:
    """Return the value under a dotted name."""
    for key in name.split("."):
        if not isinstance(settings, Mapping) or key not in settings:
            raise CheckpointError(f"{where}: the settings of {ORIGIN} that belong to it do not say {name}")
        settings = settings[key]
    return settings


# ----------------------------------------------------------------------------------------------- first stage


def autoencoder_settings(state: Weights, path: Path) -> dict[str, Any]:
    """Return our settings of a first stage with these weights; CheckpointError if it is of another kind."""
    for name, what in {"colorize": "segmentation maps", "quantize.used": "codes that are renumbered"}.items():
        if name in state:
            raise CheckpointError(f"{path}: is a model of {what} ({name}), which none here is equal to")
    if "encoder.conv_in.weight" not in state:
        raise CheckpointError(f"{path}: is no VQGAN of {ORIGIN}: it has no encoder.conv_in.weight")
    channels, levels = len(state["encoder.conv_in.weight"]), range(_count(state, r"encoder\.down\.(\d+)\."))
    is_gumbel = "quantize.embed.weight" in state
    codes, size = state["quantize.embed.weight" if is_gumbel else "quantize.embedding.weight"].shape
    return {
        "kind": "vqgan",
        "channels": channels,
        "channel_multipliers": [len(state[f"encoder.down.{i}.block.0.conv2.weight"]) // channels for i in levels],
        "residual_blocks": _count(state, r"encoder\.down\.0\.block\.(\d+)\."),
        "attention_downsampling": [1 << i for i in levels if f"encoder.down.{i}.attn.0.norm.weight" in state],
        "groups": GROUPS,
        "latent_channels": len(state["encoder.conv_out.weight"]),
        "codes": codes,
        "code_size": size,
        "quantiser": {"kind": "gumbel" if is_gumbel else "nearest"},
    }


def autoencoder(state: Weights) -> dict[str, Tensor]:
    """Return the weights of a first stage under our names."""
    finest = _count(state, r"decoder\.up\.(\d+)\.") - 1
    own = {name: value for name, value in state.items() if not name.startswith("loss.")}
    return {_translated(name, finest): value for name, value in own.items()}


def _translated(name: str, finest: int) -> str:
    """Return levels of the decoder are counted from the image officially, and to the image here."""
    name = re.sub(r"(?<=decoder\.up\.)\d+", lambda level: str(finest - int(level[0])), name)
    for official, ours in FIRST_STAGE_NAMES:
        name, is_found = re.subn(f"^{official}", ours, name)
        if is_found:
            break
    return re.sub(r"(?<=\.)[a-z_12]+(?=\.(?:weight|bias)$)", lambda part: BLOCK_NAMES.get(part[0], part[0]), name)


def discriminator_settings(discriminator: Weights | None) -> dict[str, Any]:
    """Return our settings of a discriminator with these weights."""
    if discriminator is None:
        return {}
    convolutions = [value for value in discriminator.values() if value.ndim == 4]
    return {"discriminator": {"channels": len(convolutions[0]), "layers": len(convolutions) - 2}}


def _discriminator(state: Weights) -> tuple[dict[str, Tensor] | None, list[str]]:
    """Return its weights, whose names are ours; if there is none that ours is equal to, a note about it."""
    found = _below(DISCRIMINATOR, state)
    if not found:
        return None, [NO_DISCRIMINATOR]
    if any(name.endswith(".loc") for name in found):
        return None, [ACTNORM_NOTE]
    looked_at, colours = (state[name].shape[1] for name in (f"{DISCRIMINATOR}main.0.weight", "encoder.conv_in.weight"))
    if looked_at != colours:
        return None, [f"without its discriminator, which looks at {looked_at} colours of images of {colours}"]
    return found, []


# ---------------------------------------------------------------------------------------------- second stage


def transformer_settings(state: Weights, settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return our settings of a transformer; CheckpointError if not every code attends to exactly those before it."""
    parameters = _setting(settings, path, "transformer_config.params")
    if parameters.get("n_unmasked"):
        raise CheckpointError(f"{path}: {parameters['n_unmasked']} codes attend to later ones, as none do here")
    return {
        "layers": _count(state, r"transformer\.blocks\.(\d+)\."),
        "heads": int(_setting(parameters, path, "n_head")),
        "width": state[TOKENS].shape[1],
    }


def start_tokens(settings: Mapping[str, Any], path: Path) -> tuple[Sequence[int], int]:
    """Return codes whose embeddings are the starts, one for each class, and the number of classes.

    CheckpointError if the transformer is conditioned on anything else, or reads the codes in another order.
    """
    order = settings.get("permuter_config", {}).get("target", "Identity")
    if not order.endswith(".Identity") and order != "Identity":
        raise CheckpointError(f"{path}: its transformer reads codes in the order of {order}; here it reads row by row")
    condition = _setting(settings, path, "cond_stage_config")
    if condition == "__is_unconditional__" or settings.get("unconditional"):
        return [int(settings.get("sos_token", 0))], 0
    target = condition.get("target", "") if isinstance(condition, Mapping) else str(condition)
    if not target.endswith(".Labelator"):
        raise CheckpointError(f"{path}: its transformer is conditioned on {target}; here it is on classes or nothing")
    classes = int(_setting(condition, path, "params.n_classes"))
    return range(classes), classes


def transformer(state: Weights, starts: Sequence[int], length: int) -> dict[str, Tensor]:
    """Return the weights of a transformer under our names, for images of so many codes."""
    found = {
        "starts": state["tok_emb.weight"][list(starts)],
        "embedding.weight": state["tok_emb.weight"],
        "positions": state["pos_emb"][0, :length],
        "head.weight": state["head.weight"],
        "norm.weight": state["ln_f.weight"],
        "norm.bias": state["ln_f.bias"],
    }
    for i in range(_count(state, r"blocks\.(\d+)\.")):
        found |= _prefixed(f"blocks.{i}", dict(_layer(_below(f"blocks.{i}.", state))))
    return found


def _layer(state: Weights) -> Iterator[tuple[str, Tensor]]:
    for kind in ("weight", "bias"):
        for official, ours in LAYER_NAMES.items():
            yield f"{ours}.{kind}", state[f"{official}.{kind}"]
        parts = [state[f"attn.{part}.{kind}"] for part in ("query", "key", "value")]
        yield f"attention.queries_keys_values.{kind}", torch.cat(parts)


def _check_transformer(state: Weights, model: Mapping[str, Any], length: int, path: Path) -> None:
    tokens, places = len(state[TOKENS]), state["transformer.pos_emb"].shape[1]
    if tokens != model["codes"]:
        raise CheckpointError(f"{path}: its transformer knows {tokens} codes but its codebook has {model['codes']}")
    if places < length:
        raise CheckpointError(f"{path}: its transformer sees {places} codes at a time but an image has {length}")


def _untrained(model: Mapping[str, Any], image: ImageSpec) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = vqgan.transformer(Config.model_validate(model), _length(model, image), image.classes)
    return made.state_dict()


# --------------------------------------------------------------------------------------------------- helpers


def _image(first: Weights, resolution: int, where: Path) -> ImageSpec:
    return square(resolution, first["encoder.conv_in.weight"].shape[1], where)


def _length(model: Mapping[str, Any], image: ImageSpec) -> int:
    """Return codes of an image."""
    factor = 1 << (len(model["channel_multipliers"]) - 1)
    return (image.height // factor) * (image.width // factor)


def _count(state: Weights, pattern: str) -> int:
    """Return one more than the largest number that the pattern finds in a name."""
    return 1 + max((int(found[1]) for name in state if (found := re.match(pattern, name))), default=-1)


def _below(prefix: str, state: Weights) -> dict[str, Tensor]:
    """Return the values whose names have this prefix, without the prefix."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _prefixed(prefix: str, state: Weights) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in state.items()}
