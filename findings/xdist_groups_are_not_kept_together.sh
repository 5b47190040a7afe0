#!/usr/bin/env bash
# Tests that share a costly module fixture are kept on one worker by pytest-xdist with
# pytest.mark.xdist_group and --dist loadgroup. With pytest 9.2 the option is accepted, the
# mark too, and nothing is said, but tests of one group run on several workers, each of which
# makes the fixture again: the plug-in writes the group into an attribute of the test that
# pytest no longer reads. With pytest 8 the same files keep to their worker. A scheduler of
# one's own (pytest_xdist_make_scheduler) or --dist loadfile works with both.
# Seen with pytest 9.2.0 and 8.4.2, pytest-xdist 3.8.0, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > test_group.py <<'PY'
import os
import pathlib
import time

import pytest

pytestmark = pytest.mark.xdist_group("one")


@pytest.mark.parametrize("number", range(12))
def test_worker(number):
    time.sleep(0.1)
    pathlib.Path(os.environ["SEEN"], os.environ["PYTEST_XDIST_WORKER"]).touch()
PY
for versions in "9.2.0 2" "8.4.2 1"; do
    read -r version expected <<< "$versions"
    python3 -m venv "venv-$version"
    "venv-$version/bin/pip" install --quiet --disable-pip-version-check "pytest==$version" pytest-xdist==3.8.0
    mkdir "seen-$version"
    SEEN="$PWD/seen-$version" "venv-$version/bin/pytest" -q -p no:cacheprovider -n 2 --dist loadgroup >/dev/null
    found=$(find "seen-$version" -type f | wc -l)
    echo "pytest $version, pytest-xdist 3.8.0: the tests of one group ran on $found worker(s)"
    [[ $found == "$expected" ]] || { echo "Changed: expected $expected."; exit 1; }
done
