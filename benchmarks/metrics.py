#!/usr/bin/env python
"""How fast measures make numbers of features, and in how much memory, beside plain ways to the same numbers.

    python benchmarks/metrics.py [--images N] [--features 2048] [--repeats R] [--cores C]

Every number is the median over all repeats, in which the sides take turns, each in a process of its own. Memory is by
how much that process grew, so the features themselves do not count. Linux only.
"""

import argparse
import os
import tempfile
from pathlib import Path


def main() -> None:
    """Runs all comparisons and prints them."""
    options = _options()
    for library in ("OPENBLAS", "MKL", "OMP"):  # read when numpy and torch are imported
        os.environ[f"{library}_NUM_THREADS"] = str(options.cores)
    import numpy as np
    import scipy
    import torch
    from measure_comparisons import Bench

    from ganformer import artifacts

    hardware = artifacts.hardware()
    print(f"{hardware['processor']}, {options.cores} cores, Python {hardware['python']}, ", end="")
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory(prefix="ganformer-benchmark-") as folder:
        Bench(Path(folder), **vars(options)).print_all()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000, help="number of real and of generated images, at least 10")
    parser.add_argument("--features", type=int, default=2048, help="features of an image, at least 4")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each side")
    parser.add_argument("--cores", type=int, default=2, help="cores for each side")
    options = parser.parse_args()
    if options.images < 10 or options.features < 4 or options.repeats < 1 or options.cores < 1:
        parser.error("--images must be at least 10, --features at least 4, --repeats and --cores at least 1")
    return options


if __name__ == "__main__":
    main()
