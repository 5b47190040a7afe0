"""Pictures of what a model has learned, in rows and columns, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ganformer.data.images import Pixels


@dataclass(frozen=True)
class View:
    """Pictures `cells` uint8 [rows, columns, H, W, 3] with titles of rows and columns."""

    cells: Pixels
    rows: Sequence[str]
    columns: Sequence[str]
    caption: str
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Numbers behind the pictures, by name."""
    frames: Pixels | None = None
    """Pictures of a film, uint8 [n, H, W, 3]."""
    latents: NDArray[Any] | None = None
    """Latents w float32 [n, L, …, D] to be used again; `names` of their pictures."""
    names: Sequence[str] = ()
