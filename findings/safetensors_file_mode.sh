#!/usr/bin/env bash
# One would guess that a library which saves a file leaves its mode to the umask, and
# that saving over a file keeps the mode which that one has, as open(path, "wb") does.
# safetensors 0.8.0 writes to a temporary file of its own with mode 0600 and renames
# it, so weights can be read by their owner only, whatever the umask is, and a file
# that was readable before is not afterwards. Version 0.7.0 followed the umask.
# No error is raised where the file is written; colleagues, web servers and
# containers with another user meet it later.
# Seen with safetensors 0.8.0 beside 0.7.0, numpy 2.4.6, on Linux.
# A way out: make the file mode what it should be after saving.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for version in 0.7.0 0.8.0; do
    python3 -m venv "venv-$version"
    "venv-$version/bin/pip" install --quiet --disable-pip-version-check "safetensors==$version" numpy==2.4.6
    "venv-$version/bin/python" -I - <<'PY'
import os, stat
import numpy as np
import safetensors
from safetensors.numpy import save_file

def mode(path):
    return oct(stat.S_IMODE(os.stat(path).st_mode))

os.umask(0o022)
save_file({"a": np.zeros(3)}, "new.safetensors")
open("old.safetensors", "wb").close()
before = mode("old.safetensors")
save_file({"a": np.zeros(3)}, "old.safetensors")
found = mode("new.safetensors"), before, mode("old.safetensors")
print("safetensors", safetensors.__version__, "umask 0o022: new file %s; a file of %s is %s afterwards" % found)
expected = {"0.7.0": ("0o644", "0o644", "0o644"), "0.8.0": ("0o600", "0o644", "0o600")}[safetensors.__version__]
if found != expected:
    raise SystemExit(f"Changed: expected {expected}.")
os.remove("new.safetensors")
PY
done
