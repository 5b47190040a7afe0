"""The benchmark of metrics runs to its end, and all ways give the same values. How fast any is, is not tested."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
WAYS = ["ganformer", "scipy.linalg.sqrtm", "numpy.linalg.eigvals"]
RIVALS = ["torch-fidelity", "pytorch-fid"]
NETWORK = ["--network-images", "2", "--image-size", "8", "--batch", "1"]
NEAR = [f"{way}, {images} images" for images in (24, 48) for way in ("ganformer, in tiles", "whole matrices")]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux (/proc, processor affinity)")


def run(*options, program=("benchmarks/metrics.py",)):
    command = [sys.executable, *program, "--repeats", "1", "--cores", "1", *NETWORK, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def tables(printed):
    """Return of each table its rows, as first cell and the others by their columns."""
    found = []
    for text in printed.split("###")[1:]:
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
        found.append({first: dict(zip(lines[0][1:], cells, strict=True)) for first, *cells in lines[2:]})
    return found


def test_all_ways_are_measured_and_give_the_same_values():
    said = run("--images", "24", "--features", "8")
    assert said.returncode == 0, said.stderr
    networks, regular, singular, near, kernels = tables(said.stdout)
    assert list(networks) == ["ganformer", *RIVALS]
    assert float(networks["ganformer"]["images/s"]) > 0
    assert float(networks["ganformer"]["memory MB"]) >= 0
    for rival in RIVALS:
        assert re.fullmatch(r"[\d.]+|not measured, .* \(pip install .*", networks[rival]["images/s"]), networks[rival]
    assert list(regular) == WAYS
    assert list(singular) == [*WAYS, "numpy.linalg.svd of features"]
    assert list(near) == NEAR
    assert list(kernels) == ["ganformer", "plain"]
    for table in (regular, singular, near, kernels):
        for cells in table.values():
            assert all(re.fullmatch(r"-?[\d.,]+(e[-+]?\d+)?|–", cell) for cell in cells.values()), cells
    assert float(regular["ganformer"]["off"]) < 1e-6
    assert float(singular["ganformer"]["off"]) < 1e-6
    assert kernels["ganformer"]["value"] == kernels["plain"]["value"]
    for ours, whole in (NEAR[:2], NEAR[2:]):
        assert [near[ours][key] for key in ("precision", "recall")] == [
            near[whole][key] for key in ("precision", "recall")
        ]
    assert regular["scipy.linalg.sqrtm"]["× sqrtm"] == kernels["plain"]["× plain"] == "1.00"


def test_packages_that_cannot_be_imported_are_said(tmp_path):
    (tmp_path / "pytorch_fid").mkdir()
    (tmp_path / "pytorch_fid" / "inception.py").write_text("raise RuntimeError('does not fit')")
    program = (
        "import sys; from pathlib import Path; import networks; sys.modules['torch_fidelity'] = None\n"
        "networks.Bench(Path(sys.argv[1]), 8, 1, 1, 1, 1, 'cpu').print_all()"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'benchmarks'}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    (found,) = tables(said.stdout)
    assert {name: cells["images/s"] for name, cells in found.items() if name != "ganformer"} == {
        "torch-fidelity": "not measured, torch_fidelity is not installed (pip install torch-fidelity)",
        "pytorch-fid": "not measured, cannot be imported: does not fit (pip install pytorch-fid and what it needs)",
    }
    assert all(found["ganformer"][f"× {package}"] == "–" for package in RIVALS)


@pytest.mark.parametrize("option", ["--network-images", "--image-size", "--batch"])
def test_a_network_needs_images(option):
    said = run(option, "0")
    assert said.returncode == 2
    assert "--network-images, --image-size and --batch must be at least 1" in said.stderr


@pytest.mark.parametrize("option", ["--images", "--features", "--repeats", "--cores"])
def test_too_small_a_number_is_refused(option):
    said = run(option, "0")
    assert said.returncode == 2
    assert "--images must be at least 10, --features at least 4, --repeats and --cores at least 1" in said.stderr


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="there is a GPU")
def test_a_missing_gpu_is_said():
    said = run("--device", "cuda")
    assert said.returncode == 1
    assert said.stderr.endswith("--device cuda: torch finds no GPU (no driver, or a torch built for CPUs)\n")
