"""The figure of looks: pictures of every run under its name, with titles of rows and columns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from ganformer import artifacts, config
from ganformer.config import Experiment
from ganformer.errors import ConfigError, DataError
from ganformer.exhibits.look import draw
from ganformer.records.npz import LookedAt
from ganformer.records.run import RunName
from ganformer.report import drawing, sheet
from tests.report import layout

LOOK = {"kind": "latents", "seeds": [0, 1]}
RAW: dict[str, Any] = {
    "datasets": {"scenes": {"source": {"kind": "scenes"}, "resolution": 16}},
    "models": {
        "duplex": {"kind": "ganformer", "attention": "duplex"},
        "plain": {"kind": "gan"},
        "codes": {"kind": "vqgan", "discriminator": {"layers": 1}},
    },
    "training": {"kimg": 1, "batch": 10, "snapshots": 2},
    "evaluation": {"extractor": {"kind": "random-vgg16"}, "images": 100},
}


def entry(**settings: Any) -> Experiment:
    fields = {"kind": "look", "title": "T", "datasets": ["scenes"], "models": ["duplex"], "look": LOOK, **settings}
    return config.load({**RAW, "experiments": {"e": fields}}).experiments["e"]


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of a look: two rows and three columns of pictures, 8 pixels high and 16 wide."""

    def write(model: str = "duplex", seed: int = 0, *, caption: str = "C.", shade: int = 9, **look: Any) -> Path:
        cells = np.full((2, 3, 8, 16, 3), shade, np.uint8)
        settings = config.parse(config.Looking, {"look": LOOK | look}, "look").look
        path = tmp_path / f"{model}-{seed}.npz"
        LookedAt(
            run=RunName(dataset="scenes", model=model, seed=seed),
            data_sha256=None,
            look=settings.model_dump(mode="json"),
            rows=["one", "second row"],
            columns=["a", "b", "a longer title of c"],
            caption=caption,
        ).write(path, {"cells": cells})
        return path

    return write


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Provide the list of figures that were written."""
    figures: list[Figure] = []
    monkeypatch.setattr(drawing, "write", lambda figure, out, **_: figures.append(figure))
    return figures


def test_layout(file: Callable[..., Path], tmp_path: Path, drawn: list[Figure]) -> None:
    draw(entry(models=["duplex", "plain"]), [file("plain"), file(shade=200)], tmp_path / "e")
    layout.check("look", drawn[0])
    shades = [int(axes.images[0].get_array()[0, 0, 0]) for axes in drawn[0].axes]
    assert shades == [200, 9]


def test_text_of_the_page(file: Callable[..., Path], tmp_path: Path) -> None:
    draw(entry(models=["duplex", "plain"]), [file("plain"), file()], tmp_path / "e")
    page = artifacts.read_json(tmp_path / "e.json")
    assert (page["title"], page["caption"]) == ("T", "C.")
    assert page["alt"] == "Pictures of GANformer (duplex) and plain in rows and columns: latents."
    assert sorted(path.name for path in tmp_path.glob("e.*")) == ["e.json", "e.pdf", "e.png"]


def test_captions_that_differ_are_named(file: Callable[..., Path], tmp_path: Path) -> None:
    draw(entry(seeds=[0, 1]), [file(), file(seed=1, caption="D.")], tmp_path / "e")
    caption = artifacts.read_json(tmp_path / "e.json")["caption"]
    assert caption == "GANformer (duplex), seed 0: C. GANformer (duplex), seed 1: D."


def test_a_run_without_a_file(file: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match="'T' needs the look at scenes/duplex seed 1; make it with `ganformer look`, and pass its file as well",
    ):
        draw(entry(seeds=[0, 1]), [file()], tmp_path / "e")


def test_a_file_of_another_look(file: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"duplex-0\.npz: is of another look than 'T' shows; make it with"):
        draw(entry(), [file(seeds=[3])], tmp_path / "e")


def test_models_that_cannot_be_looked_at_so() -> None:
    with pytest.raises(ConfigError, match="'plain' has no components; leave it out"):
        entry(models=["duplex", "plain"], look={"kind": "components"})
    with pytest.raises(ConfigError, match="'codes' has no latents that are mapped; leave it out"):
        entry(models=["codes"])
    assert entry(models=["codes"], look={"kind": "nearest", "data": "p"}).models == ("codes",)


def test_wide_sheets_have_smaller_pictures() -> None:
    part = sheet.Part("", np.zeros((1, 60, 32, 32, 3), np.uint8), ["r"], [f"column {i}" for i in range(60)])
    assert part.left == 20 + 11
    assert part.tile == (4000 - 31) // 60 - 4
    assert part.size == 5
    assert sheet.Part("", np.zeros((1, 2, 32, 32, 3), np.uint8), ["r"], ["a", "b"]).tile == 128
    large = sheet.Part("", np.zeros((1, 2, 512, 512, 3), np.uint8), ["r"], ["a", "b"])
    assert (large.tile, large.size) == (256, 7)
    assert sheet.Part("", np.zeros((1, 900, 32, 32, 3), np.uint8), ["r"], ["a"] * 900).tile == 32


def test_titles_are_broken_between_words() -> None:
    part = sheet.Part("", np.zeros((1, 1, 32, 32, 3), np.uint8), ["r"], ["a longer title of c"])
    assert part.titles() == ["a longer\ntitle of c"]
