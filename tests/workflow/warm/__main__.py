"""Server of warm processes; see the package."""

import sys
from pathlib import Path

from tests.workflow.warm import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]))
