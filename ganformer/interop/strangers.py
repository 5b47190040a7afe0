"""Programs whose files are often taken for those that can be imported, so that these are refused by their names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARKS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("StyleGAN-XL", (b"pg_modules", b"backbones")),
    ("StyleGAN-XL", (b"SuperresGenerator",)),
    ("Projected GAN", (b"pg_modules",)),
    ("R3GAN", (b"R3GAN.Networks",)),
    ("StyleGAN3", (b"SynthesisInput",)),
)
"""Names of modules, classes and attributes that stand in pickles of a program, all of a row together; the first fits.

Projected GAN and StyleGAN-XL pickle their discriminator by the name of its module, pg_modules.discriminator, and only
the latter's has an attribute for several backbones; it begins its generators of more than 16 pixels as a
SuperresGenerator. The networks of R3GAN are pickled by their modules' names. Synthesis in StyleGAN3 begins with a
SynthesisInput, and StyleGAN-XL has that as well.
"""


def pickled_by(path: Path) -> str | None:
    """Return the program of `MARKS` that wrote a pickle; None if it is none of them. Nothing in it is executed."""
    content = path.read_bytes()
    return next((program for program, marks in MARKS if all(mark in content for mark in marks)), None)


def saved_by(content: Mapping[Any, Any]) -> str | None:
    """Return the program that wrote what torch.save saved; None if it is none of those known."""
    state = content.get("GAN")
    if not isinstance(state, Mapping) or "version" not in content:
        return None
    is_style_based = any(isinstance(name, str) and name.startswith("S.net.") for name in state)
    return "lucidrains' stylegan2-pytorch" if is_style_based else "lucidrains' lightweight-gan or a relative"
