"""Settings of official networks: what stands in for arguments that are not given, and which values are none."""

from pathlib import Path

import pytest
import torch

from ganformer.errors import CheckpointError
from ganformer.interop import (
    bmsg,
    imported,
    pytorch,
    rosinality,
    strangers,
    stylegan2_ada,
    taming,
    tensorflow,
    translate,
)
from ganformer.interop.imported import Imported
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


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("", {"z_dim": 8}),
        ("", {"k": 2}),
        *(("mapping", {name: 8}) for name in ("layer_dim", "embed_dim")),
        *(("mapping", {name: True}) for name in ("shared", "kmeans", "transformer")),
        *((part, {"act": "relu"}) for part in ("mapping", "synthesis")),
        *(("synthesis", {name: True}) for name in ("latent_stem", "ltnt_stem")),
        *(("synthesis", {name: 0.5}) for name in ("resample_kernel", "pos_dim", "crop_ratio")),
        ("synthesis", {"kmeans": True, "iterative": True}),
        ("synthesis", {"style": False}),
    ],
)
def test_options_that_no_model_here_has_are_refused(part, changed):
    options = {"img_resolution": 64, **({f"{part}_kwargs": changed} if part else changed)}
    with pytest.raises(CheckpointError, match=f"its option {[*changed][-1]} is .*, and no model here is equal to that"):
        pytorch.settings(Options(options, WHERE), {}, WHERE)


@pytest.mark.parametrize(
    ("mapping", "synthesis", "more", "said"),
    [
        ({"num_heads": 2}, {}, {}, "its option num_heads is 2"),
        ({"transformer": False}, {}, {}, "its option transformer is False"),
        ({"ltnt_gate": True}, {}, {}, "its option ltnt_gate is True"),
        ({}, {}, {"c_dim": 3}, "its labels enter the mapping network of the global latent only"),
    ],
)
def test_attending_networks_that_no_model_here_is_equal_to_are_refused(mapping, synthesis, more, said):
    options = {"img_resolution": 64, "mapping_kwargs": mapping, "synthesis_kwargs": {"transformer": True, **synthesis}}
    values = {"pos": torch.zeros(17, 32), "mapping.mlp.sa0.to_queries.weight": torch.zeros(())}
    with pytest.raises(CheckpointError, match=said):
        pytorch.settings(Options({**options, **more}, WHERE), values, WHERE)


GIVEN = {"components_num": 4, "dlatent_size": 32}


@pytest.mark.parametrize(
    "changed",
    [
        *({name: 8} for name in ("latent_size", "z_dim", "mapping_dim", "pos_dim")),
        *({name: "relu"} for name in ("nonlinearity", "mapping_nonlinearity")),
        *({name: True} for name in ("tanh", "merge", "img2ltnt", "ltnt2ltnt")),
        *({name: 1} for name in ("img2img", "local_attention", "mapping_shared_dim", "label_size", "c_dim")),
        {"fmap_decay": 0.5},
        {"fmap_min": 4},
        {"normalize_latents": False},
    ],
)
def test_options_that_only_the_tensorflow_code_has_are_refused(changed):
    tensorflow._refuse_others(Options(GIVEN, WHERE), WHERE)
    ((name, value),) = changed.items()
    with pytest.raises(CheckpointError, match=f"its option {name} is {value!r}, and no model here is equal to that"):
        tensorflow._refuse_others(Options({**GIVEN, **changed}, WHERE), WHERE)


def test_what_the_tensorflow_code_is_not_given_is_its_default():
    assert tensorflow._arguments(Options({}, WHERE)) == {
        "mapping_kwargs": {},
        "synthesis_kwargs": {"channel_base": 32768},
        "k": 1,
        "img_resolution": 1024,
    }


