#!/usr/bin/env python
"""This checkout beside an earlier one: packing and reading, and the memory of a source of millions of images.

    python benchmarks/before.py CHECKOUT [--images N] [--repeats R] [--many M]

CHECKOUT: another checkout of this project, such as `git worktree add ../before COMMIT` makes. Both run on the same
pictures with the same libraries, in turn, each measurement in a process of its own on one core. Printed are medians,
the ratio of speeds (above 1: this checkout is faster), and by how much memory grew. `--many`: number of images of the
sources whose keys are walked through; 0 leaves that out. Linux only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import comparisons
import lmdb
from PIL import Image

HERE = Path(__file__).resolve().parents[1]
PROGRAM = """
import contextlib, io, json, os, re, sys, time
from pathlib import Path
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
import ganformer
assert Path(ganformer.__file__).is_relative_to(sys.argv[1]), ganformer.__file__
from ganformer.config import Dataset
from ganformer.data.dataset import Images
from ganformer.data.shuffle import Order
from ganformer.data.packing.pack import pack
from ganformer.data.source import open_source
task, source, out = sys.argv[2], json.loads(sys.argv[3]), Path(sys.argv[4])

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6

def packing():
    dataset = Dataset.model_validate({"source": source, "resolution": 256})
    return lambda: pack(dataset, out, 1).count

def reading():
    images = Images(out)
    order = Order(len(images), seed=0)
    images.read(order.indices(0, 32))
    return lambda: sum(len(images.read(order.indices(start, 32))) for start in range(0, 5 * len(images), 32))

def walking():
    dataset = Dataset.model_validate({"source": source, "resolution": 256})
    return lambda: sum(1 for _ in open_source(dataset.source, dataset.image).keys())

with contextlib.redirect_stderr(io.StringIO()):
    work = globals()[task]()
    Path("/proc/self/clear_refs").write_text("5")
    before, start = peak(), time.perf_counter()
    count = work()
    print(json.dumps([count, time.perf_counter() - start, peak() - before]))
"""


def main() -> None:
    """Run all comparisons and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the earlier checkout")
    parser.add_argument("--images", type=int, default=300, help="pictures of 512×512 that are packed to 256×256")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each side")
    parser.add_argument("--many", type=int, default=0, help="images of sources that are only walked through")
    options = parser.parse_args()
    sides = {"now": HERE, "before": options.checkout.resolve()}
    with tempfile.TemporaryDirectory(prefix="ganformer-before-") as folder:
        rows = [
            *_pictures(Path(folder), sides, options),
            *(_many(Path(folder), sides, options) if options.many else ()),
        ]
    comparisons.print_table("This checkout beside the other one, one core", rows)


def _pictures(home: Path, sides: dict[str, Path], options: argparse.Namespace) -> list[dict[str, str]]:
    """Return packing PNGs and JPEGs, and reading packs."""
    origin = comparisons.save_pictures(home / "png", options.images, 512)
    (home / "jpeg").mkdir()
    for path in sorted((home / "png").iterdir()):
        with Image.open(path) as picture:
            picture.save(home / "jpeg" / f"{path.stem}.jpg", quality=92)
    rows = []
    for kind in ("png", "jpeg"):
        source = {"kind": "folder", "path": str(home / kind)}
        rows.append(
            _row(f"packing {kind.upper()} of {origin}, images/s", "packing", source, home, sides, options.repeats)
        )
    return [*rows, _row("reading npy in shuffled batches, images/s", "reading", source, home, sides, options.repeats)]


def _many(home: Path, sides: dict[str, Path], options: argparse.Namespace) -> list[dict[str, str]]:
    """Return walking through keys of a folder, a tar and an LMDB of empty images."""
    folder = home / "many"
    for number in range(options.many):
        if number % 10_000 == 0:
            here = folder / f"{number // 10_000:05d}"
            here.mkdir(parents=True)
        os.close(os.open(here / f"{number:08d}.png", os.O_CREAT | os.O_WRONLY))
    with tarfile.open(home / "many.tar", "w") as archive:
        for number in range(options.many):
            archive.addfile(tarfile.TarInfo(f"{number // 10_000:05d}/{number:08d}.png"))
            archive.getmembers().clear()  # the names of all would take memory
    with lmdb.open(str(home / "many.lmdb"), map_size=1 << 34) as environment:
        for start in range(0, options.many, 10_000):
            with environment.begin(write=True) as transaction:
                for number in range(start, min(start + 10_000, options.many)):
                    transaction.put(f"{number:08d}".encode(), b"x")
    sources = {"folder": folder, "archive": home / "many.tar", "lmdb": home / "many.lmdb"}
    return [
        _row(
            f"keys of {options.many:,} images in a {kind}", "walking", {"kind": kind, "path": str(path)}, home, sides, 1
        )
        for kind, path in sources.items()
    ]


def _row(
    title: str, task: str, source: dict[str, str], home: Path, sides: dict[str, Path], repeats: int
) -> dict[str, str]:
    runs: dict[str, list[list[float]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, root in sides.items():
            words = [sys.executable, "-c", PROGRAM, str(root), task, json.dumps(source), str(home / f"out-{name}")]
            environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=home)
            if done.returncode:
                raise SystemExit(f"{title}, {name}: {done.stderr}")
            runs[name].append(json.loads(done.stdout))
    rates = {name: statistics.median(count / seconds for count, seconds, _ in of) for name, of in runs.items()}
    memory = {name: statistics.median(grown for _, _, grown in of) for name, of in runs.items()}
    return {
        "": title,
        "now": f"{rates['now']:,.0f}",
        "before": f"{rates['before']:,.0f}",
        "× before": f"{rates['now'] / rates['before']:.2f}",
        "MB now": f"{memory['now']:.1f}",
        "MB before": f"{memory['before']:.1f}",
    }


if __name__ == "__main__":
    main()
