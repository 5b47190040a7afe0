"""The benchmark of the data path runs to its end and prints every row. How fast anything is, is not tested."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks import ROOT, programs

READERS = [f"ganformer, {layout}" for layout in ("npy", "hdf5", "lmdb", "png", "npy, mirrored")]
READERS += ["ganformer, npy, mirrored random windows", "folder of PNGs, Pillow"]
ADA = ["StyleGAN2-ADA, our png pack", "StyleGAN2-ADA, a zip of its own"]
PACKERS = [f"ganformer, {layout}, {workers}" for layout in ("npy", "png") for workers in ("1 process", "2 processes")]
MORE = [f"ganformer, {layout}, {count} images" for layout in ("npy", "hdf5", "lmdb", "png") for count in (1, 10)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux (/proc, processor affinity)"),
]


@pytest.fixture(scope="module")
def rivals():
    return programs("rivals")["rivals"]


@pytest.fixture
def pictures(tmp_path):
    generator = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number, size in enumerate([(16, 16, 3), (20, 17, 3), (9, 30, 3)]):
        Image.fromarray(generator.integers(0, 256, size, np.uint8)).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path / "pictures"


def run(*program):
    """Return what the benchmark prints at its smallest."""
    size = ["--images", "10", "--repeats", "1", "--resolution", "8"]
    command = [sys.executable, *program, *size]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def rows(printed):
    """Return first cell of every row to the others."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:2] == "| "]
    return {first: others for first, *others in lines if first and set(first) != {"-"}}


def test_every_row_is_printed():
    printed = run("benchmarks/data.py")
    found = rows(printed)
    official = ["steps of the official dataset_tool", "only those for the size wanted"]
    shuffled = ["ganformer, Order", "numpy.random, permutation"]
    assert list(found) == [*READERS, *ADA, *PACKERS, *official, *shuffled, *MORE]
    for name in (*READERS, *PACKERS, *official, *shuffled, *MORE):
        assert all(re.fullmatch(r"[\d,.]+|–", cell) for cell in found[name]), found[name]
    assert found["folder of PNGs, Pillow"][1] == found[official[0]][1] == "1.00"
    assert printed.count("###") == 4


def test_missing_pyspng_is_said():
    without = (
        "import runpy, sys; sys.modules['pyspng'] = None; sys.path.insert(0, 'benchmarks')\n"
        "runpy.run_path('benchmarks/data.py', run_name='__main__')"
    )
    found = rows(run("-c", without))
    for name in ADA:
        assert found[name][0] == "pyspng is not installed (pip install -e '.[bench]')"
    assert found["ganformer, png"][2] == "–"


def test_too_few_images_are_refused():
    command = [sys.executable, "benchmarks/data.py", "--images", "9"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    assert "--images must be at least 10" in said.stderr


def test_steps_of_the_official_tool(rivals, pictures, tmp_path):
    assert rivals.official_tool(pictures, tmp_path / "out") == 3
    sizes = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    # 17 and 9 pixels are nearest to 16 and 8; every smaller power of two down to 4 comes with them.
    assert sizes == {
        f"{side}/{number}.png" for number, sides in enumerate([(16, 8, 4), (16, 8, 4), (8, 4)]) for side in sides
    }
    whole, half = (np.asarray(Image.open(tmp_path / "out" / side / "0.png")).astype(float) for side in ("16", "8"))
    assert (whole == np.asarray(Image.open(pictures / "0.png"))).all()
    assert (half == np.rint(whole.reshape(8, 2, 8, 2, 3).mean(axis=(1, 3)))).all()


def test_others_read_the_same_pixels(rivals, tmp_path):
    (tmp_path / "pictures").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "pictures" / f"{number}.png")
    rivals.write_stylegan2_ada_zip(tmp_path / "pictures", tmp_path / "ada.zip")
    readers = [rivals.FolderOfPngs(tmp_path / "pictures")]
    if rivals.HAS_PYSPNG:
        readers.append(rivals.StyleGan2AdaZip(tmp_path / "ada.zip"))
    for reader in readers:
        for number, image in enumerate(images):
            assert (reader[number] == image.transpose(2, 0, 1)).all()


def test_an_earlier_checkout_is_measured_beside_this_one():
    """Here it is this one twice; the sources of many images are small."""
    size = ["--images", "10", "--repeats", "1", "--many", "50"]
    command = [sys.executable, "benchmarks/before.py", str(ROOT), *size]
    printed = rows(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    names = list(printed)
    assert [name.split(" of ")[0] for name in names[:3]] == ["packing PNG", "packing JPEG", names[2]]
    assert names[2] == "reading npy in shuffled batches, images/s"
    assert names[3:] == [f"keys of 50 images in a {kind}" for kind in ("folder", "archive", "lmdb")]
    assert all(float(ratio) > 0 for _, _, ratio, *_ in printed.values())
