"""Training that starts from a snapshot of official code in Google Drive, for which a server on this machine stands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganformer import artifacts
from ganformer.config import Spec, parse
from ganformer.data.fetching import download
from ganformer.errors import CheckpointError, ConfigError, DataError
from ganformer.interop import bmsg, torch_file
from ganformer.records.run import Run
from ganformer.training import initial
from ganformer.training.checkpoint import build
from ganformer.training.loop import train
from tests.data.faulty_server import FaultyServer, file, status
from tests.interop.test_bmsg import generator_state, saved
from tests.training.tiny_runs import NAMES, final_state, same, tiny_spec

ID = "1AbC-_" + 27 * "x"
SETTINGS: dict[str, Any] = {
    "kind": "msggan",
    "latent_size": 4,
    "channel_base": 128,
    "channel_max": 4,
    "combine": "lin_cat",
    "deviation": "last",
}


def spec(steps: int = 1, **model: Any) -> Spec:
    return tiny_spec(steps, **{**SETTINGS, "initial": f"gdrive:{ID}", **model})


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        monkeypatch.setattr(download, "DRIVE", server.url("/uc?id={}"))
        yield server


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANFORMER_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Provide a generator of BMSG-GAN for images of 8×8 pixels."""
    return saved(generator_state(2, 4), tmp_path / "GAN_GEN_SHADOW_9.pth")


def test_it_is_fetched_imported_and_trained_from(
    pack: Path, tmp_path: Path, drive: FaultyServer, results: Path, snapshot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive.plays("/uc", file(snapshot.read_bytes()))
    train(spec(), pack, tmp_path / "out", names=NAMES, threads=1, gpus=0)
    said = capsys.readouterr().out
    place = results / "imported" / ID
    assert f"{place}: BMSG-GAN, images of 8×8 pixels\n" in said
    assert f"train noise/tiny seed 0: starts from {place / 'run.json'} (imported/{ID} seed 0, 0 thousand" in said
    assert [request.path for request in drive.requests] == [f"/uc?id={ID}"]

    # The record of the import names the file, that of the training both.
    sha256 = artifacts.file_digest(snapshot)
    origin = Run.read(place / "run.json").imported
    assert origin is not None
    assert (origin.file, origin.sha256, origin.address) == (ID, sha256, drive.url(f"/uc?id={ID}"))
    record = Run.read(tmp_path / "out/run.json")
    assert record.imported is None
    assert record.begun_from == origin
    assert record.spec["model"]["initial"] == f"gdrive:{ID}"
    assert record.spec["initial_sha256"] == Run.read(place / "run.json").weights_sha256


def test_its_weights_are_those_of_the_file(drive: FaultyServer, results: Path, snapshot: Path) -> None:
    drive.plays("/uc", file(snapshot.read_bytes()))
    of = initial.resolve(spec())
    learner = build(of)
    initial.fill(learner, of)
    wanted = bmsg.read(torch_file.load(snapshot), snapshot).sampler
    assert same(learner.network.get_submodule("generator").state_dict(), wanted)


def test_it_is_fetched_and_imported_once(
    pack: Path, tmp_path: Path, drive: FaultyServer, results: Path, snapshot: Path
) -> None:
    drive.plays("/uc", file(snapshot.read_bytes()))
    for steps, out in ((1, "a"), (2, "a"), (2, "b")):
        train(spec(steps), pack, tmp_path / out, names=NAMES, threads=1, gpus=0)
    assert len(drive.requests) == 1
    assert same(final_state(tmp_path / "a"), final_state(tmp_path / "b"))
    # Even the file may be removed.
    (results / "weights" / ID).unlink()
    initial.resolve(spec())
    assert len(drive.requests) == 1


def test_other_runs_are_of_no_snapshot(pack: Path, tmp_path: Path) -> None:
    train(tiny_spec(1), pack, tmp_path / "out", names=NAMES, threads=1, gpus=0)
    assert "begun_from" not in artifacts.read_json(tmp_path / "out/run.json")


def test_the_graph_knows_the_import_as_an_input() -> None:
    assert spec().model.inputs == (Path(f"results/imported/{ID}/run.json"),)
    named = spec(initial="gdrive:clevr-snapshot.pkl")
    assert named.model.inputs == (Path("results/imported/clevr-snapshot.pkl/run.json"),)


def test_what_is_neither_published_nor_an_id_is_refused_with_the_settings() -> None:
    message = (
        r"model\.initial: 'gdrive:clever-snapshot\.pkl' is neither a published snapshot nor the id of a file in Google "
        r"Drive, which has 25 letters, digits, - and _ or more; did you mean 'clevr-snapshot\.pkl'\?$"
    )
    raw = {**spec().model_dump(), "model": {**SETTINGS, "initial": "gdrive:clever-snapshot.pkl"}}
    with pytest.raises(ConfigError, match=message):
        parse(Spec, raw, "train")


def test_an_id_that_nobody_has_is_said(drive: FaultyServer, results: Path) -> None:
    drive.plays("/uc", status(404, b"<html>", Content_Type="text/html"))
    with pytest.raises(
        DataError, match=rf"{ID}: could not be fetched; try again later, or download it on another"
    ) as e:
        initial.resolve(spec())
    assert f"  {drive.url(f'/uc?id={ID}')}: 404 Not Found" in str(e.value)
    assert not (results / "imported" / ID / "run.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"GIF89a",
            rf"{ID}: 6 bytes came that are neither a pickle nor a zip archive, so no snapshot; check the id, try",
        ),
        (b"PK\x03\x04", rf"{ID}: is a damaged zip archive \(File is not a zip file\); fetch it again"),
        (b"\x80\x04N.", rf"{ID}: is a pickle, but no snapshot of GANformer \("),
    ],
)
def test_a_file_that_is_no_snapshot_is_said(drive: FaultyServer, results: Path, content: bytes, message: str) -> None:
    drive.plays("/uc", file(content))
    with pytest.raises(CheckpointError, match=message):
        initial.resolve(spec())
    assert not (results / "imported" / ID / "run.json").exists()


def test_a_snapshot_of_another_kind_of_model_is_said(drive: FaultyServer, results: Path, snapshot: Path) -> None:
    drive.plays("/uc", file(snapshot.read_bytes()))
    other = tiny_spec(1, kind="stylegan2", initial=f"gdrive:{ID}")
    message = (
        rf"imported/{ID}/run\.json: is of kind msggan, and a model of kind stylegan2 cannot start from it; name a run "
        "of that kind as initial$"
    )
    with pytest.raises(ConfigError, match=message):
        initial.resolve(other)
