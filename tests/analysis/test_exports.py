"""Models in forms for other programs make the same images there."""

import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from ganformer import config
from ganformer.analysis import exporting, program
from ganformer.analysis.explorer import Explorer, looking
from ganformer.config import Export
from ganformer.errors import CheckpointError, ConfigError
from tests.analysis.untrained import TINY, open_untrained

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.load`:DeprecationWarning")

KINDS = ("gan", "kgan", "msggan", "sagan", "stylegan2", "duplex", "centroid", "simplex")
GANFORMER = {"kind": "ganformer", "components": 4, **TINY}
OTHERS = {
    "sagan": {"kind": "sagan", **TINY, "attention_resolutions": [8]},
    "centroid": {**GANFORMER, "attention": "centroid"},
    "simplex": {**GANFORMER, "attention": "simplex"},
}


def model(name: str, counts: tuple[int, ...] = ()) -> Explorer:
    return open_untrained(name, counts) if name not in OTHERS else open_untrained("gan", counts, **OTHERS[name])


def settings(kind: str, **more: Any) -> Export:
    return config.parse(config.Exporting, {"export": {"kind": kind, **more}}, "").export


def export(opened: Explorer, out: Path, kind: str, **more: Any) -> Path:
    exporting.export(settings(kind, **more), opened, out)
    return out


def expected(opened: Explorer, z: Tensor, labels: Tensor, psi: float) -> Tensor:
    """Return the images that the model makes, truncated towards the mean of the class."""
    with looking(opened, 1):
        return opened.images(opened.map(z, labels, psi))


def inputs(opened: Explorer, count: int, psi: float) -> list[Tensor]:
    """Return z, labels if there are some, and ψ."""
    z = torch.randn(count, *opened.generator.latent_shape)
    classes = opened.record.image.classes
    labels = [torch.eye(classes)[torch.arange(count) % classes]] if classes else []
    return [z, *labels, torch.tensor(psi)]


def same(found: Tensor, opened: Explorer, given: list[Tensor]) -> None:
    labels = given[1] if len(given) == 3 else torch.zeros(len(given[0]), 0)
    right = expected(opened, given[0], labels, float(given[-1]))
    torch.testing.assert_close(found, right, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", KINDS)
def test_a_torchscript_program_makes_the_same_images(tmp_path: Path, name: str) -> None:
    opened = model(name)
    path = export(opened, tmp_path / "model.pt", "torchscript")
    facts = {"ganformer.json": ""}
    made = torch.jit.load(str(path), _extra_files=facts)  # type: ignore[no-untyped-call]
    for count, psi in ((1, 1.0), (5, 0.7), (2, 0.0)):
        given = inputs(opened, count, psi)
        same(made(*given), opened, given)
    assert json.loads(facts["ganformer.json"]) == {
        "run": "scenes/duplex",
        "seed": 3,
        "kimg": 1.0,
        "kind": opened.record.kind,
        "weights_sha256": "8" * 64,
        "class_names": [],
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kgan", "msggan", "sagan", "duplex", "centroid"])
def test_an_onnx_graph_makes_the_same_images(tmp_path: Path, name: str) -> None:
    opened = model(name)
    path = export(opened, tmp_path / "model.onnx", "onnx")
    made = onnxruntime.InferenceSession(str(path))
    assert [given.name for given in made.get_inputs()] == ["z", "truncation"]
    assert [result.name for result in made.get_outputs()] == ["images"]
    for count, psi in ((1, 1.0), (5, 0.7), (2, 0.0)):
        given = inputs(opened, count, psi)
        same(run(made, given), opened, given)


def run(made: Any, given: list[Tensor]) -> Tensor:
    values = {place.name: value.numpy() for place, value in zip(made.get_inputs(), given, strict=True)}
    return torch.from_numpy(made.run(["images"], values)[0])


@pytest.mark.slow
def test_an_onnx_graph_of_a_fixed_number_of_images_with_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = model("stylegan2", counts=(3, 1))
    path = export(opened, tmp_path / "model.onnx", "onnx", batch=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{path}: onnx of scenes/duplex", "  note: takes z, labels, truncation of 2 at a time"]
    assert lines[2].startswith("  note: differs from the model by ")
    assert float(lines[2].split()[6]) < 1e-4
    made = onnxruntime.InferenceSession(str(path))
    assert [place.shape for place in made.get_inputs()] == [[2, 16], [2, 2], []]
    given = inputs(opened, 2, 0.3)
    same(run(made, given), opened, given)
    facts = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert facts["ganformer.run"] == "scenes/duplex"
    assert facts["ganformer.class_names"] == "[]"


@pytest.mark.parametrize("mean", ["class", "global"])
def test_truncation_moves_towards_the_mean_that_was_asked_for(tmp_path: Path, mean: str) -> None:
    opened = model("stylegan2", counts=(3, 1))
    path = export(opened, tmp_path / "model.pt", "torchscript", truncation_mean=mean)
    z, labels = torch.randn(2, 16), torch.eye(2)
    found = torch.jit.load(str(path))(z, labels, torch.tensor(0.0))  # type: ignore[no-untyped-call]
    with looking(opened, 1):
        means = opened.means(labels) if mean == "class" else opened.generator.w_average.expand(2, -1)
        assert means is not None
        layers = opened.generator.map(z, labels).shape[1]
        right = opened.images(means[:, None].expand(-1, layers, -1))
    torch.testing.assert_close(found, right, atol=1e-4, rtol=0)


def test_bars_are_cut_off(tmp_path: Path) -> None:
    opened = model("gan")
    spec = {**opened.record.spec, "image": {**opened.record.spec["image"], "rows": 10}}
    opened.record = opened.record.model_copy(update={"spec": spec})
    assert opened.record.image.picture == (10, 16)
    path = export(opened, tmp_path / "model.pt", "torchscript")
    found = torch.jit.load(str(path))(*inputs(opened, 1, 1.0))  # type: ignore[no-untyped-call]
    assert found.shape == (1, 3, 10, 16)


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_a_program_with_other_images_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    opened = model("gan")
    monkeypatch.setattr(program, "TOLERANCE", -1.0)
    message = r"model: its images differ from the model's by [0-9.e-]+ of their range, more than -1, so nothing is writ"
    with pytest.raises(CheckpointError, match=message):
        export(opened, tmp_path / "model", kind)
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_no_numbers_are_no_images_of_the_model() -> None:
    made = program.program(model("gan"), "class")
    with torch.no_grad(), pytest.raises(CheckpointError, match="differ from the model's by nan"):
        program.check(made, lambda z, psi: made(z, psi) * torch.nan, None, "x")


def test_the_difference_is_in_parts_of_the_largest_value() -> None:
    opened = model("gan")
    made = program.program(opened, "class")
    with looking(opened, 1):
        largest = float(made(*made.example(2, first=3)).abs().max())
        found = program.check(made, lambda z, psi: made(z, psi) + 5e-5, None, "x")
    assert found == pytest.approx(5e-5 / max(largest, 1), rel=0.05)


def test_torchs_own_lines_are_kept_back_inside_only(caplog: pytest.LogCaptureFixture) -> None:
    with program.silent():
        logging.getLogger("torch").warning("inside")
    logging.getLogger("torch").warning("outside")
    assert [line.message for line in caplog.records] == ["outside"]


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else there(name))
    message = (
        r"^export onnx: needs the packages onnx, onnxscript, onnxruntime; onnxscript cannot be imported: install them "
        r"with pip install 'ganformer\[onnx\]'$"
    )
    with pytest.raises(ConfigError, match=message):
        export(model("gan"), tmp_path / "model.onnx", "onnx")


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("mine")
    with pytest.raises(
        ConfigError, match=r"model\.pt: is there already and would be lost; name another file, or delete"
    ):
        export(model("gan"), tmp_path / "model.pt", "torchscript")
    assert (tmp_path / "model.pt").read_text() == "mine"


def test_models_without_latents_have_no_program(tmp_path: Path) -> None:
    message = r"^run\.json: models of kind 'vqgan' have no latents that are mapped; take a run of gan or ganformer or "
    with pytest.raises(ConfigError, match=message):
        export(model("vqgan"), tmp_path / "model.onnx", "onnx")
