"""Chi-square distances of scenes, worked out by hand."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from ganformer import artifacts
from ganformer.analysis import chi_square as module
from ganformer.analysis import readers
from ganformer.analysis.chi_square import chi_square, measure_run
from ganformer.analysis.parsers.scenes.model import Reader
from ganformer.config import ImageSpec
from ganformer.data.dataset import Images
from ganformer.errors import DataError
from ganformer.scenes import source as scenes
from ganformer.scenes.parser import Settings
from tests.pictures import on_white

PROPERTIES = ["object_area", "object_number", "co_occurrence", "shape", "colour", "size", "material", "class"]


def compare(generated, real, attributes=Reader.attributes, paired=Reader.paired):
    return module.compare(generated, real, attributes, paired)


# In an order of its own, lest other scenes be drawn where attributes are listed in another one.
KINDS = [(name, Reader.attributes[name]) for name in ("shape", "size", "material", "colour")]


def thing(shape="sphere", colour="red", size="large", material="rubber", area=10):
    return {"shape": shape, "colour": colour, "size": size, "material": material, "visible_pixels": area}


def drawn(count, seed):
    """Return scenes of 3 to 8 objects in which all values are as frequent."""
    random = np.random.default_rng(seed)
    return [
        [
            {**{name: str(random.choice(values)) for name, values in KINDS}, "visible_pixels": int(area)}
            for area in random.integers(5, 100, random.integers(3, 9))
        ]
        for _ in range(count)
    ]


def distances(values):
    return {name: value for name, value in values.items() if not name.endswith("_std")}


# ------------------------------------------------------------------------------------------ the distance


def test_distance_is_pearsons_of_percent():
    # 75 and 25 percent where 50 and 50 are expected: twice 25² / 50.
    assert chi_square(np.array([3.0, 1.0]), np.array([9.5, 9.5])) == pytest.approx(25)


def test_distance_does_not_grow_with_counts():
    assert chi_square(np.array([300.0, 100.0]), np.array([9.5, 9.5])) == pytest.approx(25)


def test_half_a_count_is_added_to_what_is_expected():
    # Expected are 9.5 of 10 and 0.5 of 10; all are where nothing was: 95²/95 + 95²/5.
    assert chi_square(np.array([0.0, 2.0]), np.array([9.0, 0.0])) == pytest.approx(95 + 1805)


def test_everything_in_one_of_even_bins_is_a_hundred_times_the_others():
    assert chi_square(np.array([0.0, 0.0, 7.0]), np.array([2.0, 2.0, 2.0])) == pytest.approx(200)


def test_distances_of_many_histograms():
    found = chi_square(np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 5.0]]), np.array([4.0, 4.0]))
    assert found == pytest.approx([0, 25, 100])


# ------------------------------------------------------------------------------------------ properties


def test_scenes_of_one_kind_of_object():
    real = [[thing("sphere", area=10), thing("cube", area=20)]] * 4
    found = compare([[thing("sphere", area=10), thing("sphere", area=10)]] * 3, real)
    assert list(distances(found)) == PROPERTIES
    # All in a bin with the part q gives 100 (1/q − 1). Spheres: 4.5 of 9.5, where no cylinder was ever seen.
    assert found["shape"] == pytest.approx(100 * (9.5 / 4.5 - 1))
    assert found["class"] == pytest.approx(100 * ((8 + 96 / 2) / 4.5 - 1))
    assert found["object_area"] == pytest.approx(100 * ((8 + 3 / 2) / 4.5 - 1))  # up to 10, up to 20, above
    # Pairs of spheres, of which there is none in the 4 real pairs.
    assert found["co_occurrence"] == pytest.approx(100 * ((4 + 300 / 2) / 0.5 - 1))
    # Here all 8 objects are alike on both sides; the half counts of the other bins are all there is between them.
    for name, bins in (("size", 2), ("material", 2), ("colour", 8)):
        assert found[name] == pytest.approx(100 * ((8 + bins / 2) / 8.5 - 1))
    assert found["object_number"] == 0


def test_equal_scenes_are_hardly_apart():
    real = drawn(400, seed=1)
    found = distances(compare(real, real))
    # Nothing but the half counts is between them.
    assert all(0 <= value < 0.1 for name, value in found.items() if name not in ("class", "co_occurrence"))
    assert found["class"] < 0.5


def test_other_scenes_of_the_same_kind_are_as_far_as_chance_makes_them():
    found = compare(drawn(500, seed=1), drawn(500, seed=2))
    objects = 500 * 5.5
    for name, bins in (("object_area", 10), ("shape", 3), ("colour", 8), ("class", 96)):
        expected = 100 * (bins - 1) * 2 / objects  # as many on either side
        assert expected / 8 < found[name] < 3 * expected


@pytest.mark.parametrize(
    ("changed", "value", "moved"),
    [
        ("material", "metal", {"material", "class"}),
        ("size", "small", {"size", "class"}),
        ("colour", "cyan", {"colour", "class", "co_occurrence"}),
        ("shape", "cube", {"shape", "class", "co_occurrence"}),
        ("visible_pixels", 5, {"object_area"}),
    ],
)
def test_a_change_is_seen_where_it_is(changed, value, moved):
    real = drawn(300, seed=1)
    base = compare(real, real)
    found = compare([[{**one, changed: value} for one in record] for record in real], real)
    for name in PROPERTIES:
        assert found[name] > base[name] + 90 if name in moved else found[name] == base[name]


def test_numbers_are_put_together_at_the_ends():
    real = [[thing()] * number for number in [3] + [4] * 99 + [5] * 99 + [8]]
    for number in (0, 2, 3, 4):
        found = compare([[thing()] * number] * 2, real)
        assert found["object_number"] == pytest.approx(100 * (201 / 100.5 - 1))
    both = compare([[thing()] * 1, [thing()] * 9], real)
    assert both["object_number"] == pytest.approx(0)


def test_areas_have_a_tenth_of_the_real_ones_in_each_bin():
    real = [[thing(area=a), thing(area=a + 1)] for a in range(1, 101, 2)]
    smallest = [[thing(area=a)] for a in range(1, 11)]
    assert compare(smallest, real)["object_area"] == pytest.approx(900)
    assert compare([[thing(area=a)] for a in range(1, 101)], real)["object_area"] == pytest.approx(0)
    assert compare([[thing(area=a)] for a in (1000, 5000)], real)["object_area"] == pytest.approx(900)


def test_order_of_objects_and_scenes_does_not_matter():
    generated, real = drawn(60, seed=3), drawn(60, seed=4)
    turned = [record[::-1] for record in generated[::-1]]
    assert distances(compare(turned, real)) == pytest.approx(distances(compare(generated, real)))


def test_every_pair_of_kinds_has_a_bin_of_its_own():
    kinds = [thing(shape, colour) for shape, colour in itertools.product(scenes.SHAPES, scenes.COLOURS)]
    pairs = [[a, b] for a, b in itertools.combinations_with_replacement(kinds, 2)]
    found = compare(pairs[:1] * 2, pairs)  # one of 300 even bins
    assert found["co_occurrence"] == pytest.approx(29_900)


# ------------------------------------------------------------------------------------------ uncertainty


def test_deviation_of_an_even_property():
    # p is binomial around a half: 400 (p − ½)² has the deviation 100 √2 / N.
    real = [[thing(material="metal"), thing()]] * 200
    generated = [[thing(material=material)] for material in ("metal", "rubber")] * 50
    assert compare(generated, real)["material_std"] == pytest.approx(2**0.5, rel=0.35)


def test_deviations_are_over_200_bootstrap_samples_of_the_generated_scenes():
    real = [[thing(material="metal"), thing()]] * 20
    generated = [[thing(material=material)] for material in ("metal", "rubber", "rubber")]
    drawn_scenes = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, size=200)
    distances = [chi_square(np.array([count[0], count[1] + count[2]]), np.array([20, 20])) for count in drawn_scenes]
    assert compare(generated, real)["material_std"] == pytest.approx(np.std(distances))


def test_equal_scenes_have_no_deviation_and_doing_it_again_changes_nothing():
    generated, real = drawn(50, seed=5), drawn(50, seed=6)
    assert compare(generated, real) == compare(generated, real)
    assert compare(generated[:1] * 9, real)["class_std"] == pytest.approx(0, abs=1e-9)


# --------------------------------------------------------------------------------------------- limits


def test_without_objects_there_are_only_numbers():
    found = compare([[], []], drawn(200, seed=1))
    assert set(found) == {"object_number", "object_number_std"}
    assert found["object_number"] > 200


def test_without_pairs_there_is_no_co_occurrence():
    found = compare([[thing()], [thing()], []], drawn(200, seed=1))
    assert list(distances(found)) == [name for name in PROPERTIES if name != "co_occurrence"]


@pytest.mark.parametrize(
    ("generated", "real", "side"), [(1, 5, "1 generated"), (5, 1, "1 real"), (0, 5, "0 generated")]
)
def test_too_few_scenes(generated, real, side):
    with pytest.raises(DataError, match=rf"^scene statistics: {side} scenes are too few; take at least 2$"):
        compare(drawn(generated, seed=1), drawn(real, seed=2))


def test_without_real_pairs_there_is_no_co_occurrence():
    found = compare(drawn(5, seed=1), [[thing()], [thing()]])
    assert list(distances(found)) == [name for name in PROPERTIES if name != "co_occurrence"]


def test_real_scenes_without_objects():
    with pytest.raises(
        DataError,
        match=r"^scene statistics: no object was seen in 3 real scenes; take a parser that knows these objects",
    ):
        compare(drawn(5, seed=1), [[], [], []])


# ------------------------------------------------------------------------------------------ other attributes

CLASSES = {"class": ("person", "car", "chair")}


def seen(*kinds):
    return [{"class": kind, "score": 0.9, "visible_pixels": 10} for kind in kinds]


def test_objects_that_have_nothing_but_a_class():
    real = [seen("person", "car")] * 5
    found = compare([seen("person", "person")] * 2, real, CLASSES, ("class",))
    assert list(distances(found)) == ["object_area", "object_number", "co_occurrence", "class"]
    # All in a bin with the part q gives 100 (1/q − 1). Of 10 real objects and 3 half counts, 5.5 are persons.
    assert found["class"] == pytest.approx(100 * (11.5 / 5.5 - 1))
    # Of 5 real pairs and 6 half counts, half a one is of two persons.
    assert found["co_occurrence"] == pytest.approx(100 * (8 / 0.5 - 1))
    assert found["object_number"] == 0
    assert found["object_area"] == pytest.approx(100 * (11 / 10.5 - 1))  # nothing but the half count above 10


def test_pairs_of_classes_have_no_order():
    real = [seen("person", "car"), seen("car", "person")]
    forth, back = (
        compare([seen(*kinds)] * 2, real, CLASSES, ("class",)) for kinds in (("car", "person"), ("person", "car"))
    )
    assert forth["co_occurrence"] == back["co_occurrence"] == pytest.approx(100 * (5 / 2.5 - 1))


def test_rendered_scenes_as_they_are():
    source = scenes.Config(kind="scenes", images=60, seed=4)
    opened = scenes.open_source(source, ImageSpec(height=16, width=16))
    records = [sample.scene.record["objects"] for sample in opened.load(range(60))]
    found = compare(records[:30], records[30:])
    assert list(distances(found)) == PROPERTIES
    assert all(np.isfinite(value) for value in found.values())


# ------------------------------------------------------------------------------------------------ runs


class Guesser(Reader):
    """Reads other scenes than there are, and keeps what it was shown."""

    def __init__(self):
        super().__init__(Settings(image=ImageSpec(height=16, width=16)), None, {"recall": 0.5})

    def read(self, images, device):
        self.read_set = images
        return drawn(len(images), seed=1)

    def parse(self, images):
        self.parsed = images
        return drawn(len(images), seed=2)


def test_real_images_with_opacity_are_laid_on_white(monkeypatch, runs, transparent: Path, tmp_path: Path):
    reader = Guesser()
    monkeypatch.setattr(readers, "load", lambda path: reader)
    measure_run(6, runs["duplex"], transparent, tmp_path / "p.json", tmp_path / "out.json", threads=1, gpus=0)
    images = Images(transparent).read(np.arange(6) * 10 // 6)
    assert np.array_equal(reader.parsed, on_white(images, axis=1))


@pytest.mark.parametrize(("images", "real"), [(6, 6), (12, 10)])  # the pack has 10 images
def test_a_run_is_measured_against_the_reals(monkeypatch, watched, runs, pack: Path, tmp_path: Path, images, real):
    reader = Guesser()
    watched(module)
    monkeypatch.setattr(readers, "load", lambda path: reader)
    measure_run(images, runs["duplex"], pack, tmp_path / "p.json", tmp_path / "out.json", threads=1, gpus=0)
    content = json.loads((tmp_path / "out.json").read_text())

    assert reader.read_set.seeds == range(images)
    whole = Images(pack)
    assert (reader.parsed == whole.read(np.arange(real) * 10 // real)).all()
    expected = compare(drawn(images, seed=1), drawn(real, seed=2))
    assert {key: entry["value"] for key, entry in content["values"].items()} == {
        f"chi2_{name}": value for name, value in expected.items()
    }
    floor = compare(drawn(real, seed=2)[::2], drawn(real, seed=2)[1::2])
    assert content["real"] == {f"chi2_{name}": value for name, value in floor.items()}
    record = artifacts.read_json(runs["duplex"])
    assert content["run"] == record["run"]
    assert content["seconds"] == 2.5
    assert content["step"] == record["steps"]
    assert content["weights_sha256"] == record["weights_sha256"]
    assert content["reference"]["data_sha256"] == whole.digest
    recipe = content["recipe"]
    assert (recipe["images"], recipe["real_images"], recipe["image"]) == (images, real, record["spec"]["image"])
    assert content["kimg"] == record["kimg"]
    assert recipe["accuracy"] == {"recall": 0.5}
    assert recipe["extractor"] == {"kind": "scenes", **reader.settings.model_dump(mode="json")}


def test_numbers_that_a_hundredth_of_the_scenes_has_keep_their_bin() -> None:
    """Two of 200 scenes are rare: one with a single object joins those with two, two of them do not."""
    for few, expected in ((1, [3, 197]), (2, [2, 2, 196])):
        sizes = [1] * few + [2] * 2 + [3] * (198 - few)
        scenes_of_sizes = [[{}] * size for size in sizes]
        assert module._numbers(scenes_of_sizes)(scenes_of_sizes).sum(axis=0).tolist() == expected
