"""Base of the settings of exports: forms in which other programs read a trained model, one kind a file."""

from typing import Annotated, ClassVar, Literal

from pydantic import SerializeAsAny

from ganformer.config.base import Plugged, Strict
from ganformer.config.training import Ability


class Export(Strict):
    """One form for other programs. Every file in `ganformer/exports` has its own `Config`."""

    needs: ClassVar[Ability | None]
    """Part that models need to be exported in this form; None: all can."""
    is_folder: ClassVar[bool] = False
    """True: a folder is written; else a file."""

    kind: str


class ProgramExport(Export):
    """Base of forms that are programs from latents to images."""

    needs: ClassVar[Ability | None] = "latents"

    truncation_mean: Literal["class", "global"] = "class"
    """Mean that ψ moves latents towards: of an image's own class, or of all."""


AnyExport = SerializeAsAny[Annotated[Export, Plugged("ganformer.exports")]]


class Exporting(Strict):
    """One export of any kind."""

    export: AnyExport
