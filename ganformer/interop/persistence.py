"""Networks that NVIDIA's torch_utils.persistence pickled: their values and how they were built, without their code."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ganformer.errors import CheckpointError
from ganformer.interop.options import Options
from ganformer.interop.unpickler import Absent, Held, Persistent

VERSION = 6  # of the format, in all releases of StyleGAN2-ADA, StyleGAN3 and GANformer
MAX_VALUE_LENGTH = 40  # characters of a value in a message


@dataclass(frozen=True)
class Pickled:
    """A network: the arguments it was built with, its values by name, and what its parts hold beside values."""

    options: Options
    values: Mapping[str, Tensor]
    parts: Mapping[str, Mapping[str, Any]]
    """Attributes of every part by its dotted name; those of the network itself are under ""."""
    where: Path

    def settled(
        self, name: str, said: Sequence[Any], parts: str, attribute: str, kinds: type | tuple[type, ...]
    ) -> Any:
        """Return a setting, by what its arguments say, if anything, and what the layers hold under an attribute.

        `parts`: a pattern of the dotted names of these layers; `kinds`: the types it may have. Raises CheckpointError
        where neither says it, and where not all say the same: nothing is ever taken for granted.
        """
        held = [
            part[attribute] for place, part in self.parts.items() if re.fullmatch(parts, place) and attribute in part
        ]
        found = [*said, *held]
        if not found:
            raise self._error(f"neither the arguments nor the layers of its network say {name}")
        for value in found:
            if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
                raise self._error(f"{name} of its network is {_shown(value)}")
        if other := [value for value in found if value != found[0]]:
            raise self._error(
                f"its network says different things of {name}: {_shown(found[0])} and {_shown(other[0])}, in its "
                "arguments and layers, or from layer to layer"
            )
        return found[0]

    def _error(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.where}: cannot be imported: {what}")


def _shown(value: Any) -> str:
    plain = value is None or isinstance(value, bool | int | float | str)
    return repr(value)[:MAX_VALUE_LENGTH] if plain else f"a {type(value).__name__}"


def is_absent(value: Any) -> bool:
    """Return whether a snapshot has nothing where this network should be."""
    return value is None or isinstance(value, Absent)


def network(value: Any, kind: str, where: Path) -> Pickled:
    """Return a pickled network of class `kind`; CheckpointError if it is none."""
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
    options, parts = Options(state.get("_init_kwargs"), where), dict(_parts(state, ""))
    return Pickled(options, dict(_values(parts)), parts, where)


def _parts(state: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield states of a module and its parts."""
    yield name, state
    for child, part in state["_modules"].items():
        if isinstance(part, Persistent):
            yield from _parts(part.meta["state"], f"{name}.{child}" if name else child)


def _values(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers, named as `state_dict` names them."""
    for place, state in parts.items():
        for kind in ("_parameters", "_buffers"):
            for name, held in state[kind].items():
                if isinstance(held, Held):
                    yield f"{place}.{name}" if place else name, held.tensor
