"""Networks that NVIDIA's torch_utils.persistence pickled: their values and how they were built, without their code."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganformer.errors import CheckpointError
from ganformer.interop.options import Options
from ganformer.interop.unpickler import Held, Persistent

VERSION = 6  # of the format, in all releases of StyleGAN2-ADA and GANformer


def network(value: Any, kind: str, where: Path) -> tuple[Options, dict[str, Tensor]]:
    """Arguments and values by name of a pickled network of class `kind`; CheckpointError where it is none."""
    if not isinstance(value, Persistent) or value.meta.get("class_name") != kind:
        raise CheckpointError(f"{where}: cannot be imported: where a {kind} should be, there is something else")
    if value.meta.get("version") != VERSION:
        raise CheckpointError(
            f"{where}: cannot be imported: its {kind} is of version {str(value.meta.get('version'))[:20]} of "
            f"torch_utils.persistence; only version {VERSION} can be read"
        )
    state = value.meta["state"]
    if state.get("_init_args"):
        raise CheckpointError(f"{where}: cannot be imported: its {kind} was built with arguments without names")
    return Options(state.get("_init_kwargs"), where), dict(_values(state, ""))


def _values(state: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of a module and its parts, named as `state_dict` names them."""
    for kind in ("_parameters", "_buffers"):
        for name, held in state[kind].items():
            if isinstance(held, Held):
                yield prefix + name, held.tensor
    for name, part in state["_modules"].items():
        if isinstance(part, Persistent):
            yield from _values(part.meta["state"], f"{prefix}{name}.")
