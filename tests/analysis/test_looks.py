"""Looks show what they say: ends of ways, crossings of rows and columns, edits of one component, parts that add up."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer import config
from ganformer.analysis import explorer, looking
from ganformer.analysis.explorer import Explorer
from ganformer.analysis.generate import Request, generate
from ganformer.analysis.looking import look, take
from ganformer.analysis.view import View
from ganformer.config import ImageSpec, Look, Looking
from ganformer.data.images import Pixels
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.looks.codes import inside
from ganformer.looks.interpolation import between
from ganformer.looks.mixing import Config as Mixing
from ganformer.looks.mixing import taken
from ganformer.models.kgan.merging import Weights
from ganformer.nn.layers import Noise
from ganformer.records.npz import LatentsFile, LookedAt
from tests.analysis.untrained import open_untrained
from tests.pictures import on_white

Open = Callable[..., Explorer]


@pytest.fixture
def opened() -> Open:
    """Provide a function that opens an untrained model."""
    return open_untrained


def shown(run: Explorer, kind: str, **settings: Any) -> View:
    return take(config.parse(Looking, {"look": {"kind": kind, **settings}}, "look").look, run)


def pictures(run: Explorer, seeds: list[int], truncation: float = 0.7) -> Pixels:
    """Return the pictures of these seeds, by the function that `generate` uses."""
    with explorer.looking(run, 1):
        return explorer.coloured(run.samples(seeds, truncation=truncation))


# ------------------------------------------------------------------------------------------------ latents


@pytest.mark.parametrize("name", ["stylegan2", "gan", "duplex", "kgan", "msggan"])
def test_the_pictures_of_seeds_are_those_that_generate_makes(opened: Open, name: str) -> None:
    run = opened(name)
    view = shown(run, "latents", seeds="0,9-10", truncation=0.6)
    assert view.columns == ["seed 0", "seed 9", "seed 10"]
    assert np.array_equal(view.cells[0], pictures(run, [0, 9, 10], 0.6))
    assert view.latents is not None
    assert view.latents.shape[0] == 3
    assert view.names == view.columns


def test_with_classes_pictures_are_those_that_generate_makes(opened: Open) -> None:
    run = opened("stylegan2", counts=(3, 2))
    for label in (None, "1"):
        view = shown(run, "latents", seeds=[0, 3, 5], truncation=0.5, **({} if label is None else {"label": label}))
        with explorer.looking(run, 1):
            expected = explorer.coloured(run.samples([0, 3, 5], label, 0.5))
        assert np.array_equal(view.cells[0], expected)


def test_components_can_be_left_out_of_pictures(opened: Open) -> None:
    run = opened("duplex")
    view = shown(run, "latents", seeds=[0, 3], absent="0,2")
    with explorer.looking(run, 1):
        w = run.of_seeds([0, 3], 0.7).w
        images = run.composed.synthesise_without(w.repeat(4, 1, 1, 1), [0, 2])[:2]
    assert np.array_equal(view.cells[0], explorer.coloured(images))
    assert not np.array_equal(view.cells[0], pictures(run, [0, 3]))
    with pytest.raises(
        ConfigError, match="absent: leaves no component out of which a picture could be made; leave out fewer"
    ):
        shown(run, "latents", absent="0-3")
    with pytest.raises(ConfigError, match="absent 4: the model has components 0 to 3"):
        shown(run, "latents", absent=[4])
    with pytest.raises(ConfigError, match="models of kind 'gan' have no components"):
        shown(opened("gan"), "latents", absent=[0])


def test_the_mean_of_a_class_is_computed_once(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    run = opened("gan", counts=(3, 2))
    calls: list[torch.Tensor] = []
    mean = explorer.class_mean
    monkeypatch.setattr(explorer, "class_mean", lambda *given: calls.append(given[1]) or mean(*given))
    for _ in range(2):
        shown(run, "latents", seeds="0-7", truncation=0.5)
    assert sorted(label.tolist() for label in calls) == [[0.0, 1.0], [1.0, 0.0]]


def test_stored_latents_take_the_place_of_seeds(opened: Open, tmp_path: Path) -> None:
    run = opened("duplex")
    view = shown(run, "latents", seeds=[2, 4])
    looking.write_latents(tmp_path / "l.npz", view.latents, view.names, run.record)
    again = shown(run, "latents", latents=tmp_path / "l.npz", truncation=0.1)  # they are truncated already
    assert np.array_equal(again.cells, view.cells)
    assert again.columns == ["seed 2", "seed 4"]


def test_latents_of_another_shape_are_refused(opened: Open, tmp_path: Path) -> None:
    run, other = opened("duplex"), opened("stylegan2")
    view = shown(other, "latents", seeds=[2])
    looking.write_latents(tmp_path / "l.npz", view.latents, view.names, other.record)
    message = (
        r"l\.npz: holds latents \[1, 6, 16\] of scenes/duplex, but those of run\.json are \[n, 7, 5, 4\]; name the"
        " run that they were made with"
    )
    with pytest.raises(CheckpointError, match=message):
        shown(run, "latents", latents=tmp_path / "l.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w[:0], r"l\.npz: holds no latents; make one with"),
        (lambda w: w * np.nan, r"l\.npz: holds latents that are no numbers; make one with"),
    ],
)
def test_latents_that_are_none(opened: Open, tmp_path: Path, change: Any, message: str) -> None:
    run = opened("gan")
    view = shown(run, "latents", seeds=[2])
    looking.write_latents(tmp_path / "l.npz", change(view.latents), view.names, run.record)
    with pytest.raises(DataError, match=message):
        shown(run, "latents", latents=tmp_path / "l.npz")


def test_latents_of_other_weights_are_used_and_told(
    opened: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = opened("gan")
    view = shown(run, "latents", seeds=[2])
    other = run.record.model_copy(update={"weights_sha256": "7" * 64})
    for record, said in (
        (run.record, ""),
        (other, "latents of scenes/duplex, made with other weights than run.json\n"),
    ):
        looking.write_latents(tmp_path / "l.npz", view.latents, view.names, record)
        shown(run, "latents", latents=tmp_path / "l.npz")
        assert capsys.readouterr().err == (said and f"{tmp_path / 'l.npz'}: {said}")


def test_a_label_is_a_name_or_a_number(opened: Open) -> None:
    run = opened("gan", counts=(2, 3))
    one, other = (shown(run, "latents", seeds=[0], label=label) for label in (1, "1"))
    assert np.array_equal(one.cells, other.cells)


def test_a_file_without_latents_is_refused(opened: Open, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(DataError, match=r"a\.npz: is no readable file of latents \(has no provenance\); make one with"):
        shown(opened("duplex"), "latents", latents=tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("seeds", "numbers"), [("0,3,5-8", (0, 3, 5, 6, 7, 8)), (7, (7,)), ([1, 2], (1, 2)), (" 4 , 2 ", (4, 2))]
)
def test_numbers_are_written_as_text_or_list(seeds: Any, numbers: tuple[int, ...]) -> None:
    found = config.parse(Looking, {"look": {"kind": "latents", "seeds": seeds}}, "look").look
    assert found.seeds == numbers


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ("0,x", r"seeds: '0,x' is no list of whole numbers from 0 on; write it as in 0,3,5-8"),
        ("5-2", r"seeds: 5-2 is no range; write the smaller number first, and at most 10,000"),
        ("0-10000", r"seeds: 0-10000 is no range; write the smaller number first"),
        ([], r"seeds: "),
        ([-1], r"seeds\.0: "),
    ],
)
def test_numbers_that_are_none(seeds: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(Looking, {"look": {"kind": "latents", "seeds": seeds}}, "look")


def test_the_longest_range() -> None:
    found = config.parse(Looking, {"look": {"kind": "latents", "seeds": "1-10000"}}, "look").look
    assert found.seeds == tuple(range(1, 10_001))


def test_seeds_out_of_range(opened: Open) -> None:
    with pytest.raises(ConfigError, match=f"seeds 3 to {2**32}: are not all from 0 to {2**32 - 1}"):
        shown(opened("gan"), "latents", seeds=[3, 2**32])


# ----------------------------------------------------------------------------------------- interpolation


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("path", ["linear", "slerp", None])
@pytest.mark.parametrize("name", ["duplex", "msggan"])
def test_the_ends_of_a_way_are_the_pictures_of_its_seeds(opened: Open, space: str, path: str | None, name: str) -> None:
    run = opened(name)
    view = shown(run, "interpolation", seeds=[4, 1, 9], space=space, path=path, steps=3)
    ends = pictures(run, [4, 1, 9])
    assert view.cells.shape == (2, 4, 16, 16, 3)
    for row in range(2):
        assert np.array_equal(view.cells[row, 0], ends[row])
        assert np.array_equal(view.cells[row, -1], ends[row + 1])
        assert not np.array_equal(view.cells[row, 1], view.cells[row, 0])
    assert view.rows == ["seed 4 to seed 1", "seed 1 to seed 9"]
    assert view.columns == ["0", "0.33", "0.67", "1"]


def test_a_film_has_every_picture_once(opened: Open) -> None:
    run = opened("gan")
    view = shown(run, "interpolation", seeds=[4, 1, 9], steps=2)
    expected = [view.cells[0, 0], view.cells[0, 1], view.cells[1, 0], view.cells[1, 1], view.cells[1, 2]]
    assert view.frames is not None
    assert np.array_equal(view.frames, np.stack(expected))


def test_a_loop_goes_back_to_the_first_picture_and_ends_before_it(opened: Open) -> None:
    run = opened("gan")
    view = shown(run, "interpolation", seeds=[4, 1], steps=2, loop=True)
    assert view.rows == ["seed 4 to seed 1", "seed 1 to seed 4"]
    assert view.frames is not None
    assert np.array_equal(view.frames, view.cells[:, :2].reshape(4, 16, 16, 3))
    assert np.array_equal(view.cells[1, 2], view.cells[0, 0])


def test_the_middle_of_a_line_in_w_is_the_picture_of_the_mean_of_both(opened: Open) -> None:
    run = opened("stylegan2")
    view = shown(run, "interpolation", seeds=[0, 1], steps=2, truncation=1)
    with explorer.looking(run, 1):
        w = run.of_seeds([0, 1], 1.0).w
        assert np.array_equal(view.cells[0, 1], run.pictures((w[:1] + w[1:]) / 2)[0])


def test_points_on_a_line_and_on_an_arc() -> None:
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(between(first, second, [0.25], "linear"), torch.tensor([[0.75, 0.5]]))
    arc = between(first, second, [1 / 3], "slerp")  # 30 of 90 degrees: sin 60° of the first, sin 30° of the second
    torch.testing.assert_close(arc, torch.tensor([[math.sqrt(3) / 2, 0.5 * 2]]))
    same = between(first, first, [0.5], "slerp")
    torch.testing.assert_close(same, first)
    opposite = between(first, -first, [0.25], "slerp")
    torch.testing.assert_close(opposite, torch.tensor([[0.5, 0.0]]))


def test_every_latent_of_an_image_is_on_an_arc_of_its_own() -> None:
    first, second = torch.eye(2)[None], torch.stack([torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0])])[None]
    half = between(first, second, [0.5], "slerp")
    torch.testing.assert_close(half[0], torch.tensor([[math.sqrt(0.5)] * 2, [0.0, 1.0]]))


def test_labels_are_interpolated_in_z(opened: Open) -> None:
    run = opened("stylegan2", counts=(5, 5))
    view = shown(run, "interpolation", seeds=[0, 1, 2, 3], space="z", steps=1)
    assert np.array_equal(view.cells[:, 0], pictures(run, [0, 1, 2]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": [3]}, "an interpolation needs at least two pictures; name two seeds, as in 0,1"),
        (
            {"latents": "l.npz", "space": "z"},
            "space z: a file of latents holds w alone; interpolate in w, or name seeds",
        ),
    ],
)
def test_ways_that_are_none(opened: Open, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shown(opened("gan"), "interpolation", **settings)


# ------------------------------------------------------------------------------------- mixing, truncation


def test_a_crossing_has_the_layers_of_its_column_and_the_others_of_its_row(opened: Open) -> None:
    run = opened("stylegan2")
    view = shown(run, "mixing", seeds=[0, 1], others=[2, 3, 4], layers="1-2")
    assert np.array_equal(view.cells[1:, 0], pictures(run, [0, 1]))
    assert np.array_equal(view.cells[0, 1:], pictures(run, [2, 3, 4]))
    assert (view.cells[0, 0] == 255).all()
    with explorer.looking(run, 1):
        w, others = run.of_seeds([0, 1], 0.7).w, run.of_seeds([2, 3, 4], 0.7).w
        mixed = torch.cat([w[1:, :1], others[2:, 1:3], w[1:, 3:]], dim=1)
        assert np.array_equal(view.cells[2, 3], run.pictures(mixed)[0])
    assert view.rows == ["", "seed 0", "seed 1"]
    assert view.columns == ["", "seed 2", "seed 3", "seed 4"]
    assert view.caption == "Layers 1 to 2 have the latents of the column, all others those of the row."


def test_with_all_layers_a_crossing_is_the_picture_of_its_column(opened: Open) -> None:
    run = opened("duplex")
    layers = run.generator.synthesis.layers  # type: ignore[union-attr]
    view = shown(run, "mixing", seeds=[0, 1], others=[2, 3], layers=list(range(int(layers))))
    assert np.array_equal(view.cells[1, 1:], view.cells[0, 1:])
    assert np.array_equal(view.cells[2, 1:], view.cells[0, 1:])


@pytest.mark.parametrize(
    ("layers", "count", "expected"),
    [
        ("coarse", 7, [0, 1]),
        ("middle", 7, [2, 3]),
        ("fine", 7, [4, 5, 6]),
        ("5,1,1", 7, [1, 5]),
        ((5, 1), 7, [1, 5]),
        (2, 7, [2]),
        ("fine", 3, [2]),
    ],
)
def test_layers_by_thirds_or_numbers(layers: Any, count: int, expected: list[int]) -> None:
    assert taken(Mixing(layers=layers), count) == expected


def test_layers_that_are_not_there(opened: Open) -> None:
    with pytest.raises(ConfigError, match=r"layers 7: the generator has layers 0 to 6"):
        taken(Mixing(layers="2,7"), 7)
    with pytest.raises(ConfigError, match="the generator has one w for the whole picture, so there is nothing to mix"):
        shown(opened("gan"), "mixing")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            "bogus",
            r"look: 1 problem\n  look\.layers: 'bogus' is no list of whole numbers from 0 on; write it as in 0,3,5-8",
        ),
        ([], r"look: 1 problem\n  look\.layers: '' is no list of whole numbers"),
        ([-1], r"look: 1 problem\n  look\.layers: '-1' is no list"),
    ],
)
def test_layers_that_are_none(layers: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(Looking, {"look": {"kind": "mixing", "layers": layers}}, "look")


def test_layers_that_do_not_follow_each_other_are_listed(opened: Open) -> None:
    assert shown(opened("stylegan2"), "mixing", layers=[3, 0]).caption.startswith("Layers 0, 3 have")
    assert shown(opened("stylegan2"), "mixing", layers=[3]).caption.startswith("Layers 3 have")


def test_columns_are_truncated_by_their_psi(opened: Open) -> None:
    run = opened("stylegan2")
    view = shown(run, "truncation", seeds=[0, 1], psi="0, 0.5, 1")
    for column, psi in enumerate([0.0, 0.5, 1.0]):
        assert np.array_equal(view.cells[:, column], pictures(run, [0, 1], psi))
    assert np.array_equal(view.cells[0, 0], view.cells[1, 0])
    assert not np.array_equal(view.cells[0, 2], view.cells[1, 2])
    assert view.columns == ["ψ 0", "ψ 0.5", "ψ 1"]


# ----------------------------------------------------------------------------------------------- components


def test_a_swapped_component_is_that_of_the_donor(opened: Open) -> None:
    run = opened("duplex")
    view = shown(run, "components", seeds=[0, 1], donor=6, components="1,4")
    assert view.columns == ["picture", "seed 6", "component 1", "global"]
    assert view.rows == ["seed 0", "difference", "seed 1", "difference"]
    assert np.array_equal(view.cells[[0, 2], 0], pictures(run, [0, 1]))
    assert np.array_equal(view.cells[2, 1], pictures(run, [6])[0])
    with explorer.looking(run, 1):
        w, donor = run.of_seeds([1], 0.7).w.clone(), run.of_seeds([6], 0.7).w
        original = run.images(w)
        w[:, :, 4] = donor[:, :, 4]
        images = run.images(w)
    assert np.array_equal(view.cells[2, 3], explorer.coloured(images)[0])
    change = ((images.clamp(-1, 1) - original.clamp(-1, 1)).abs().mean(dim=1) / 2)[0].numpy()
    assert np.allclose(view.arrays["changes"][1, 1], change)
    most = float(view.arrays["changes"].max())
    assert np.array_equal(view.cells[3, 3, :, :, 0], np.round(change / most * 255).astype(np.uint8))
    assert f"white is {most:.2g} of the range" in view.caption
    assert (view.cells[1, :2] == 255).all()


@pytest.mark.parametrize(("strength", "same"), [(0.0, "picture"), (1.0, "swap")])
def test_moving_by_nothing_changes_nothing_and_the_whole_way_swaps(opened: Open, strength: float, same: str) -> None:
    run = opened("kgan")
    moved = shown(run, "components", seeds=[3], donor=6, edit="move", strength=strength)
    if same == "picture":
        assert (moved.arrays["changes"] == 0).all()
        assert np.array_equal(moved.cells[0, 2], moved.cells[0, 0])
    else:
        swapped = shown(run, "components", seeds=[3], donor=6)
        assert np.allclose(moved.arrays["changes"], swapped.arrays["changes"], atol=1e-6)
        assert moved.arrays["changes"].max() > 0.01


def test_a_component_that_is_drawn_anew_as_in_the_donor(opened: Open) -> None:
    run = opened("duplex")
    view = shown(run, "components", seeds=[0, 2], donor=6, edit="resample", components=[3])
    with explorer.looking(run, 1):
        z, labels = run.drawn([2])
        z[:, 3] = run.drawn([6])[0][:, 3]
        assert np.array_equal(view.cells[2, 2], run.pictures(run.map(z, labels, 0.7))[0])
    same = shown(run, "components", seeds=[2], donor=2, edit="resample")
    assert (same.arrays["changes"] == 0).all()


def test_removing_no_component_changes_nothing(opened: Open) -> None:
    for name in ("duplex", "kgan"):
        run = opened(name)
        with explorer.looking(run, 1):
            w = run.of_seeds([0, 1], 1.0).w
            assert torch.equal(run.composed.synthesise_without(w, []), run.generator.synthesise(w))


def test_a_removed_component_makes_no_difference(opened: Open) -> None:
    """Whatever its latent is, the picture without it is the same, and another one than with it."""
    for name in ("duplex", "kgan"):
        run = opened(name)
        with explorer.looking(run, 1):
            w, other = run.of_seeds([0], 1.0).w.clone(), run.of_seeds([5], 1.0).w
            with_it, without = run.generator.synthesise(w), run.composed.synthesise_without(w, [1])
            w[:, :, 1] = other[:, :, 1]
            assert torch.equal(run.composed.synthesise_without(w, [1]), without)
            assert not torch.allclose(with_it, without, atol=1e-3)
            assert torch.equal(run.composed.synthesise_without(w, []), run.generator.synthesise(w))  # nothing stays


def test_no_pixel_attends_to_a_removed_component(opened: Open) -> None:
    run = opened("duplex")
    generator: Any = run.generator
    kept: list[torch.Tensor] = []
    with explorer.looking(run, 1):
        w = run.of_seeds([0], 1.0).w
        original = generator.synthesise
        generator.synthesise = lambda changed: kept.append(changed) or original(changed)
        try:
            generator.synthesise_without(w, [2])
        finally:
            del generator.synthesise
    assert (kept[0][:, :, 2] == 0).all()
    assert torch.equal(kept[0][:, :, [0, 1, 3, 4]], w[:, :, [0, 1, 3, 4]])


def test_weights_of_components_that_are_left() -> None:
    class Shares(Weights):
        def among(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=2, keepdim=True).softmax(dim=1)

    x = torch.randn(2, 3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    shares = Shares()
    with shares.without([1]):
        found = shares(x)
    assert (found[:, 1] == 0).all()
    torch.testing.assert_close(found[:, [0, 2]], shares(x[:, [0, 2]]))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2, 1, 5, 5))
    assert torch.equal(shares(x), shares.among(x))


def test_pictures_without_a_component_have_no_donor(opened: Open) -> None:
    run = opened("kgan")
    view = shown(run, "components", seeds=[0], edit="remove")
    assert view.columns == ["picture", "component 0", "component 1"]
    with explorer.looking(run, 1):
        w = run.of_seeds([0], 0.7).w
        images = run.composed.synthesise_without(w.expand(8, *w.shape[1:]), [1])
        assert np.array_equal(view.cells[0, 2], explorer.coloured(images[:1])[0])


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("duplex", {"components": [5]}, r"components 5: the model has components 0 to 3, and 4 is its global latent"),
        ("duplex", {"components": [4], "edit": "remove"}, r"components 4: the model has components 0 to 3$"),
        ("kgan", {"components": [2]}, r"components 2: the model has components 0 to 1$"),
        ("stylegan2", {}, r"run\.json: models of kind 'stylegan2' have no components; take a run of ganformer or kgan"),
        ("vqgan", {}, r"models of kind 'vqgan' have no components"),
    ],
)
def test_components_that_are_not_there(opened: Open, name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shown(opened(name), "components", **settings)


def test_a_single_component_cannot_be_removed(opened: Open) -> None:
    run = opened("duplex", components=1, heads=1)
    with pytest.raises(
        ConfigError, match="edit remove: the model has one component, and a picture without any is none"
    ):
        shown(run, "components", edit="remove")


def test_z_of_stored_latents_is_unknown(opened: Open, tmp_path: Path) -> None:
    run = opened("duplex")
    view = shown(run, "latents", seeds=[2])
    looking.write_latents(tmp_path / "l.npz", view.latents, view.names, run.record)
    with pytest.raises(
        ConfigError, match="edit resample: a component of z is drawn, and a file of latents has w alone; name seeds"
    ):
        shown(run, "components", latents=tmp_path / "l.npz", edit="resample")


# ------------------------------------------------------------------------------------ noise, attention


def test_noise_of_no_layer_but_one(opened: Open) -> None:
    run = opened("stylegan2")
    layers = [part for part in run.generator.modules() if isinstance(part, Noise)]
    for layer in layers[1:]:
        layer.strength.fill_(0)
    view = shown(run, "noise", seeds=[0, 1], draws=5)
    deviations = view.arrays["deviations"]
    assert deviations.shape == (2, 1 + len(layers), 16, 16)
    assert np.array_equal(deviations[:, 0], deviations[:, 1])  # all layers, and the first
    assert (deviations[:, 2:] == 0).all()
    assert deviations[:, 1].max() > 0.01
    assert view.columns[:4] == ["constant", "mean", "deviation", "4×4"]
    assert np.array_equal(view.cells[:, 0], pictures(run, [0, 1]))
    assert all(layer.is_constant is False for layer in layers)


def test_deviation_and_mean_of_draws(opened: Open) -> None:
    """A single layer of noise in front of nothing but constants: the deviation is what numpy makes of the draws."""
    from ganformer.looks.noise import _fresh
    from ganformer.training.adversarial import noise_from

    run = opened("stylegan2")
    view = shown(run, "noise", seeds=[3], draws=3)
    layers = [part for part in run.generator.modules() if isinstance(part, Noise)]
    with explorer.looking(run, 1), noise_from(0, run.device), _fresh(layers):
        made = run.images(run.of_seeds([3], 0.7).w.expand(3, -1, -1)).numpy()
    assert np.allclose(view.arrays["deviations"][0, 0], made.std(axis=0).mean(axis=0), atol=1e-6)
    mean = np.floor(np.clip(made.mean(axis=0) * 127.5 + 128, 0, 255)).astype(int).transpose(1, 2, 0)
    assert np.abs(view.cells[0, 1].astype(int) - mean).max() <= 1
    largest = float(view.arrays["deviations"].max())
    assert view.cells[0, 2:].max() == 255
    assert f"White is a deviation of {largest / 2:.2g} of" in view.caption


def test_a_model_without_noise(opened: Open) -> None:
    message = r"run\.json: its layers add no noise \(noise: false\), so there is nothing to look at"
    with pytest.raises(ConfigError, match=message):
        shown(opened("stylegan2", noise=False), "noise")


def test_attention_is_that_of_the_generator(opened: Open) -> None:
    run = opened("duplex")
    view = shown(run, "attention", seeds=[0, 3], alpha=1, layers=[0, 2])
    with explorer.looking(run, 1):
        maps = run.generator.attention_maps(run.of_seeds([3], 0.7).w)[1]  # type: ignore[operator]
    assert sorted(view.arrays) == ["maps_0", "maps_2", "segments"]
    assert np.array_equal(view.arrays["maps_2"][1], maps[2][0].half().numpy())
    assert np.allclose(view.arrays["maps_0"].astype(float).sum(axis=2), 1, atol=5e-3)
    strongest = maps[2][0].mean(dim=0).argmax(dim=0).numpy()
    factor = 16 // strongest.shape[0]
    expected = strongest.repeat(factor, 0).repeat(factor, 1)
    assert np.array_equal(view.arrays["segments"][1, 1], expected)
    assert view.arrays["segments"].dtype == np.uint8
    assert view.columns == ["picture", "layer 0, 4×4", f"layer 2, {strongest.shape[1]}×{strongest.shape[0]}"]
    colours = {tuple(colour) for colour in view.cells[1, 2].reshape(-1, 3)}
    assert len(colours) == len(np.unique(strongest))


def test_colours_are_laid_over_the_picture(opened: Open) -> None:
    run = opened("duplex")
    bare, covered, half = (shown(run, "attention", seeds=[0], alpha=alpha) for alpha in (0, 1, 0.5))
    assert np.array_equal(bare.cells[0, 1], bare.cells[0, 0])
    mixed = (bare.cells[0, 1:].astype(float) + covered.cells[0, 1:]) / 2
    assert np.abs(half.cells[0, 1:] - mixed).max() <= 1


def test_each_head_has_a_column(opened: Open) -> None:
    run = opened("duplex")
    view = shown(run, "attention", seeds=[0], heads="each", layers=[1])
    assert [title.rpartition(", ")[2] for title in view.columns] == ["picture", "head 0", "head 1"]
    strongest = view.arrays["maps_1"][0].astype(np.float32).argmax(axis=1)
    factor = 16 // strongest.shape[1]
    assert (view.arrays["segments"][0] == strongest.repeat(factor, 1).repeat(factor, 2)).mean() > 0.99  # halves round


def test_attention_layers_that_are_not_there(opened: Open) -> None:
    with pytest.raises(ConfigError, match=r"layers 9: the model has attention layers 0 to \d"):
        shown(opened("duplex"), "attention", layers=[9])


# ------------------------------------------------------------------------------------- layers, directions


def test_results_of_rgb_outputs_add_up_to_the_picture(opened: Open) -> None:
    run = opened("stylegan2", generator_architecture="skip")
    view = shown(run, "layers", seeds=[0, 1], truncation=1)
    assert view.columns == ["picture", "4×4", "8×8", "16×16"]
    upsample = run.generator.synthesis.upsample  # type: ignore[union-attr]
    with explorer.looking(run, 1):
        total = torch.from_numpy(view.arrays["part_0"])
        for number in (1, 2):
            total = upsample(total) + torch.from_numpy(view.arrays[f"part_{number}"])  # type: ignore[operator]
        torch.testing.assert_close(total, run.images(run.of_seeds([0, 1], 1.0).w), atol=1e-5, rtol=1e-5)
    assert np.array_equal(view.cells[0, 3], explorer.coloured(torch.from_numpy(view.arrays["part_2"]))[0])


def test_images_of_every_scale(opened: Open) -> None:
    run = opened("msggan")
    view = shown(run, "layers", seeds=[0])
    assert view.columns == ["picture", "4×4", "8×8", "16×16"]
    assert np.array_equal(view.cells[0, 3], view.cells[0, 0])
    assert np.array_equal(view.cells[0, 1, :4, :4], np.broadcast_to(view.cells[0, 1, 0, 0], (4, 4, 3)))


def test_composed_components_and_their_weights(opened: Open) -> None:
    run = opened("kgan", merge_resolution=None)
    view = shown(run, "layers", seeds=[0, 4], truncation=1)
    assert view.columns == ["picture", "component 0", "α 0", "component 1", "α 1"]
    parts = [torch.from_numpy(view.arrays[f"part_{number}"]) for number in range(4)]
    weights = [(part + 1) / 2 for part in parts[1::2]]
    torch.testing.assert_close(weights[0] + weights[1], torch.ones(2, 1, 16, 16))
    composed = parts[0] * weights[0] + parts[2] * weights[1]
    with explorer.looking(run, 1):
        torch.testing.assert_close(composed, run.images(run.of_seeds([0, 4], 1.0).w), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["duplex", "gan"])
def test_an_image_that_is_made_at_once_has_no_parts(opened: Open, name: str) -> None:
    message = r"run\.json: its image comes from one RGB output .* or with generator_architecture: skip"
    with pytest.raises(ConfigError, match=message):
        shown(opened(name, generator_architecture="resnet"), "layers")


def test_principal_directions_are_those_of_the_covariance(opened: Open) -> None:
    run = opened("stylegan2")
    view = shown(run, "directions", seeds=[0], samples=300, count=3, steps=3, reach=1.5)
    with explorer.looking(run, 1):
        w = torch.cat([run.generator.map(*run.drawn(part))[:, 0] for part in (range(256), range(256, 300))]).double()
    _, values, vectors = np.linalg.svd((w - w.mean(dim=0)).numpy(), full_matrices=False)
    found = view.arrays["directions"].astype(float)
    assert np.allclose(np.abs((found * vectors[:3]).sum(axis=1)), 1, atol=1e-4)
    assert np.allclose(view.arrays["deviations"], values[:3] / math.sqrt(300), rtol=1e-4)
    assert np.allclose(view.arrays["explained"], (values**2 / (values**2).sum())[:3], rtol=1e-4)
    assert all(direction[np.abs(direction).argmax()] > 0 for direction in found)
    assert np.array_equal(view.cells[0, 1], pictures(run, [0])[0])
    assert view.columns == ["-1.5 σ", "0", "+1.5 σ"]
    assert view.rows[0] == f"seed 0, direction 0 ({view.arrays['explained'][0]:.0%})"
    with explorer.looking(run, 1):
        moved = run.of_seeds([0], 0.7).w + 1.5 * view.arrays["deviations"][2] * torch.from_numpy(
            view.arrays["directions"][2]
        )
        assert np.abs(view.cells[2, 2].astype(int) - run.pictures(moved.float())[0]).max() <= 1


def test_directions_of_components_have_their_shape(opened: Open) -> None:
    view = shown(opened("duplex"), "directions", samples=30, count=2)
    assert view.arrays["directions"].shape[0] == 2
    assert view.arrays["directions"].ndim == 3


def test_more_directions_than_latents_have(opened: Open) -> None:
    with pytest.raises(ConfigError, match="count 5: 5 latents of 16 values have at most 4 directions"):
        shown(opened("stylegan2"), "directions", samples=5, count=5)


# --------------------------------------------------------------------------------------- codes, neighbours


def test_codes_are_decoded_and_their_lower_half_is_drawn(opened: Open) -> None:
    run = opened("vqgan")
    view = shown(run, "codes", seeds=[0, 5], completions=2)
    assert view.columns == ["picture", "codes", "decoded", "completion 0", "completion 1"]
    codes = torch.from_numpy(view.arrays["codes"])
    assert codes.shape == (2, 4, 4)
    learner: Any = run.learner
    assert np.array_equal(view.cells[:, 2], explorer.coloured(learner.decode(codes)))
    labels = torch.zeros(2, 0)
    kept = torch.zeros(4, 4, dtype=torch.bool)
    kept[:2] = True
    drawn = learner.complete(codes, kept, labels, [1, 1])
    assert torch.equal(drawn[:, :2], codes[:, :2])
    assert np.array_equal(view.cells[:, 4], explorer.coloured(learner.decode(drawn)))
    assert np.array_equal(view.cells[0, 0], pictures(run, [0], 1.0)[0])
    shades = np.round(codes[0].numpy() / 15 * 255).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    assert np.array_equal(view.cells[0, 1, :, :, 2], shades)


def test_with_nothing_kept_codes_are_those_of_a_sample_and_with_all_kept_the_given_ones(opened: Open) -> None:
    learner: Any = opened("vqgan").learner
    labels, codes = torch.zeros(2, 0), torch.arange(32).view(2, 4, 4) % 16
    nothing = learner.complete(codes, torch.zeros(4, 4, dtype=torch.bool), labels, [3, 4])
    with torch.no_grad():
        free = learner.sampler.transformer.sample(labels, learner.settings.sampling, [3, 4])
    assert torch.equal(nothing.flatten(1), free)
    assert torch.equal(learner.complete(codes, torch.ones(4, 4, dtype=torch.bool), labels, [3, 4]), codes)


def test_codes_of_pictures_of_a_pack(opened: Open, pack: Path) -> None:
    from ganformer.data.dataset import Images

    run = opened("vqgan")
    view = shown(run, "codes", seeds=[7, 2], data=pack, completions=0)
    expected = Images(pack).read(np.array([7, 2])).transpose(0, 2, 3, 1)
    assert np.array_equal(view.cells[:, 0], expected)
    assert view.rows == ["image 7", "image 2"]
    with pytest.raises(DataError, match=r"has images 0 to 9 but 10 was asked for; name others"):
        shown(run, "codes", seeds=[10], data=pack)


BARS = ImageSpec(height=16, width=16, rows=8)


@pytest.mark.parametrize(
    ("region", "shape", "image", "rows", "columns"),
    [
        # Centres of 4 codes are at 1/8, 3/8, 5/8, 7/8.
        ((0, 0, 1, 1), (4, 4), ImageSpec(height=16, width=16), [0, 1, 2, 3], [0, 1, 2, 3]),
        ((0.25, 0.5, 0.75, 1), (4, 4), ImageSpec(height=16, width=16), [2, 3], [1, 2]),
        ((0.2, 0.1, 0.7, 0.6), (4, 4), ImageSpec(height=16, width=16), [0, 1], [1, 2]),
        ((0.375, 0.376, 0.625, 0.626), (4, 4), ImageSpec(height=16, width=16), [2], [1]),
        ((0.3, 0.3, 0.37, 0.9), (4, 4), ImageSpec(height=16, width=16), [1, 2, 3], []),
        # Of 5 codes 1/10, 3/10, …, which no float is.
        ((0.1, 0.5, 0.3, 0.7), (5, 5), ImageSpec(height=20, width=20), [2], [0]),
        ((0, 0.5, 1, 1), (2, 8), ImageSpec(height=8, width=32), [1], list(range(8))),
        # The picture is rows 4 to 11 of 16: centres at -1/4, 1/4, 3/4, 5/4 of it; bars go with the edges.
        ((0, 0, 1, 1), (4, 4), BARS, [0, 1, 2, 3], [0, 1, 2, 3]),
        ((0, 0.5, 1, 1), (4, 4), BARS, [2, 3], [0, 1, 2, 3]),
        ((0, 0, 1, 0.5), (4, 4), BARS, [0, 1], [0, 1, 2, 3]),
        ((0, 0.2, 1, 0.8), (4, 4), BARS, [1, 2], [0, 1, 2, 3]),
    ],
)
def test_a_code_is_in_a_region_if_its_centre_is(
    region: tuple[float, ...], shape: tuple[int, int], image: ImageSpec, rows: list[int], columns: list[int]
) -> None:
    expected = np.zeros(shape, bool)
    expected[np.ix_(rows, columns)] = True
    assert np.array_equal(inside(region, shape, image), expected)


def test_codes_of_a_region_are_drawn_and_all_others_kept(opened: Open) -> None:
    run = opened("vqgan")
    view = shown(run, "codes", seeds=[0, 5], region="0.25,0.25,0.75,1", completions=3)
    codes, region, completions = (view.arrays[name] for name in ("codes", "region", "completions"))
    assert completions.shape == (2, 3, 4, 4)
    assert region.tolist() == [[row > 0 and 0 < column < 3 for column in range(4)] for row in range(4)]
    assert (completions == codes[:, None])[..., ~region].all()
    changed = (completions != codes[:, None])[..., region]
    assert changed.any(axis=-1).all()  # of 6 codes, each of 16
    learner: Any = run.learner
    expected = learner.complete(torch.from_numpy(codes), torch.from_numpy(~region), torch.zeros(2, 0), [2, 2])
    assert np.array_equal(completions[:, 2], expected.numpy())
    assert np.array_equal(view.cells[:, 5], explorer.coloured(learner.decode(expected)))
    assert "the region 0.25,0.25,0.75,1 drawn anew" in view.caption


def test_the_lower_half_is_the_region_where_none_is_named(opened: Open) -> None:
    run = opened("vqgan")
    plain, named = (shown(run, "codes", seeds=[1, 2], **more) for more in ({}, {"region": [0, 0.5, 1, 1]}))
    assert np.array_equal(plain.cells, named.cells)
    assert plain.columns == named.columns
    assert set(plain.arrays) == {"codes"}
    assert (named.arrays["completions"][..., :2, :] == named.arrays["codes"][:, None, :2]).all()


def distinguish_classes(run: Explorer) -> None:
    """Let codes depend on the class, which the transformer begins with: untrained it hardly does."""
    learner: Any = run.learner
    with torch.no_grad():
        learner.sampler.transformer.starts.mul_(50)
        learner.sampler.transformer.head.weight.mul_(50)


@pytest.mark.parametrize("counts", [(), (3, 2)])
def test_the_whole_picture_is_a_sample_of_that_seed(opened: Open, counts: tuple[int, ...]) -> None:
    run = opened("vqgan", counts=counts)
    distinguish_classes(run)
    label: dict[str, Any] = {"label": 1} if counts else {}
    view = shown(run, "codes", seeds=[0, 9], region=(0, 0, 1, 1), completions=2, completion_seed=6, **label)
    learner: Any = run.learner
    labels = torch.tensor([[0.0, 1.0]]) if counts else torch.zeros(1, 0)
    with torch.no_grad():
        samples = [learner.sampler.transformer.sample(labels, learner.settings.sampling, [seed]) for seed in (6, 7)]
    for row in view.arrays["completions"]:
        assert np.array_equal(row.reshape(2, 16), torch.cat(samples).numpy())
    with explorer.looking(run, 1):
        made = explorer.coloured(run.samples([6, 7], "1" if counts else None))
    assert np.abs(view.cells[0, 3:].astype(int) - made).max() <= 1  # rounded in batches of another size
    assert view.columns[3:] == ["completion 6", "completion 7"]


def test_completions_begin_at_their_seed(opened: Open) -> None:
    run = opened("vqgan")
    first = shown(run, "codes", seeds=[0], region="0,0,1,0.5", completions=4)
    later = shown(run, "codes", seeds=[0], region="0,0,1,0.5", completions=2, completion_seed=2)
    assert np.array_equal(first.arrays["completions"][:, 2:], later.arrays["completions"])
    assert np.array_equal(first.cells[:, 5:], later.cells[:, 3:])
    none = shown(run, "codes", seeds=[0], region="0,0,1,0.5", completions=0)
    assert none.arrays["completions"].shape == (1, 0, 4, 4)


def test_a_region_of_picture_files_is_drawn_anew(
    opened: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, values = opened("vqgan"), np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    for name, picture in zip("ba", values, strict=True):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    Image.fromarray(values[0]).resize((32, 32), Image.Resampling.NEAREST).save(tmp_path / "c.png")
    view = shown(run, "codes", image=tmp_path, region="0.5,0,1,1", completions=1)
    assert view.rows == ["a", "b", "c"]
    assert np.array_equal(view.cells[:2, 0], values[::-1])
    assert f"{tmp_path / 'c.png'}: 32×32 pixels, cropped and resized to 16×16\n" in capsys.readouterr().out
    learner: Any = run.learner
    images = torch.from_numpy(values[::-1].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert np.array_equal(view.arrays["codes"][:2], learner.encode(images).numpy())
    region = view.arrays["region"]
    assert (view.arrays["completions"][:, 0] == view.arrays["codes"])[:, ~region].all()
    alone = shown(run, "codes", image=tmp_path / "b.png", region="0.5,0,1,1", completions=1)
    assert alone.rows == ["b"]
    assert np.array_equal(alone.arrays["completions"], view.arrays["completions"][1:2])


def test_files_have_no_class_but_the_named_one(opened: Open, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    run = opened("vqgan", counts=(3, 2))
    message = "^image: the model has 2 classes, and files name none; say the class of the pictures as label$"
    with pytest.raises(ConfigError, match=message):
        shown(run, "codes", image=tmp_path / "a.png")
    distinguish_classes(run)
    settings = {"image": tmp_path / "a.png", "region": "0,0,1,1", "completions": 1}
    zero, one = (shown(run, "codes", label=label, **settings).arrays["completions"] for label in (0, 1))
    assert not np.array_equal(zero, one)


def test_a_file_that_is_no_picture_is_named(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png: is no picture that can be read"):
        shown(opened("vqgan"), "codes", image=tmp_path / "a.png")


@pytest.mark.parametrize("region", ["0.1,0.1,0.12,0.9", "0.13,0.4,0.36,0.6", "0,0.9,1,1"])
def test_a_region_without_codes_is_refused(opened: Open, region: str) -> None:
    message = (
        f"^region {re.escape(region)}: the centre of no code lies in it; a code is 0.25 of the picture wide and 0.25 "
        "high, so make the region larger$"
    )
    with pytest.raises(ConfigError, match=message):
        shown(opened("vqgan"), "codes", region=region)


@pytest.mark.parametrize(
    "region",
    [
        "0,0,1",
        "0,0,1,1,1",
        "0.5,0,0.5,1",
        "0,1,1,0",
        "-0.1,0,1,1",
        "0,0,1,1.1",
        "a,0,1,1",
        "nan,0,1,1",
        [0, 0, 2, 1],
        3,
        True,
    ],
)
def test_what_is_no_box_is_refused(opened: Open, region: Any) -> None:
    message = (
        f"region: {re.escape(repr(region))} is no box; write left,top,right,bottom as parts of the width and height "
        r"from 0 to 1, as in 0\.25,0\.5,0\.75,1$"
    )
    with pytest.raises(ConfigError, match=message):
        shown(opened("vqgan"), "codes", region=region)


@pytest.mark.parametrize(
    ("kind", "settings", "both"),
    [
        ("codes", {"image": "a.png", "seeds": "0-3"}, "seeds and image"),
        ("codes", {"image": "a.png", "data": "packs/a"}, "data and image"),
        ("noise", {"latents": "l.npz", "seeds": "0-3"}, "seeds and latents"),
        ("mixing", {"latents": "l.npz", "seeds": [5]}, "seeds and latents"),
    ],
)
def test_pictures_are_named_in_one_way(kind: str, settings: Any, both: str) -> None:
    with pytest.raises(ConfigError, match=f"{both} both name the pictures; leave one of them out$"):
        config.parse(Looking, {"look": {"kind": kind, **settings}}, "look")


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "codes"},
        {"kind": "codes", "image": "a.png", "region": "0,0,0.5,1", "completion_seed": 3},
        {"kind": "noise", "latents": "l.npz"},
        {"kind": "directions", "seeds": "2,4"},
    ],
)
def test_what_is_written_of_a_look_is_read_as_the_same(settings: Any) -> None:
    """Seeds that mean nothing are not written, since given ones would contradict the files."""
    found = config.parse(Looking, {"look": settings}, "look")
    again = config.parse(Looking, json.loads(found.json()), "look")
    assert again.look == found.look
    assert ("seeds" in found.look.model_dump()) == ("image" not in settings and "latents" not in settings)


def test_records_of_looks_at_codes_have_no_settings_of_later_versions() -> None:
    written = config.parse(Looking, {"look": {"kind": "codes"}}, "look").look.model_dump(mode="json")
    assert written == {"kind": "codes", "seeds": [0, 1, 2, 3], "label": None, "data": None, "completions": 3}


def test_the_nearest_training_picture_of_one_is_itself(
    opened: Open, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganformer.data.dataset import Images

    run = opened("gan")
    images = Images(pack).read(np.arange(10))
    made = torch.from_numpy(images[[3, 8]]).float() / 127.5 - 1
    monkeypatch.setattr(Explorer, "samples", lambda self, seeds, label, truncation: made + 1e-4)
    view = shown(run, "nearest", seeds=[0, 1], data=pack.parent, count=3)
    assert view.arrays["places"][:, 0].tolist() == [3, 8]
    assert (np.diff(view.arrays["distances"]) >= 0).all()
    assert np.array_equal(view.cells[:, 1], images[[3, 8]].transpose(0, 2, 3, 1))
    assert np.array_equal(view.cells[1, 2], images[view.arrays["places"][1, 1]].transpose(1, 2, 0))
    assert view.columns == ["picture", "nearest 1", "nearest 2", "nearest 3"]


def test_training_pictures_with_opacity_are_shown_on_white(
    opened: Open, transparent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganformer.data.dataset import Images

    run = opened("gan")
    images = on_white(Images(transparent).read(np.arange(10)), axis=1)
    made = torch.from_numpy(images[[3, 8]]).float() / 127.5 - 1
    monkeypatch.setattr(Explorer, "samples", lambda self, seeds, label, truncation: made)
    view = shown(run, "nearest", seeds=[0, 1], data=transparent, count=2)
    assert view.arrays["places"][:, 0].tolist() == [3, 8]
    assert np.array_equal(view.cells[:, 1], images[[3, 8]].transpose(0, 2, 3, 1))


def test_more_neighbours_than_there_are(opened: Open, pack: Path) -> None:
    with pytest.raises(DataError, match="has 10 images, but count is 11; look for fewer"):
        shown(opened("gan"), "nearest", data=pack, count=11)


def test_files_that_a_look_reads_are_its_inputs(tmp_path: Path) -> None:
    def inputs(**raw: Any) -> tuple[Path, ...]:
        return config.parse(Looking, {"look": raw}, "look").look.inputs

    assert inputs(kind="latents") == ()
    assert inputs(kind="mixing", latents="a/l.npz") == (Path("a/l.npz"),)
    assert inputs(kind="codes") == ()
    assert inputs(kind="codes", image="a.png") == (Path("a.png"),)
    assert inputs(kind="codes", data="packs/a/manifest.json") == (Path("packs/a/manifest.json"),)
    assert inputs(kind="nearest", data="packs/a") == (Path("packs/a/manifest.json"),)


# ------------------------------------------------------------------------------------------------- files


@pytest.fixture
def settings() -> Look:
    """Provide a look that has a film."""
    return config.parse(Looking, {"look": {"kind": "interpolation", "seeds": [0, 1], "steps": 2}}, "look").look


def test_files_of_a_look(runs: dict[str, Path], tmp_path: Path, settings: Look) -> None:
    out = tmp_path / "a" / "b"
    look(settings, runs["duplex"].parent, out, film="gif", singly=True)
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert names == ["film.gif", "look.npz", "look.png", *(f"pictures/r00-c0{i}.png" for i in range(3))]
    facts, arrays = LookedAt.read(out / "look.npz")
    assert (facts.run.model, facts.rows, facts.columns) == ("duplex", ["seed 0 to seed 1"], ["0", "0.5", "1"])
    assert facts.look == settings.model_dump(mode="json")
    assert arrays["cells"].shape == (1, 3, 16, 16, 3)
    before = {name: (out / name).read_bytes() for name in names}
    look(settings, runs["duplex"], out, film="gif", singly=True)  # the same again
    assert {name: (out / name).read_bytes() for name in names} == before


def test_latents_are_a_file(runs: dict[str, Path], tmp_path: Path) -> None:
    chosen = config.parse(Looking, {"look": {"kind": "latents", "seeds": "3-4"}}, "look").look
    look(chosen, runs["stylegan2"], tmp_path / "l")
    facts, arrays = LatentsFile.read(tmp_path / "l" / "latents.npz")
    assert facts.names == ["seed 3", "seed 4"]
    assert arrays["w"].shape[0] == 2
    assert not (tmp_path / "l" / "pictures").exists()
    generate(
        runs["stylegan2"],
        Request(2, 3, 8, 0.7, None, False),
        tmp_path / "g",
        as_grid=False,
        as_npz=True,
        threads=1,
        gpus=0,
    )
    _, cells = LookedAt.read(tmp_path / "l" / "look.npz")
    assert np.array_equal(cells["cells"][0], np.load(tmp_path / "g" / "images.npz")["arr_0"])


def test_a_folder_with_other_files_is_refused(runs: dict[str, Path], tmp_path: Path, settings: Look) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"has mine\.txt, which no look wrote; choose a new or an empty folder"):
        look(settings, runs["duplex"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_with_another_look_is_refused(runs: dict[str, Path], tmp_path: Path, settings: Look) -> None:
    look(settings, runs["duplex"], tmp_path / "a", film="gif")
    before = (tmp_path / "a" / "look.npz").read_bytes()
    other = settings.model_copy(update={"seeds": (0, 2)})
    with pytest.raises(
        ConfigError, match=r"holds another look \(seeds \[0, 1\], now \[0, 2\]\); choose another folder"
    ):
        look(other, runs["duplex"], tmp_path / "a")
    with pytest.raises(ConfigError, match=r"holds another look \(at other weights\); choose another folder"):
        look(settings, runs["simplex"], tmp_path / "a")
    assert (tmp_path / "a" / "look.npz").read_bytes() == before
    (tmp_path / "a" / "look.npz").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"look\.npz: is no file of a look; choose a new or an empty folder"):
        look(settings, runs["duplex"], tmp_path / "a")


def test_a_model_that_cannot_be_looked_at_so(runs: dict[str, Path], tmp_path: Path) -> None:
    chosen = config.parse(Looking, {"look": {"kind": "attention"}}, "look").look
    with pytest.raises(ConfigError, match="models of kind 'stylegan2' have no attention maps; take a run of ganformer"):
        look(chosen, runs["stylegan2"], tmp_path / "a")
    assert not (tmp_path / "a").exists()
