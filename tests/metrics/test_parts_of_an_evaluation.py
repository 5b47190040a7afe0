"""Parts of an evaluation: which seeds, networks and files each round and each value is of."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ganformer import artifacts
from ganformer.config import Evaluation
from ganformer.metrics import evaluate as metrics
from ganformer.metrics.reference import Reference
from ganformer.metrics.statistics import Observed
from ganformer.training import distribution
from tests.run_records import run_record

SETTINGS: dict[str, Any] = {"extractor": {"kind": "random-vgg16"}, "metrics": ["frechet"], "images": 2}


def settings(**changes: Any) -> Evaluation:
    return Evaluation.model_validate({**SETTINGS, **changes})


def job(evaluation: Evaluation, folder: Path = Path()) -> metrics.Job:
    return metrics.Job(evaluation, folder / "run.json", None, folder, folder)


def references(evaluation: Evaluation, folder: Path) -> None:
    """Write the statistics of the reals that the evaluation needs."""
    arrays = {"mean": np.zeros(3), "covariance": np.eye(3)}
    for name, part in evaluation.parts().items():
        known = Reference(Observed("reals", 5, arrays), part.extractor.model_dump(mode="json"), part.mirrored, "d" * 64)
        known.write(folder / f"{name}.npz")


def test_paths_of_a_round_are_those_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(paths: Any, learner: Any, record: Any, picture: Any, device: Any, seed: int) -> dict[str, float]:
        measured.append((paths.spaces, seed))
        return {"ppl_z_full": 1.0}

    monkeypatch.setattr(metrics.path_length, "measure", measure)
    evaluation = settings(seed=5, path_length={"network": {"kind": "random-vgg16"}, "images": 4, "spaces": ["w", "z"]})
    learner: Any = SimpleNamespace(
        network=torch.nn.Identity(),
        sampling_generator=SimpleNamespace(path_spaces=("z",)),
        sample=lambda labels, seeds, psi: torch.zeros(len(seeds), 3, 16, 16),
    )
    images: Any = SimpleNamespace(image=SimpleNamespace(picture=(16, 16)))
    for number in (0, 2):
        found = metrics._round(job(evaluation), learner, run_record({}), images, {}, {}, number, torch.device("cpu"))
        assert found == {"path-length": {"ppl_z_full": 1.0}}
    assert measured == [(("z",), 5), (("z",), 7)]


def test_values_tell_their_network_where_it_is_not_the_usual_one() -> None:
    evaluation = settings(metrics=["frechet", "kid"], extractors={"kid": {"kind": "random-vgg16", "seed": 1}})
    usual, other = evaluation.parts()
    found = metrics._named(evaluation, {usual: {"fd": 1.0}, other: {"kid": 2.0}})
    assert {key: value.content() for key, value in found.items()} == {
        "fd": {"name": "fd_random_vgg16", "value": 1.0},
        "kid": {"name": "kid_random_vgg16", "value": 2.0, "by": "random-vgg16"},
    }


def test_mirror_images_are_in_the_names() -> None:
    evaluation = settings(mirrored=True)
    found = metrics._named(evaluation, {next(iter(evaluation.parts())): {"fd": 1.0}})
    assert found["fd"].name == "mirrored_fd_random_vgg16"


def test_files_of_weights_are_those_of_all_networks(tmp_path: Path) -> None:
    for name in ("a", "b", "lpips", "vgg"):
        (tmp_path / name).write_text(name)
    evaluation = settings(
        extractor={"kind": "vgg16", "weights": tmp_path / "a"},
        metrics=["frechet", "kid"],
        extractors={"kid": {"kind": "inception-2015", "weights": tmp_path / "b"}},
        path_length={
            "network": {
                "kind": "vgg16",
                "network": tmp_path / "vgg",
                "network_sha256": "0" * 64,
                "judgement": tmp_path / "lpips",
                "judgement_sha256": "0" * 64,
            }
        },
    )
    assert metrics._weights(evaluation) == {
        str(tmp_path / name): artifacts.file_digest(tmp_path / name) for name in ("a", "b", "lpips", "vgg")
    }


def test_files_of_weights_among_the_results_are_where_these_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANFORMER_RESULTS", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/a").write_text("a")
    evaluation = settings(extractor={"kind": "vgg16", "weights": "results/weights/a"})
    assert metrics._weights(evaluation) == {"results/weights/a": artifacts.file_digest(tmp_path / "weights/a")}


def test_measures_compute_on_the_device_asked_for(tmp_path: Path) -> None:
    evaluation = settings()
    references(evaluation, tmp_path)
    images: Any = SimpleNamespace(digest="d" * 64)
    (real,) = metrics._reals(job(evaluation, tmp_path), images, torch.device("meta")).values()
    assert real.observed.device == torch.device("meta")


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_several_processes_says_that_a_file_stays(
    rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(distribution, "rank", lambda: rank)
    evaluation = settings()
    references(evaluation, tmp_path)
    ((name, part),) = evaluation.parts().items()
    assert metrics._has_reference(tmp_path / f"{name}.npz", part, "d" * 64)
    assert capsys.readouterr().out.count("already and stays") == (rank == 0)
    assert not metrics._has_reference(tmp_path / f"{name}.npz", part, "e" * 64)
