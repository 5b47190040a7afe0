"""Records of runs: those of older versions, of other packs and of files that changed."""

from pathlib import Path

import pytest

from ganformer.config import ImageSpec
from ganformer.errors import CheckpointError, DataError
from ganformer.records.manifest import Crop, Manifest
from ganformer.records.run import Run, RunClaim, TrainedRun
from tests.run_records import CONTENT, run_record

PATH = Path("run.json")


def pack(height: int = 16, width: int = 16, content: str = "d" * 64) -> Manifest:
    image = ImageSpec(height=height, width=width)
    facts = {"count": 0, "format": "npy", "source": {}, "crop": Crop(ratio=1.0), "shards": [], "duplicates": 0}
    return Manifest(image=image, content=content, **facts)


def test_content_stays_in_its_order() -> None:
    found = run_record({"code": {"ganformer": "0.1.0"}, "trajectory_sha256": "7" * 64, "later": {"a": 1}})
    content = found.content()
    assert Run.parse(content, PATH).content() == content
    assert list(content) == [
        *("format", "run", "spec", "spec_sha256", "trajectory_sha256", "data", "code", "steps", "kimg"),
        *("weights_sha256", "snapshots", "later"),
    ]


def test_runs_of_version_0_1_0_are_read() -> None:
    """They name the manifest of their pack, and no classes and no trajectory."""
    found = Run.parse({**CONTENT, "data": {"manifest_sha256": "m" * 64, "count": 7, "label_counts": []}}, PATH)
    assert (found.data.data_sha256, found.data.count, list(found.data.class_names)) == ("m" * 64, 7, [])
    assert not found.is_of("t" * 64, "m" * 64)


def test_the_cost_of_an_imported_run_is_not_known() -> None:
    message = (
        r"^run\.json: has no 'hardware', 'parameters', 'wall_seconds', 'seconds_per_kimg', 'started', 'finished', "
        "'sessions', so it is no record of a trained run; train the run again$"
    )
    with pytest.raises(CheckpointError, match=message):
        TrainedRun.parse(CONTENT, PATH)


def test_a_run_without_snapshots_is_refused() -> None:
    with pytest.raises(
        CheckpointError, match=r"^run\.json: snapshots is \[\] \(.*at least 1 item.*, so it is no record"
    ):
        run_record({"snapshots": []})


def test_snapshots_by_their_steps() -> None:
    first = {"step": 4, "kimg": 0.5, "file": "four", "sha256": "4" * 64}
    found = run_record({"snapshots": [first, *CONTENT["snapshots"]]})
    assert [found.snapshot(step, PATH).file for step in (4, 8, None)] == ["four", "eight", "eight"]
    with pytest.raises(CheckpointError, match=r"^run\.json: no snapshot of step 5; the record has 4, 8$"):
        found.snapshot(5, PATH)


def test_a_record_at_a_snapshot_has_its_step_and_weights() -> None:
    first = {"step": 4, "kimg": 0.5, "file": "four", "sha256": "4" * 64}
    found = run_record({"snapshots": [first, *CONTENT["snapshots"]], "wall_seconds": 9.0})
    early = found.at(4, PATH)
    assert (early.steps, early.kimg, early.weights_sha256, early.wall_seconds) == (4, 0.5, "4" * 64, None)
    assert early.snapshots == found.snapshots
    assert found.at(8, PATH) == found.at(None, PATH) == found
    with pytest.raises(CheckpointError, match=r"^run\.json: no snapshot of step 5; the record has 4, 8$"):
        found.at(5, PATH)


def test_files_that_changed(tmp_path: Path) -> None:
    found = run_record({})
    assert found.changed_files(tmp_path) == [tmp_path / "eight"]
    (tmp_path / "eight").write_bytes(b"other")
    assert found.changed_files(tmp_path) == [tmp_path / "eight"]


@pytest.mark.parametrize(
    ("image", "canvas", "fits"),
    [
        ((16, 16), (16, 16), True),
        ((16, 16), (8, 16), True),
        ((24, 24), (24, 16), True),
        ((8, 16), (16, 16), False),
        ((8, 8), (16, 16), False),
        ((16, 16), (24, 16), False),
    ],
)
def test_shapes_that_runs_make(image: tuple[int, int], canvas: tuple[int, int], fits: bool) -> None:
    """Official snapshots make squares, whatever the data set."""
    found = run_record({"spec": {"image": {"height": image[0], "width": image[1]}}})
    assert found.makes(ImageSpec(height=canvas[0], width=canvas[1])) is fits


def test_a_run_is_of_its_trajectory_and_its_images() -> None:
    found = run_record({"trajectory_sha256": "t" * 64})
    for trajectory, data, is_so in (("t", "d", True), ("t", "e", False), ("u", "d", False)):
        assert found.is_of(trajectory * 64, data * 64) is is_so


@pytest.mark.parametrize("name", ["format", "spec_sha256", "data", "snapshots"])
def test_records_of_training_have_what_all_of_them_have(name: str) -> None:
    assert RunClaim.model_validate(CONTENT).is_of_training
    assert not RunClaim.model_validate({key: value for key, value in CONTENT.items() if key != name}).is_of_training


def test_packs_that_do_not_fit() -> None:
    found, folder = run_record({}), Path("pack")
    found.check_pack(PATH, folder, pack(), "no advice")
    other = pack(content="e" * 64)
    found.check_pack(PATH, folder, other, "no advice", other_data=True)
    run_record({"data": {"data_sha256": None}}).check_pack(PATH, folder, other, "no advice")
    message = r"^pack: holds the data e{12}…, but run\.json was trained on the data d{12}…; name another$"
    with pytest.raises(DataError, match=message):
        found.check_pack(PATH, folder, other, "name another")
    message = r"^pack: holds images of 32×8 pixels, but run\.json makes 16×16 pixels; name a pack of that shape$"
    with pytest.raises(DataError, match=message):
        found.check_pack(PATH, folder, pack(8, 32), "name another", other_data=True)
