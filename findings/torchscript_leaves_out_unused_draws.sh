#!/usr/bin/env bash
# TorchScript leaves out operations whose results nothing uses, and takes draws of random
# numbers for such: a network that is traced or scripted draws other numbers than in
# Python, from the same seed, as soon as one draw is not used (noise of a branch that a
# setting switches off, latents for mixing that are not mixed in). One would guess that
# the state of the generator counts as a side effect, or at least that it stays when
# optimisations are switched off by torch.jit.optimized_execution(False). Nothing warns,
# and both results look random. A program that is to give the bits of Python has to
# return its unused draws. Seen with torch 2.13.0 (CPU), Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > look.py <<'PY'
import warnings

import torch

warnings.simplefilter("ignore")


def drawing(x):
    unused = torch.rand(3)
    return x + torch.rand(2)


def returning(x):
    unused = torch.rand(3)
    return x + torch.rand(2), unused


def result(function):
    torch.manual_seed(0)
    with torch.jit.optimized_execution(False):
        found = function(torch.zeros(2))
    return [round(value, 4) for value in (found[0] if isinstance(found, tuple) else found).tolist()]


print("torch", torch.__version__)
python = result(drawing)
changes = []
for name, function, is_equal in (
    ("drawing, traced", torch.jit.trace(drawing, torch.zeros(2), check_trace=False), False),
    ("drawing, scripted", torch.jit.script(drawing), False),
    ("returning, traced", torch.jit.trace(returning, torch.zeros(2), check_trace=False), True),
    ("returning, scripted", torch.jit.script(returning), True),
):
    found = result(function)
    print(f"{name:20} {found}, in Python {python}")
    if (found == python) != is_equal:
        changes.append(name)
if changes:
    raise SystemExit(f"Changed: {', '.join(changes)}")
PY
venv/bin/python look.py
