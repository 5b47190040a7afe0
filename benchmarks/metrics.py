#!/usr/bin/env python
"""Speed of the network behind FID and of measures of its features, beside other ways.

    python benchmarks/metrics.py [--images N] [--features 2048] [--repeats R] [--cores C]
        [--network-images N] [--image-size 256] [--batch 32] [--device cpu|cuda]

Every number is the median over all repeats, in which the sides take turns, each in a process of its own. Memory is by
how much that process grew, so the features themselves do not count. The network is held against those of torch-fidelity
and pytorch-fid where they are installed (pip install torch-fidelity pytorch-fid). Linux only.
"""

import argparse
import os
import tempfile
from pathlib import Path


def main() -> None:
    """Run all comparisons and prints them."""
    options = _options()
    for library in ("OPENBLAS", "MKL", "OMP"):  # read when numpy and torch are imported
        os.environ[f"{library}_NUM_THREADS"] = str(options.cores)
    import measure_comparisons
    import networks
    import numpy as np
    import scipy
    import torch

    from ganformer import artifacts

    if options.device == "cuda" and not torch.cuda.device_count():
        raise SystemExit("--device cuda: torch finds no GPU (no driver, or a torch built for CPUs)")
    hardware = artifacts.hardware()
    print(f"{hardware['processor']}, {options.cores} cores, Python {hardware['python']}, ", end="")
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory(prefix="ganformer-benchmark-") as name:
        folder, repeats, cores = Path(name), options.repeats, options.cores
        # First, as afterwards this process has more memory, of which every side starts with a copy.
        networks.Bench(
            folder, options.image_size, options.network_images, options.batch, repeats, cores, options.device
        ).print_all()
        print()
        measure_comparisons.Bench(folder, options.images, options.features, repeats, cores).print_all()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000, help="number of real and of generated images, at least 10")
    parser.add_argument("--features", type=int, default=2048, help="features of an image, at least 4")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each side")
    parser.add_argument("--cores", type=int, default=2, help="cores for each side")
    parser.add_argument("--network-images", type=int, default=64, help="images that networks look at")
    parser.add_argument("--image-size", type=int, default=256, help="rows and columns of these")
    parser.add_argument("--batch", type=int, default=32, help="images that a network is given at a time")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where networks compute")
    options = parser.parse_args()
    if min(options.network_images, options.image_size, options.batch) < 1:
        parser.error("--network-images, --image-size and --batch must be at least 1")
    if options.images < 10 or options.features < 4 or options.repeats < 1 or options.cores < 1:
        parser.error("--images must be at least 10, --features at least 4, --repeats and --cores at least 1")
    return options


if __name__ == "__main__":
    main()
