#!/usr/bin/env python
"""Speed of reading, making and shuffling packs, beside other ways to do the same: ratios measured in one run.

    pip install -e '.[bench]'
    python benchmarks/data.py [--images N] [--repeats R] [--resolution 256] [--official CHECKOUT]

Every number is the median over all repeats, in which the sides take turns, each in a process of its own. Memory is by
how much that process grew; pages of mapped files count, other processes do not. Linux only.
"""

import argparse
import tempfile
from pathlib import Path


def main() -> None:
    """Run all comparisons and prints them."""
    # Not above: processes that packing starts import this file, and would wait for torch.
    import numpy as np
    from comparisons import Bench

    from ganformer import artifacts

    options = _options()
    hardware = artifacts.hardware()
    print(f"{hardware['processor']}, {hardware['cores']} cores, Python {hardware['python']}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory(prefix="ganformer-benchmark-") as folder:
        Bench(Path(folder), **vars(options)).print_all()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="number of images, at least 10")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each side")
    parser.add_argument("--resolution", type=int, default=256, help="of packs; the pictures have twice as many pixels")
    parser.add_argument("--official", type=Path, help="a checkout of github.com/dorarad/gansformer to run")
    options = parser.parse_args()
    if options.images < 10 or options.repeats < 1:
        parser.error("--images must be at least 10, --repeats at least 1")
    return options


if __name__ == "__main__":
    main()
