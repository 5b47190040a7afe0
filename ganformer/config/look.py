"""Base of the settings of looks: pictures that show what a trained model has learned, one kind a file."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ganformer.config.base import Plugged, Strict
from ganformer.config.training import Ability

MOST = 10_000
"""Numbers that one range may stand for."""


def numbers(value: Any) -> Any:
    """Return whole numbers written as text, `0,3,5-8`, as a list; everything else as it is.

    Raises ValueError if the text has another form, or a range goes down or has more than 10,000 numbers.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        return value
    found: list[int] = []
    for part in value.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise ValueError(f"{value!r} is no list of whole numbers from 0 on; write it as in 0,3,5-8")
        end = int(last or first)
        if not 0 <= end - int(first) < MOST:
            raise ValueError(
                f"{part.strip()} is no range; write the smaller number first, and at most {MOST:,} numbers"
            )
        found += range(int(first), end + 1)
    return found


def words(value: Any) -> Any:
    """Return values written as text, `0.5, 1`, as a list; everything else as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def as_text(value: Any) -> Any:
    """Return a whole number, or several, as the text in which they are written; everything else as it is."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Numbers = Annotated[tuple[NonNegativeInt, ...], BeforeValidator(numbers), Field(min_length=1)]
Values = Annotated[tuple[float, ...], BeforeValidator(words), Field(min_length=1)]


class Look(Strict):
    """One kind of pictures of what a model has learned. Every file in `ganformer/looks` has its own `Config`."""

    needs: ClassVar[Ability | None]
    """Part that models need to be looked at in this way; None: all can."""

    kind: str
    seeds: Numbers = (0, 1, 2, 3)
    """Seeds of the pictures, as in 0,3,5-8: those of `ganformer generate`."""
    label: Annotated[str | None, BeforeValidator(as_text)] = None
    """Class of all pictures, by name or number; None: as in the data."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files that it reads beside the run."""
        return ()


class LatentLook(Look):
    """Base of looks at pictures whose latents are truncated, or come from a file."""

    latents: Path | None = None
    """File with latents w in place of seeds: latents.npz of `look latents` or of `project`."""
    truncation: NonNegativeFloat = 0.7
    """ψ, from 0 (the mean) to 1; latents of a file stay as they are."""

    @model_validator(mode="after")
    def _pictures_are_named_once(self) -> Self:
        if self.latents is not None and "seeds" in self.model_fields_set:
            raise ValueError("seeds and latents both name the pictures; leave one of them out")
        return self

    # Seeds are left out where they mean nothing, so that what is written can be read again.
    @model_serializer(mode="wrap")
    def _without_seeds(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = serialise(self)
        return found if self.latents is None else {name: value for name, value in found.items() if name != "seeds"}

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file of latents, if one is named."""
        return () if self.latents is None else (self.latents,)


AnyLook = SerializeAsAny[Annotated[Look, Plugged("ganformer.looks")]]


class Looking(Strict):
    """One look of any kind."""

    look: AnyLook
