"""Figures of images: contents and inputs."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from ganformer.errors import DataError
from ganformer.exhibits import attention, samples
from ganformer.report import drawing
from tests.pictures import on_white
from tests.report import layout

NPY = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }".ljust(127) + b"\n\x00"
MakeFile = Callable[..., Path]


def strips(**changes: object) -> samples.Config:
    fields = {
        "kind": "samples",
        "title": "Samples",
        "datasets": ["scenes"],
        "models": ["stylegan2", "duplex"],
        "count": 4,
    }
    return samples.Config.model_validate({**fields, **changes})


def maps(**changes: object) -> attention.Config:
    fields = {"kind": "attention", "title": "Maps", "datasets": ["scenes"], "models": ["simplex", "duplex"], "count": 2}
    return attention.Config.model_validate({**fields, **changes})


def corners(axes: Axes, texts: Sequence[str]) -> list[tuple[int, int]]:
    """Return for each text its distance in pixels from the left and the upper end of the axes that it is nearest to."""
    assert isinstance(axes.figure, Figure)
    picture = axes.get_window_extent()
    found = {}
    for text in axes.figure.texts:
        x, y = axes.figure.transFigure.transform(text.get_position())
        if picture.y0 <= y <= picture.y1 and picture.x0 <= x <= picture.x1:
            found[text.get_text()] = (round(x - picture.x0), round(picture.y1 - y))
    return [found[text] for text in texts]


# ------------------------------------------------------------------------------------------------ samples


def test_samples_are_real_ones_and_each_models(tmp_path: Path, images: MakeFile, drawn: list[Figure]) -> None:
    files = [images(model="duplex"), images(model="stylegan2", count=5), images(model=None, count=6)]
    samples.draw(strips(), files, tmp_path / "samples")
    labels = [text.get_text() for text in drawn[0].texts]
    assert labels == ["scenes: real images", "StyleGAN2", "GANformer (duplex)"]
    assert [text.get_color() for text in drawn[0].texts] == [drawing.INK, drawing.COLOURS["stylegan2"], "#d55e00"]
    assert len(drawn[0].axes) == 3
    shown = np.asarray(drawn[0].axes[2].images[0].get_array())
    first = np.load(files[0])["images"][0]
    assert np.array_equal(shown[:128:8, :128:8], first)
    assert [axes.images[0].get_array().shape for axes in drawn[0].axes] == [(128, 4 * 132 - 4, 3)] * 3
    layout.check("samples", drawn[0])


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_images_and_opacity_on_white_are_shown_in_colours(
    tmp_path: Path, images: MakeFile, drawn: list[Figure], channels: int
) -> None:
    file = images(channels=channels)
    samples.draw(strips(models=["duplex"]), [file, images(model=None, channels=channels)], tmp_path / "samples")
    shown = np.asarray(drawn[0].axes[1].images[0].get_array())
    assert np.array_equal(shown[:128:8, :128:8], on_white(np.load(file)["images"][0], axis=-1))


def test_pictures_keep_their_pixels_in_the_file(tmp_path: Path, images: MakeFile) -> None:
    files = [images(model="duplex"), images(model=None)]
    samples.draw(strips(models=["duplex"]), files, tmp_path / "samples")
    with Image.open(tmp_path / "samples.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    first = drawing.resized(np.load(files[0])["images"][0], 128)
    assert np.array_equal(pixels[-128:, :128], first)


@pytest.mark.slow
def test_large_pictures_are_made_smaller(tmp_path: Path, images: MakeFile, drawn: list[Figure]) -> None:
    files = [images(count=9, size=512), images(model=None, count=9, size=512)]
    samples.draw(strips(models=["duplex"], count=9), files, tmp_path / "samples")
    assert drawn[0].axes[1].images[0].get_array().shape == (2 * 260 - 4, 8 * 260 - 4, 3)


def test_pictures_are_filtered_where_they_become_smaller_and_repeated_where_larger() -> None:
    """Compare widths, also of pictures that are not square."""
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, ::2] = 255
    assert not np.isin(drawing.resized(wide, 16)[:, 2:-2], [0, 255]).any()
    high = np.zeros((32, 8, 3), np.uint8)
    high[:, ::2] = 255
    assert np.array_equal(drawing.resized(high, 16), high.repeat(2, axis=0).repeat(2, axis=1))


def test_seeds_are_named(tmp_path: Path, images: MakeFile, drawn: list[Figure]) -> None:
    files = [images(seed=1), images(seed=0), images(model=None)]
    samples.draw(strips(models=["duplex"], seeds=[0, 1]), files, tmp_path / "samples")
    labels = [text.get_text() for text in drawn[0].texts[1:]]
    assert labels == ["GANformer (duplex), seed 0", "GANformer (duplex), seed 1"]


def test_reals_of_another_pack(tmp_path: Path, images: MakeFile) -> None:
    files = [images(), images(model=None, data_sha256="e" * 64)]
    message = (
        r"'Samples' needs real images of the pack that .*duplex-0\.npz was trained on \(data dddddddddddd…\)"
        "; pass the file of real images of that pack"
    )
    with pytest.raises(DataError, match=message):
        samples.draw(strips(models=["duplex"]), files, tmp_path / "samples")


def test_run_without_samples(tmp_path: Path, images: MakeFile) -> None:
    with pytest.raises(DataError, match="'Samples' needs generated images of scenes/stylegan2 seed 0"):
        samples.draw(strips(), [images(), images(model=None)], tmp_path / "samples")


@pytest.mark.parametrize("content", [b"", b"PK nonsense", b"text", NPY])
def test_broken_file_of_images(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.npz: is no readable file of images .*; make it again"):
        samples.draw(strips(), [path], tmp_path / "samples")


def test_missing_file_of_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.npz: is no readable file of images"):
        samples.draw(strips(), [tmp_path / "absent.npz"], tmp_path / "samples")


@pytest.mark.parametrize("size", [16, pytest.param(512, marks=pytest.mark.slow)])
def test_classes_are_written_on_the_corners_of_their_images(
    tmp_path: Path, images: MakeFile, drawn: list[Figure], size: int
) -> None:
    classes = [f"class {i}" for i in range(20)]
    files = [images(model=model, count=20, size=size, classes=classes) for model in ("duplex", None)]
    samples.draw(strips(models=["duplex"], count=20), files, tmp_path / "samples")
    columns, step = (16, 128 + drawing.GAP) if size == 16 else (8, 256 + drawing.GAP)
    assert {text.get_fontsize() for text in drawn[0].texts if text.get_text() in classes} == {5}
    for axes in drawn[0].axes:
        assert corners(axes, classes) == [(i % columns * step + 3, i // columns * step + 3) for i in range(20)]


def test_text_lies_inside_the_figures_and_labels_above_the_images(
    tmp_path: Path, images: MakeFile, drawn: list[Figure]
) -> None:
    models = ["simplex", "duplex"]
    files = [images(model=model, maps=(8,)) for model in models]
    samples.draw(strips(models=models), [*files, images(model=None)], tmp_path / "samples")
    attention.draw(maps(), files, tmp_path / "maps")
    for figure in drawn:
        for text in figure.texts:
            box = text.get_window_extent()
            assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text.get_text()
            assert not any(axes.get_window_extent().overlaps(box) for axes in figure.axes), text.get_text()


# ---------------------------------------------------------------------------------------------- attention


def corner(axes: Axes) -> tuple[int, int]:
    """Return the left and top pixel of a picture on its sheet."""
    place, (width, height) = axes.get_position(), axes.get_figure(root=True).get_size_inches() * drawing.DPI
    return round(place.x0 * width), round((1 - place.y1) * height)


def test_attention_shows_the_finest_map_of_each_resolution(
    tmp_path: Path, images: MakeFile, drawn: list[Figure]
) -> None:
    files = [images(model=model, maps=(4, 8, 8)) for model in ("duplex", "simplex")]
    attention.draw(maps(), files, tmp_path / "maps")
    texts = [text.get_text() for text in drawn[0].texts]
    block = ["sample", "overlaid", "8×8", "4×4"]
    assert texts == ["GANformer (simplex)", *block, "GANformer (duplex)", *block]
    assert [corner(axes) for axes in drawn[0].axes] == [(0, 88), (4 * 132 - 4 + 40, 88)]
    assert drawn[0].get_size_inches()[1] * drawing.DPI == pytest.approx(88 + 2 * 132 - 4)
    stored = np.load(files[1])
    shown = np.asarray(drawn[0].axes[0].images[0].get_array())
    strongest = stored["maps_2"][0].astype(np.float32).mean(axis=0).argmax(axis=0)
    colours = np.round(drawing.component_colours(3) * 255)
    fine = shown[:128, 2 * 132 : 2 * 132 + 128]
    assert np.array_equal(fine[8::16, 8::16], colours[strongest])
    over = shown[:128, 132 : 132 + 128][4::8, 4::8].astype(float)
    expected = 0.7 * colours[strongest].repeat(2, 0).repeat(2, 1) + 0.3 * stored["images"][0]
    assert np.abs(over - expected).max() <= 0.51
    assert shown.shape[0] == 2 * 132 - 4
    layout.check("attention", drawn[0])


def test_three_resolutions_of_maps_and_three_models_are_side_by_side(
    tmp_path: Path, images: MakeFile, drawn: list[Figure]
) -> None:
    models = ["simplex", "duplex", "centroid", "mine"]
    files = [images(model=model, count=1, maps=(4, 8, 16, 32)) for model in models]
    attention.draw(maps(models=models, count=1), files, tmp_path / "maps")
    texts = [text.get_text() for text in drawn[0].texts]
    assert texts[1:6] == ["sample", "overlaid", "32×32", "16×16", "8×8"]
    places = [corner(axes) for axes in drawn[0].axes]
    step = 5 * 132 - 4 + 40
    assert places == [(0, 88), (step, 88), (2 * step, 88), (0, 88 + 128 + 40 + 88)]


def test_a_position_has_the_component_of_the_highest_mean_over_heads() -> None:
    heads = np.array([[0.9, 0.1, 0.0], [0.0, 0.6, 0.4]], np.float16)  # mean: 0.45, 0.35, 0.2
    others = np.array([[0.9, 0.1, 0.0], [0.0, 1.0, 0.0]], np.float16)
    layer = np.stack([heads, others])[:, :, :, None, None]
    colours = np.round(drawing.component_colours(3) * 255)
    assert attention._coloured(layer)[:, 0, 0].tolist() == colours[[0, 1]].tolist()


def test_classes_are_written_on_the_samples_beside_their_maps(
    tmp_path: Path, images: MakeFile, drawn: list[Figure]
) -> None:
    classes = ["cat", "dog", "eel"]
    files = [images(model="duplex", count=3, maps=(8,), classes=classes)]
    attention.draw(maps(models=["duplex"], count=3), files, tmp_path / "maps")
    assert corners(drawn[0].axes[0], classes) == [(3, 3), (3, 135), (3, 267)]


def test_data_sets_are_on_lines_of_their_own(tmp_path: Path, images: MakeFile, drawn: list[Figure]) -> None:
    files = [images(dataset, "duplex", maps=(4,)) for dataset in ("scenes", "faces")]
    attention.draw(maps(models=["duplex"], datasets=["scenes", "faces"]), files, tmp_path / "maps")
    assert [corner(axes) for axes in drawn[0].axes] == [(0, 88), (0, 88 + 2 * 132 - 4 + 40 + 88)]
    assert "GANformer (duplex), faces" in [text.get_text() for text in drawn[0].texts]


def test_file_without_maps(tmp_path: Path, images: MakeFile) -> None:
    with pytest.raises(
        DataError, match=r"duplex-0\.npz: holds images only; make it with `ganformer step analyse attention`"
    ):
        attention.draw(maps(models=["duplex"]), [images()], tmp_path / "maps")


# ---------------------------------------------------------------------------------------------- all of them


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, images: MakeFile) -> None:
    files = [images(), images(model=None)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        samples.draw(strips(models=["duplex"]), files, tmp_path / name / "samples")
    for suffix in ("png", "pdf", "json"):
        one, other = ((tmp_path / name / f"samples.{suffix}").read_bytes() for name in ("a", "b"))
        assert one == other
        assert len(one) > 100
    assert b"Software" not in (tmp_path / "a" / "samples.png").read_bytes()
    assert not re.search(rb"CreationDate|ModDate", (tmp_path / "a" / "samples.pdf").read_bytes())


def test_the_style_is_ours_whatever_the_users_is_and_only_inside() -> None:
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9}):
        with drawing.style():
            assert (mpl.rcParams["font.size"], mpl.rcParams["lines.linewidth"]) == (10, 1.5)
        assert (mpl.rcParams["font.size"], mpl.rcParams["lines.linewidth"]) == (30, 9)


def test_a_class_is_written_on_a_white_ground_through_which_its_image_shines() -> None:
    sheet = drawing.Sheet(100, 100)
    drawing.write_class(sheet, "cat", 10, 20)
    (text,) = sheet.figure.texts
    ground = text.get_bbox_patch()
    assert ground is not None
    assert to_hex(ground.get_facecolor(), keep_alpha=True) == "#ffffffb2"  # seven tenths
    assert (ground.get_edgecolor()[3], ground.get_boxstyle().pad) == (0, pytest.approx(0.6 / 5))  # of letters of 5 pt
    assert [round(place * size) for place, size in zip(text.get_position(), (2000, 100), strict=True)] == [13, 77]


def test_axes_are_thin_and_dark_on_a_light_grid_below_everything() -> None:
    with drawing.style():
        axes = drawing.figure(1.0).subplots()
    axes.set_xlabel("x")
    assert {name: spine.get_visible() for name, spine in axes.spines.items()} == {
        "left": True,
        "bottom": True,
        "right": False,
        "top": False,
    }
    assert axes.spines["left"].get_linewidth() == 0.8
    inks = [axes.spines["left"].get_edgecolor(), axes.xaxis.label.get_color()]
    inks += [axis.get_major_ticks(1)[0].label1.get_color() for axis in (axes.xaxis, axes.yaxis)]
    assert {to_hex(ink) for ink in inks} == {"#1c2330"}
    across, down = (axis.get_major_ticks(1)[0].gridline for axis in (axes.yaxis, axes.xaxis))
    assert (across.get_visible(), down.get_visible()) == (True, False)
    assert to_hex(across.get_color()) == "#dfe3e8"
    assert axes.get_axisbelow() is True


def test_lower_pictures_are_in_the_middle_of_their_row() -> None:
    black = [np.zeros((height, 4, 3), np.uint8) for height in (2, 4)]
    picture = drawing.mosaic([black, black[:1]], 4)
    gap = [255] * drawing.GAP
    assert picture.shape == (4 + drawing.GAP + 4, 4 + drawing.GAP + 4, 3)
    assert picture[:, 0, 0].tolist() == [255, 0, 0, 255, *gap, 255, 0, 0, 255]
    assert picture[:, -1, 0].tolist() == [0, 0, 0, 0, *gap, 255, 255, 255, 255]


def test_models_have_one_colour_in_all_figures() -> None:
    few, many = drawing.colours(["duplex", "mine"]), drawing.colours(["GAN", "k-GAN", "yours", "duplex", "mine"])
    assert few["duplex"] == many["duplex"]
    assert len(set(many.values())) == 5
    assert all(to_hex(colour) == colour for colour in many.values())


def test_colours_of_models_are_those_that_colour_blind_readers_tell_apart() -> None:
    """They are of the palette of Okabe and Ito (2008), whose numbers are written in decimal there."""
    palette = {
        "kgan": (230, 159, 0),
        "vqgan": (86, 180, 233),
        "centroid": (0, 158, 115),
        "simplex": (0, 114, 178),
        "duplex": (213, 94, 0),
        "sagan": (204, 121, 167),
    }
    assert {model: drawing.COLOURS[model] for model in palette} == {
        model: to_hex([part / 255 for part in colour]) for model, colour in palette.items()
    }
    every = [*drawing.COLOURS.values(), *drawing.OTHER_COLOURS]
    assert len(set(every)) == len(every)
    turns = drawing.colours([f"m{i}" for i in range(8)])
    assert [turns["m0"], turns["m1"]] == [turns["m6"], turns["m7"]] == list(drawing.OTHER_COLOURS[:2])


def test_component_colours_are_those_of_the_official_code() -> None:
    colours = drawing.component_colours(4)
    assert [to_hex(colour) for colour in colours] == ["#db5f57", "#91db57", "#57d3db", "#a157db"]
