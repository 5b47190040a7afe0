"""Records of runs, made by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganformer.records.run import Run

END = {"step": 8, "kimg": 1.0, "file": "eight", "sha256": "8" * 64}
CONTENT = {
    "format": Run.FORMAT,
    "run": {"dataset": "scenes", "model": "duplex", "seed": 3},
    "spec": {"image": {"height": 16, "width": 16}, "mirror": False, "model": {"kind": "tiny"}},
    "spec_sha256": "5" * 64,
    "data": {"data_sha256": "d" * 64, "count": 10, "label_counts": []},
    "steps": 8,
    "kimg": 1.0,
    "weights_sha256": "8" * 64,
    "snapshots": [END],
}


def run_record(content: Mapping[str, Any]) -> Run:
    """Return the record with this content, completed from `CONTENT` as far as it has no such fields."""
    data = {**CONTENT["data"], **content.get("data", {})}
    return Run.parse({**CONTENT, **content, "data": data}, Path("run.json"))
