"""The official networks at full size have the published numbers of parameters, and ours all but those without use.

Nothing here has values: networks are built on the device "meta".
"""

import re
from pathlib import Path

import pytest
import torch

from ganformer import plugins
from ganformer.interop import pytorch
from ganformer.interop.options import Options
from tests.interop import official_pytorch, official_tensorflow
from tests.interop import test_pytorch_snapshots as pytorch_snapshots
from tests.interop import test_tensorflow_snapshots as tensorflow_snapshots

FULL = {"channel_base": 32768, "channel_max": 512, "end_res": 8}
CLEVR = {"size": 16, "components": 8, "synthesis": {"style": False}, "mapping": {"ltnt2ltnt": False}}
STYLEGAN2 = {
    "size": 512,
    "components": 0,
    "mapping": {"transformer": False, "ltnt2ltnt": False, "resnet": False},
    "synthesis": {"transformer": False, "architecture": "skip", "kmeans": False},
}
# what the official networks hold without any use: keys that learned centroids stand for, and biases of keys
KEYS = r"synthesis\..*\.(to_keys|to_pos_map)\.|mapping\..*\.(to_keys|to_pos_map)\.bias$"
NO_STYLE = r"|.*\.affine\.|mapping\.global_mlp\."


def arguments(width, size=32, components=16, mapping=(), synthesis=()):
    """Return what a generator of full size is built with."""
    return {
        "z_dim": size,
        "w_dim": size,
        "k": components + 1,
        "c_dim": 0,
        "img_resolution": width,
        "img_channels": 3,
        "mapping_kwargs": {**pytorch_snapshots.MAPPING, "num_layers": 8, **dict(mapping)},
        "synthesis_kwargs": {**pytorch_snapshots.SYNTHESIS, **FULL, **dict(synthesis)},
    }


def count(values):
    return sum(value.numel() for value in values.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "differences", "dead", "parameters"),
    [
        (128, {}, KEYS, 30_866_766),
        (256, {}, KEYS, 30_903_632),
        (512, {}, KEYS, 30_913_874),
        (1024, {}, KEYS, 30_916_948),
        (256, CLEVR, KEYS + NO_STYLE, 30_357_936),
        (256, STYLEGAN2, "nothing", 30_510_114),
    ],
)
def test_generators_have_all_parameters_but_those_without_use(width, differences, dead, parameters):
    built_with = arguments(width, **differences)
    with torch.device("meta"):
        official = official_pytorch.Generator(**built_with)
    values = dict(official.named_parameters())
    assert count(values) == parameters
    model, image = pytorch.settings(Options(built_with, Path("file")), pytorch.named(values), Path("file"))
    part = plugins.find("ganformer.models", model["kind"])
    with torch.device("meta"):
        ours = part.build(part.Config(**model), image).sampler
    alive = {name: value for name, value in values.items() if not re.match(dead, name)}
    assert count(dict(ours.named_parameters())) == count(alive)
    assert ours.synthesis.layers == official.synthesis.num_ws == {128: 13, 256: 15, 512: 17, 1024: 19}[width]


@pytest.mark.parametrize(
    ("width", "parameters"), [(128, 28_389_121), (256, 28_864_129), (512, 28_982_849), (1024, 29_012_513)]
)
def test_discriminators_have_all_parameters(width, parameters):
    part = plugins.find("ganformer.models", "stylegan2")
    with torch.device("meta"):
        official = official_pytorch.Discriminator(img_resolution=width, img_channels=3)
        image = pytorch.ImageSpec(height=width, width=width)
        ours = part.build(part.Config(kind="stylegan2"), image).network.discriminator
    assert count(dict(official.named_parameters())) == count(dict(ours.named_parameters())) == parameters


def test_tensorflow_generators_have_as_many_variables_as_the_official_loader_reads():
    options = {
        **tensorflow_snapshots.DEFAULT,
        "components_num": 16,
        "resolution": 256,
        "end_res": 8,
        "z_dim": 32,
        "w_dim": 32,
        "channel_base": 16384,
        "channel_max": 512,
        "mapping_num_layers": 8,
    }
    with torch.device("meta"):
        official = official_tensorflow.Generator(options, tensorflow_snapshots.NEW)
    assert len(official.v.values) == 332
