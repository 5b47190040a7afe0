"""The same graph on pictures that nobody here made, to the end."""

import json

import yaml

MODELS = ["stylegan2", "duplex"]


def overlay(shared):
    """Two folders of pictures at two resolutions, one wide and one square, through every table and figure."""
    pictures = {
        "clevr_samples": {"resolution": 64, "ratio": 0.75, "mirror": True},
        "nlvr": {"resolution": 32, "format": "png", "max_images": 200},
    }
    datasets = {
        name: {"source": {"kind": "folder", "path": str(shared / "data" / name)}, **entry}
        for name, entry in pictures.items()
    }
    names = ("table1", "cost", "learning_curves", "samples")
    experiments = {name: {"datasets": list(pictures), "models": MODELS} for name in names}
    experiments["attention"] = {"datasets": list(pictures), "models": ["duplex"]}
    return {"datasets": datasets, "experiments": experiments}


def test_two_folders_of_pictures_become_a_report(checkout, shared):
    (checkout.folder / "real.yaml").write_text(yaml.safe_dump(overlay(shared)))
    said = checkout.snakemake("--cores", "2", "--configfile", "tests/smoke.yaml", "real.yaml")
    assert said.returncode == 0, said.stdout
    results = checkout.folder / "results"
    manifest = json.loads((results / "data/clevr_samples/manifest.json").read_text())
    assert (manifest["count"], manifest["image"]["height"], manifest["image"]["width"]) == (89, 48, 64)
    assert json.loads((results / "data/nlvr/manifest.json").read_text())["count"] == 200
    table = (results / "tables/table1.md").read_text()
    assert r"clevr\_samples" in table
    assert "nlvr" in table
    assert (results / "report.html").stat().st_size > 10_000