MODEL = {"channel_base": 32768, "channel_max": 512}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"nonlinearity": "relu"}, "its option nonlinearity is"),
        ({"resample_kernel": [1, 2, 1]}, "its option resample_kernel is"),
        ({"label_size": 1}, "its option label_size is"),
        ({"c_dim": 1}, "its option c_dim is"),
        ({"crop_ratio": 0.5}, "its option crop_ratio is"),
        ({"fmap_decay": 0.5}, "its option fmap_decay is"),
    ],
)
def test_discriminators_of_the_tensorflow_code_with_other_options_are_refused(changed, said):
    with pytest.raises(CheckpointError, match=said):
        list(tensorflow._discriminator_misfits(Options(changed, WHERE), MODEL))


@pytest.mark.parametrize(
    ("changed", "misfits"),
    [
        ({}, []),
        ({"transformer": True}, ["it attends (transformer)"]),
        ({"local_attention": 3}, ["it attends locally (local_attention)"]),
        ({"fmap_base": 8192}, ["its channel_base is 16384 and that of the generator 32768"]),
        ({"fmap_max": 256}, ["its channel_max is 256 and that of the generator 512"]),
        (
            {"mbstd_group_size": 8},
            ["it compares 8 images of a batch (mbstd_group_size); here it is 4"],
        ),
        (
            {"mbstd_num_features": 2},
            ["it appends 2 channels of statistics (mbstd_num_channels); here it is 1"],
        ),
    ],
)
def test_discriminators_of_the_tensorflow_code_that_do_not_fit_are_left_out(changed, misfits):
    assert list(tensorflow._discriminator_misfits(Options(changed, WHERE), MODEL)) == misfits


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"crop_ratio": 0.5}, "crop_ratio"),
        ({"epilogue_kwargs": {"act": "relu"}}, "act"),
        ({"block_kwargs": {"act": "relu"}}, "act"),
        ({"epilogue_kwargs": {"resample_kernel": [1]}}, "resample_kernel"),
        ({"block_kwargs": {"resample_kernel": [1]}}, "resample_kernel"),
    ],
)
def test_discriminators_of_the_pytorch_code_with_other_options_are_refused(changed, name):
    assert list(pytorch.discriminator_misfits(Options({}, WHERE), MODEL)) == []
    with pytest.raises(CheckpointError, match=f"its option {name} is"):
        list(pytorch.discriminator_misfits(Options(changed, WHERE), MODEL))


