"""Settings of official networks: what stands in for arguments that are not given, and which values are none."""

from pathlib import Path

import pytest
import torch

from ganformer.errors import CheckpointError
from ganformer.interop import pytorch
from ganformer.interop.options import Options
from ganformer.interop.persistence import Pickled

WHERE = Path("snapshot.pkl")
SHARED = {
    "generator_architecture": "skip",
    "refine_colours": False,
    "channel_base": 32768,
    "channel_max": 512,
    "mapping_learning_rate_multiplier": 0.01,
    "noise": True,
    "latent_size": 512,
    "mapping_architecture": "plain",
    "mapping_layers": 2,
}
ATTENDING = {
    "latent_size": 17 * 32,
    "components": 17,
    "latent_normalisation": "joint",
    "latent_self_attention": False,
    "global_style": True,
    "heads": 1,
    "integration": "add",
    "normalisation": "none",
    "positions": "sinusoidal",
    "position_directions": 2,
    "start_resolution": 4,
    "end_resolution": 128,
    "image_gate": False,
    "component_gate": False,
    "attention_dropout": 0.12,
}


@pytest.mark.parametrize(
    ("mapping", "synthesis", "expected"),
    [
        ({}, {}, {"kind": "stylegan2"}),
        ({"resnet": True}, {}, {"kind": "stylegan2", "mapping_architecture": "resnet"}),
        ({}, {"transformer": True}, {"kind": "ganformer", "attention": "simplex", **ATTENDING}),
        (
            {"normalize_global": False},
            {"transformer": True, "kmeans": True, "start_res": 3, "end_res": 5, "pos_type": "trainable2d"},
            {"kind": "ganformer", "attention": "centroid", "iterations": 1, **ATTENDING}
            | {"latent_normalisation": "joint-local", "start_resolution": 8, "end_resolution": 32}
            | {"positions": "trainable-2d"},
        ),
    ],
)
def test_what_is_not_given_is_the_default_of_the_official_code(mapping, synthesis, expected):
    options = {"img_resolution": 64, "mapping_kwargs": {"transformer": "transformer" in synthesis, **mapping}}
    options["synthesis_kwargs"] = synthesis
    values = {f"mapping.global_mlp.l{number}.weight": torch.zeros(()) for number in range(2)}
    model, image = pytorch.settings(Options(options, WHERE), values | {"pos": torch.zeros(17, 32)}, WHERE)
    if expected.get("positions") == "trainable-2d":
        expected = {name: value for name, value in expected.items() if name != "position_directions"}
    assert model == SHARED | expected
    assert (image.height, image.width, image.channels, image.classes) == (64, 64, 3, 0)


@pytest.mark.parametrize("value", [0, 1 << 20])
def test_whole_numbers_within_the_limits_are_read(value):
    assert Options({"count": value}, WHERE).get(3, "count") == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-1, "-1"),
        ((1 << 20) + 1, "1048577"),
        (True, "True"),
        ("three", "'three'"),
        ("x" * 99, "'" + "x" * 49),
        ({}, "dict"),
        ([1, 2], r"\[1, 2\]"),
        (["a"], "list"),
    ],
)
def test_values_of_other_kinds_and_sizes_are_shown(value, shown):
    with pytest.raises(CheckpointError, match=rf"^snapshot\.pkl: cannot be imported: its option count is {shown}$"):
        Options({"count": value}, WHERE).get(3, "count")


def test_a_float_may_be_given_as_a_whole_number_and_the_first_name_that_has_a_value_counts():
    options = Options({"rate": 2, "first": None, "second": 5, "third": 6}, WHERE)
    assert isinstance(options.get(0.5, "rate"), float)
    assert options.get(1, "first", "second", "third") == 5
    assert options.get(1, "first", "fourth") == 1
    assert (options.given("first"), options.given("fourth")) == ([None], [])


def test_the_options_of_a_part_go_before_the_networks_own():
    options = Options({"width": 1, "depth": 2, "part": {"width": 3}}, WHERE).flat("part")
    assert (options.first("width"), options.first("depth")) == (3, 2)


@pytest.mark.parametrize(
    ("said", "held", "kinds", "expected"),
    [
        ([3], [], int, 3),
        ([], [3, 3], int, 3),
        ([True], [True], bool, True),
        ([None], [None], (int, type(None)), None),
        ([], [], int, "neither the arguments nor the layers of its network say depth"),
        ([3], [4], int, "its network says different things of depth: 3 and 4"),
        ([True], [], int, "depth of its network is True"),
        ([True], [], (int, float), "depth of its network is True"),
        ([1], [], bool, "depth of its network is 1"),
        (["three"], [], int, "depth of its network is 'three'"),
        ([[3]], [], int, "depth of its network is a list"),
    ],
)
def test_arguments_and_layers_say_the_same(said, held, kinds, expected):
    parts = {f"layers.{number}": {"size": value} for number, value in enumerate(held)}
    parts |= {"other": {"size": 99}, "layers.9": {}}
    network = Pickled(Options({}, WHERE), {}, parts, WHERE)
    if not isinstance(expected, str):
        assert network.settled("depth", said, r"layers\.\d", "size", kinds) is expected
        return
    with pytest.raises(CheckpointError, match=f"^snapshot.pkl: cannot be imported: {expected}"):
        network.settled("depth", said, r"layers\.\d", "size", kinds)
