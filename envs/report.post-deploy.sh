#!/usr/bin/env bash
# Snakemake runs this in the workflow's folder once the environment is made: it adds the project itself.
set -euo pipefail
python -m pip install --no-deps --editable .
