"""The same graph on folders of pictures, to the end."""

import json

import numpy as np
import yaml

from ganformer import plugins
from ganformer.data.dataset import Images, verify

MODELS = ["stylegan2", "duplex"]
MOST = 120  # pictures of a folder that are packed in every format
RATIOS = {"clevr_samples": 0.75, "nlvr": 0.25, "food_thumbs": 1}


def count_of(folder):
    return sum(path.suffix in (".jpg", ".png") for path in folder.rglob("*"))


def overlay(shared):
    """Return two folders of pictures through every table and figure.

    One with a margin for random crops, one with a height that networks put between bars.
    """
    pictures = {
        "clevr_samples": {"resolution": 64, "ratio": 0.75, "mirror": True, "crop_margin": 0.125, "format": "lmdb"},
        "nlvr": {"resolution": 32, "ratio": 0.7, "format": "png", "max_images": 200},
    }
    datasets = {
        name: {"source": {"kind": "folder", "path": str(shared / "data" / name)}, **entry}
        for name, entry in pictures.items()
    }
    names = ("table1", "cost", "learning_curves", "samples")
    experiments = {name: {"datasets": list(pictures), "models": MODELS} for name in names}
    experiments["attention"] = {"datasets": list(pictures), "models": ["duplex"]}
    experiments |= dict.fromkeys(["attention_segmentation", "table2", "table3"])  # nothing here reads pictures
    return {"datasets": datasets, "experiments": experiments}


def test_two_folders_of_pictures_become_a_report(checkout, shared):
    (checkout.folder / "real.yaml").write_text(yaml.safe_dump(overlay(shared)))
    said = checkout.snakemake("--cores", "2", "--configfile", "tests/smoke.yaml", "real.yaml")
    assert said.returncode == 0, said.stdout
    results = checkout.folder / "results"
    manifest = json.loads((results / "data/clevr_samples/manifest.json").read_text())
    assert manifest["count"] == count_of(shared / "data/clevr_samples")
    assert (manifest["image"]["height"], manifest["image"]["width"]) == (54, 72)
    count = json.loads((results / "data/nlvr/manifest.json").read_text())["count"]
    assert count == min(200, count_of(shared / "data/nlvr"))
    for model in MODELS:
        with np.load(results / f"runs/nlvr/{model}/seed0/samples-4.npz") as file:
            assert file["images"].shape[1:] == (22, 32, 3)
    table = (results / "tables/table1.md").read_text()
    assert r"clevr\_samples" in table
    assert "nlvr" in table
    assert (results / "report.html").stat().st_size > 10_000


def test_folders_are_packed_in_every_format(checkout, shared):
    formats = plugins.names("ganformer.data.formats")
    folders = {name: shared / "data" / name for name in RATIOS}
    datasets = {
        f"{name}_{form}": {
            "source": {"kind": "folder", "path": str(folder)},
            "resolution": 64,
            "ratio": RATIOS[name],
            "format": form,
            "max_images": MOST,
        }
        for name, folder in folders.items()
        for form in formats
    }
    (checkout.folder / "formats.yaml").write_text(yaml.safe_dump({"datasets": datasets}))
    said = checkout.snakemake("--cores", "2", "--configfile", "formats.yaml", "--", "packs")
    assert said.returncode == 0, said.stdout
    for name, folder in folders.items():
        count = min(MOST, count_of(folder))
        packs = [checkout.folder / "results/data" / f"{name}_{form}" for form in formats]
        first = Images(packs[0]).read(np.arange(count))
        for pack in packs:
            verify(pack)
            images = Images(pack)
            assert (len(images), images.manifest.rejected) == (count, [])
            assert (images.read(np.arange(count)) == first).all()
