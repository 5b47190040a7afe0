"""Formats of all records: their versions and keys, the errors about them, and values of fields that files leave out."""

from typing import Any

import pytest

from ganformer.errors import CheckpointError, DataError, UserError
from ganformer.records import checkpoint, exhibit, generated, manifest, metrics, npz, parser, run, training, written
from ganformer.records.base import Part, Record


@pytest.mark.parametrize(
    ("kind", "version", "error", "remedy"),
    [
        (run.Run, 1, CheckpointError, "train the run again"),
        (run.TrainedRun, 1, CheckpointError, "train the run again"),
        (checkpoint.CheckpointHeader, 1, CheckpointError, "train the run again"),
        (checkpoint.WeightsHeader, 1, CheckpointError, "train the run again"),
        (exhibit.Exhibit, 1, DataError, "draw it again"),
        (generated.GeneratedImages, 1, DataError, "generate them again"),
        (manifest.Manifest, 2, DataError, "pack again (in the graph: snakemake --forcerun pack)"),
        (metrics.Measured, 1, DataError, "make it again"),
        (metrics.Comparison, 1, DataError, "make it again"),
        (metrics.Best, 1, DataError, "make it again"),
        (npz.ShownImages, 1, DataError, "make it again"),
        (npz.Copies, 1, DataError, "make it with `ganformer step analyse copies`"),
        (npz.LatentsFile, 1, DataError, "make one with `ganformer look latents` or `ganformer project`"),
        (npz.Projected, 1, DataError, "make it with `ganformer project`"),
        (npz.LookedAt, 1, DataError, "make it with `ganformer look`"),
        (npz.ReferenceFacts, 2, DataError, "delete it and run again"),
        (parser.SceneParserRecord, 2, CheckpointError, "train it again"),
        (parser.SegmentorRecord, 1, CheckpointError, "make it again"),
        (training.TrainingRecord, 1, CheckpointError, "start the training again, which writes it"),
        (written.WrittenFiles, 1, DataError, "make it again"),
    ],
)
def test_versions_of_files(kind: type[Record], version: int, error: type[UserError], remedy: str) -> None:
    """Files of these versions are on disks; a message says how to get a file that is none."""
    found = kind.FORMAT_KEY, kind.FORMAT, kind.ERROR, kind.REMEDY
    assert found == ("version" if kind is manifest.Manifest else "format", version, error, remedy)


def test_arrays_of_npz_files() -> None:
    assert (npz.StoredImages.FACTS, npz.StoredImages.ARRAYS) == ("provenance", ())
    assert (npz.ReferenceFacts.FACTS, npz.ReferenceFacts.ARRAYS) == ("about", ())
    assert npz.ShownImages.ARRAYS == ("images",)
    assert (npz.LatentsFile.ARRAYS, npz.LookedAt.ARRAYS) == (("w",), ("cells",))
    assert sorted(npz.Copies.ARRAYS) == [
        *("first_samples", "first_training", "nearest_samples", "nearest_training", "samples_to_training"),
    ]


VALUE = metrics.Value(name="fd", value=1.0)


@pytest.mark.parametrize(
    ("part", "left_out"),
    [
        (manifest.Crop(ratio=1.0), {"filter": "lanczos", "letterbox": False, "margin": 0.0}),
        (VALUE, {"by": None}),
        (checkpoint.History(), {"step": 0, "peak_memory_mb": {}, "stretches": ()}),
        (checkpoint.WeightsHeader(trajectory_sha256="t"), {"step": 0}),
        (run.Origin(), {"file": "", "sha256": "", "origin": "", "notes": ()}),
        (run.TrainingData(data_sha256=None, count=0), {"label_counts": (), "class_names": ()}),
        (
            metrics.ComparedSet(kind="pack", images=None),
            {"mirrored": False, "left_out": {}, "seeds": None, "data_sha256": None, "step": None},
        ),
        (parser.ParserSubject(settings={}), {"kind": None}),
        (
            exhibit.Exhibit(exhibit="table", target="t", title="T", caption="c"),
            {"blocks": (), "alt": "", "inputs": None},
        ),
    ],
)
def test_fields_that_files_leave_out(part: Part, left_out: dict[str, Any]) -> None:
    assert {name: getattr(part, name) for name in left_out} == left_out


def test_columns_and_cells_of_a_table_say_only_what_is_special() -> None:
    assert exhibit.Column("FID") == exhibit.Column("FID", "", True)
    assert exhibit.Cell("3.1") == exhibit.Cell("3.1", False)


def test_only_names_within_the_folder_are_names_of_files() -> None:
    for name in ("a/b.npy", "..\\b.npy", "", "/a"):
        with pytest.raises(ValueError, match="should match pattern"):
            manifest.File(file=name, sha256="s")
    assert manifest.File(file="a.npy", sha256="s").file == "a.npy"
