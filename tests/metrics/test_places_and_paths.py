"""Measures of a trained run besides whole images: spatial features, and paths among latents."""

import json

import pytest

from ganformer.config import Dataset, Evaluation, Spec
from ganformer.data.dataset import Images
from ganformer.data.packing.pack import pack
from ganformer.metrics import evaluate as metrics
from ganformer.training.loop import train

pytestmark = pytest.mark.slow

SPATIAL = {"kind": "inception-random", "features": "spatial"}


def test_both_are_values_of_an_evaluation(tmp_path):
    dataset = Dataset.model_validate({"source": {"kind": "scenes", "images": 24}, "resolution": 16})
    pack(dataset, tmp_path / "pack")
    model = {"kind": "gan", "channel_base": 64, "channel_max": 8, "latent_size": 16}
    training = {"kimg": 0.004, "batch": 2, "snapshots": 1}
    image = Images(tmp_path / "pack").image
    spec = Spec.model_validate({"image": image, "mirror": False, "model": model, "training": training, "seed": 3})
    train(spec, tmp_path / "pack", tmp_path / "run", names={"dataset": "shapes", "model": "gan"}, threads=1, gpus=0)
    evaluation = Evaluation.model_validate(
        {
            "extractor": {"kind": "random-vgg16"},
            "extractors": {"spatial-frechet": SPATIAL},
            "metrics": ["frechet", "spatial-frechet"],
            "images": 4,
            "path_length": {"network": {"kind": "random-vgg16"}, "images": 4},
        }
    )
    metrics.reference(evaluation, tmp_path / "pack", tmp_path / "known", threads=1, gpus=0)
    job = metrics.Job(evaluation, tmp_path / "run" / "run.json", None, tmp_path / "pack", tmp_path / "known")
    metrics.evaluate(job, tmp_path / "metrics.json", threads=1, gpus=0)
    written = json.loads((tmp_path / "metrics.json").read_text())
    names = {key: (value["name"], value.get("by")) for key, value in written["values"].items()}
    assert names["fd"] == ("fd_random_vgg16", None)
    assert names["sfd"] == ("sfd_inception_random_spatial", "inception-random")
    assert names["ppl_w_end"] == ("ppl_w_end_random_vgg16", "random-vgg16")
    lengths = {f"ppl_{space}_{sampling}" for space in "zw" for sampling in ("full", "end")}
    assert names.keys() == {"fd", "sfd", *lengths, *(f"{key}_std" for key in lengths)}
    assert all(value["value"] > 0 for value in written["values"].values())
    assert written["recipe"]["path_length"]["images"] == 4


def test_spatial_features_are_for_distances_only():
    message = "'inception-score' is not measured with these features of inception-random, only frechet, .* are; choose"
    with pytest.raises(ValueError, match=message):
        Evaluation.model_validate({"extractor": SPATIAL})
