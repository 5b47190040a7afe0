"""The benchmark of the demo prints a line for each width."""

import re
import subprocess
import sys

import pytest

from tests.benchmarks import ROOT

LINE = r"{} width, 1 threads: \d\.\d{{3}} s, at most \d\.\d{{3}} s; peak \d+ MB"


@pytest.mark.slow
def test_a_line_for_each_width() -> None:
    program = (
        "import sys; sys.path[:0] = ['benchmarks']; sys.argv[1:] = ['1']\n"
        "import page; page.WIDTHS['paper'] = page.WIDTHS['default']; page.SEEDS = 1; page.main()"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = said.stdout.splitlines()
    assert all(re.fullmatch(LINE.format(name), line) for name, line in zip(("default", "paper"), lines, strict=True))