@pytest.mark.parametrize(
    ("limits", "given", "misfits"),
    [
        ((48, 16), {}, []),
        ((48, 16), {"cmap_dim": 12}, []),
        ((48, 16), {"cmap_dim": 16}, ["its labels are embedded in 16 values (cmap_dim); here it is 12"]),
        ((96, 16), {"cmap_dim": 16}, []),
        ((96, 16), {"cmap_dim": 24}, ["its labels are embedded in 24 values (cmap_dim); here it is 16"]),
    ],
)
def test_labels_are_embedded_in_as_many_values_as_there_are_features_at_4_columns(limits, given, misfits):
    base, most = limits
    model = {"channel_base": base, "channel_max": most}
    group = {"mbstd_group_size": 4, "mbstd_num_channels": 1}
    options = {**model, "conv_clamp": None, "epilogue_kwargs": group, **given}
    values = {"b4.conv.weight": torch.zeros(min(base // 4, most))}
    network = Pickled(Options(options, WHERE), values, {"b4.fc": {"activation": "lrelu"}}, WHERE)
    model |= {"activation_clamp": None, "discriminator_architecture": "resnet"}
    assert list(stylegan2_ada.discriminator_misfits(network, model)) == misfits


WEIGHT = torch.zeros(1)


@pytest.mark.parametrize(
    ("module", "content", "expected"),
    [
        (bmsg, {1: WEIGHT}, False),
        (bmsg, {1: WEIGHT, "rgb_converters.0.weight": WEIGHT}, True),
        (bmsg, {"module.rgb_to_features.2.module.weight": WEIGHT}, True),
        (rosinality, {"g": {}}, False),
        (rosinality, {"d": {}}, False),
        (rosinality, {"g": {}, "d": {}}, True),
        (rosinality, {"g_ema": {}}, True),
        (rosinality, {"conv1.conv.modulation.weight": WEIGHT}, True),
        (taming, {"state_dict": 3}, False),
        (taming, {"state_dict": {1: WEIGHT}}, False),
        (taming, {}, False),
        *(
            (taming, {"state_dict": {f"{name}.weight": WEIGHT}}, True)
            for name in (
                *("encoder.conv_in", "quantize.embedding", "quantize.embed", "post_quant_conv", "transformer.tok_emb"),
                "first_stage_model.encoder.conv_in",
            )
        ),
        (taming, {"state_dict": {"decoder.conv_in.weight": WEIGHT}}, False),
    ],
)
def test_checkpoints_are_told_by_the_names_in_them(module, content, expected):
    assert module.is_one(content) is expected


@pytest.mark.parametrize(
    ("content", "program"),
    [
        ({"GAN": {}}, None),
        ({"GAN": 3, "version": "1"}, None),
        ({"version": "1"}, None),
        ({"GAN": {1: WEIGHT}, "version": "1"}, "lucidrains' lightweight-gan or a relative"),
        ({"GAN": {"S.net.0": WEIGHT}, "version": "1"}, "lucidrains' stylegan2-pytorch"),
    ],
)
def test_other_programs_are_told_by_what_they_save(content, program):
    assert strangers.saved_by(content) == program


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"mapping_layers": -1},
            r"snapshot\.pkl: .*mapping_layers: .*\nso this their code snapshot cannot be imported$",
        ),
        (
            {"kind": "ganformer", "attention": "simplex", "components": 4, "latent_size": 32, "end_resolution": 64},
            r"snapshot\.pkl: this their code snapshot cannot be imported: end_resolution",
        ),
    ],
)
def test_settings_that_no_model_here_can_have_are_refused(settings, said):
    image = imported.square(16, 3, WHERE)
    official = Imported({"kind": "stylegan2", **settings}, image, {}, None, "their code")
    with pytest.raises(CheckpointError, match=f"(?s)^{said}"):
        imported.spec(official, WHERE)


def test_images_that_no_model_here_can_have_are_refused():
    assert imported.square(16, 1, WHERE, 3).model_dump(include={"height", "width", "channels", "classes"}) == {
        "height": 16,
        "width": 16,
        "channels": 1,
        "classes": 3,
    }
    with pytest.raises(CheckpointError, match=r"^snapshot\.pkl: cannot be imported: its images have channels: 2 is"):
        imported.square(16, 2, WHERE)


@pytest.mark.parametrize(
    ("found", "is_close"),
    [([1.00009, 2.0], True), ([1.0003, 2.0], False), ([0.9997, 2.0], False), ([1.0], False), ([[1.0, 2.0]], False)],
)
def test_constants_are_the_same_up_to_their_rounding(found, is_close):
    assert translate.are_close(torch.tensor(found, dtype=torch.float64), torch.tensor([1.0, 2.0])) is is_close


@pytest.mark.parametrize(("value", "is_refused"), [(31.7, False), (31.5, True)])
def test_weights_of_another_learning_rate_are_told_halfway(value, is_refused):
    """Weights begin at 1 over the rate: 100, and 10 at ten times the rate; halfway, in factors, is 10^1.5 = 31.6."""
    state = {"style.1.weight": torch.full((4, 4), value), "style.1.bias": torch.zeros(99)}
    if not is_refused:
        rosinality._check_rate(state, WHERE)
        return
    with pytest.raises(CheckpointError) as caught:
        rosinality._check_rate(state, WHERE)
    assert str(caught.value) == (
        "snapshot.pkl: cannot be imported: weights of its mapping network are 31.5 on average (root mean square); with "
        "the learning rate multiplier 0.01 (lr_mlp) of this program they are about 100, so it was another one"
    )
