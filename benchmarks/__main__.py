"""The table of speed: `python -m benchmarks`, from the root of a checkout."""

import sys
from pathlib import Path

# Programs in this folder are run by their path, too, and import each other by their names.
sys.path.insert(0, str(Path(__file__).resolve().parent))

if __name__ == "__main__":
    from speed import main

    main()
