"""Every command hands what it is given to the function that does its work."""

import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ganformer import cli, config, plugins
from ganformer.analysis.generate import Request
from ganformer.cli import step
from ganformer.cli.common import mapping, of_kind
from ganformer.config import Dataset, Evaluation, Logging, Spec, Wandb
from ganformer.errors import ConfigError
from ganformer.metrics.evaluate import Job
from ganformer.metrics.extractors.inception_2015.settings import Config as Inception
from ganformer.report.check import Finding
from ganformer.training.loop import Measured

Call = tuple[tuple[Any, ...], dict[str, Any]]
Watch = Callable[..., list[Call]]

DATASET = {"source": {"kind": "scenes", "images": 5}, "resolution": 32}
RANDOM = {"kind": "random-vgg16"}
EVALUATION = {"extractor": RANDOM, "metrics": ["fid"], "images": 12, "seed": 2}
SPEC = {
    "image": {"height": 8, "width": 8},
    "mirror": True,
    "model": {"kind": "gan"},
    "training": {"kimg": 0.008, "batch": 4, "snapshots": 1},
    "seed": 3,
}
CONFIGURATION = {
    "datasets": {"a": DATASET},
    "models": {"b": {"kind": "gan"}},
    "training": {"kimg": 2, "batch": 4, "snapshots": 1},
    "evaluation": EVALUATION,
    "experiments": {},
}
PARSER = {"kind": "scenes", "epochs": 2}
THREADS_AND_GPUS = ["--threads", "3", "--gpus", "2"]
SHARED = {"threads": 3, "gpus": 2}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Provide a function that puts a stand-in in the place of one and returns the list of its calls."""

    def watch(place: str, result: Any = None) -> list[Call]:
        found: list[Call] = []
        module, _, name = place.rpartition(".")

        def noted(*args: Any, **kwargs: Any) -> Any:
            found.append((args, kwargs))
            return result

        monkeypatch.setattr(importlib.import_module(f"ganformer.{module}"), name, noted)
        return found

    return watch


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start commands in an empty folder."""
    monkeypatch.chdir(tmp_path)


def say(*words: str) -> str:
    said = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.stdout


RUN_AND_OUT = ["--run", "r.json", "--out", "o"]
ANALYSED = {"run": Path("r.json"), "out": Path("o")}


@pytest.mark.parametrize(
    ("words", "place", "args", "kwargs"),
    [
        (
            ["train", "--spec", json.dumps(SPEC), "--data", "d", "--out", "o", "--dataset", "a", "--model", "b"],
            "training.loop.train",
            (Spec.model_validate(SPEC), Path("d"), Path("o")),
            {
                "names": {"dataset": "a", "model": "b"},
                "threads": 1,
                "gpus": 0,
                "checkpoint_minutes": 5.0,
                "check_data": False,
                "restart": False,
                "measured": None,
                "logging": Logging(),
                "max_minutes": None,
            },
        ),
        (
            [
                *("train", "--spec", json.dumps(SPEC), "--data", "d", "--out", "o", "--dataset", "a", "--model", "b"),
                *(*THREADS_AND_GPUS, "--checkpoint-minutes", "1.5", "--check-data", "--restart"),
                *("--evaluate-kimg", "0.004", "--evaluate-images", "300"),
                *("--wandb", "faces", "--wandb-mode", "offline", "--max-minutes", "230"),
            ],
            "training.loop.train",
            (Spec.model_validate(SPEC), Path("d"), Path("o")),
            {
                "names": {"dataset": "a", "model": "b"},
                "threads": 3,
                "gpus": 2,
                "checkpoint_minutes": 1.5,
                "check_data": True,
                "restart": True,
                "measured": Measured(0.004, 300),
                "logging": Logging(wandb=Wandb(project="faces", mode="offline")),
                "max_minutes": 230.0,
            },
        ),
        (
            ["timelapse", "r", "--out", "o.gif"],
            "analysis.timelapse.film",
            (Path("r"), Path("o.gif")),
            {"seconds": 10.0, "is_labelled": False},
        ),
        (
            ["timelapse", "r", "--out", "o.mp4", "--seconds", "2.5", "--label"],
            "analysis.timelapse.film",
            (Path("r"), Path("o.mp4")),
            {"seconds": 2.5, "is_labelled": True},
        ),
        (["status"], "report.status.show", ([Path("results")],), {"as_json": False, "every": None}),
        (
            ["status", "a", "b", "--json", "--watch", "2.5"],
            "report.status.show",
            ([Path("a"), Path("b")],),
            {"as_json": True, "every": 2.5},
        ),
        (
            ["generate", "--weights", "w", "--out", "o"],
            "analysis.generate.generate",
            (Path("w"), Request(32, 0, 8, 0.7, None, False, "class"), Path("o")),
            {"as_grid": False, "as_npz": False, "threads": 1, "gpus": 0},
        ),
        (
            [
                *("generate", "--weights", "w", "--out", "o", "--images-num", "4", "--truncation-psi", "0.5"),
                *("--truncation-mean", "global", "--seed", "6", "--batch-size", "2", "--label", "cat", "--noise"),
                *("--grid", *THREADS_AND_GPUS),
            ],
            "analysis.generate.generate",
            (Path("w"), Request(4, 6, 2, 0.5, "cat", True, "global"), Path("o")),
            {"as_grid": True, "as_npz": False, **SHARED},
        ),
        (
            ["generate", "--weights", "w"],
            "analysis.generate.generate",
            (Path("w"), Request(32, 0, 8, 0.7, None, False, "class"), None),
            {"as_grid": False, "as_npz": False, "threads": 1, "gpus": 0},
        ),
        (
            ["generate", "--weights", "w", "--out", "o", "--npz"],
            "analysis.generate.generate",
            (Path("w"), Request(32, 0, 8, 0.7, None, False, "class"), Path("o")),
            {"as_grid": False, "as_npz": True, "threads": 1, "gpus": 0},
        ),
        (
            [
                *("step", "reference", "--evaluation", json.dumps(EVALUATION), "--data", "d", "--out", "o"),
                *("--check-data", *THREADS_AND_GPUS),
            ],
            "metrics.evaluate.reference",
            (Evaluation.model_validate(EVALUATION), Path("d"), Path("o")),
            {**SHARED, "check_data": True},
        ),
        (
            [
                *("step", "metrics", "--evaluation", json.dumps(EVALUATION), "--data", "d", "--reference", "f"),
                *(*RUN_AND_OUT, "--step", "8", "--other-data", *THREADS_AND_GPUS),
            ],
            "metrics.evaluate.evaluate",
            (Job(Evaluation.model_validate(EVALUATION), Path("r.json"), 8, Path("d"), Path("f"), True), Path("o")),
            SHARED,
        ),
        (
            [
                *("step", "metrics", "--evaluation", json.dumps(EVALUATION), "--data", "d", "--reference", "f"),
                *RUN_AND_OUT,
            ],
            "metrics.evaluate.evaluate",
            (Job(Evaluation.model_validate(EVALUATION), Path("r.json"), None, Path("d"), Path("f"), False), Path("o")),
            {"threads": 1, "gpus": 0},
        ),
        (
            [
                *("step", "parser", "--parsing", json.dumps(PARSER), "--dataset", json.dumps(DATASET)),
                *("--out", "o", *THREADS_AND_GPUS),
            ],
            "analysis.readers.prepare",
            (
                config.parse(config.Parsers, {"parser": PARSER}, "").parser,
                Dataset.model_validate(DATASET),
                Path("o"),
            ),
            SHARED,
        ),
        (
            ["step", "best", "--by", "fd", *RUN_AND_OUT, "a.json", "b.json"],
            "report.best.best",
            ("fd", Path("r.json"), [Path("a.json"), Path("b.json")], Path("o")),
            {},
        ),
        (
            ["step", "reals", "--data", "d", "--count", "1", "--out", "o"],
            "analysis.stored_images.reals",
            (Path("d"), 1, Path("o")),
            {},
        ),
        *(
            (
                ["step", "analyse", kind, *RUN_AND_OUT, "--images", "9", *THREADS_AND_GPUS, *more],
                f"analysis.{place}",
                (),
                {**ANALYSED, "images": 9, **SHARED, **given},
            )
            for kind, place, more, given in [
                ("samples", "stored_images.sample", [], {}),
                ("scales", "scales.sample_scales", [], {}),
                ("attention", "attention_maps.attend", [], {}),
                (
                    "scene-statistics",
                    "chi_square.measure_run",
                    ["--data", "d", "--parser", "p"],
                    {"data": Path("d"), "parser": Path("p")},
                ),
                ("disentanglement", "dci.measure_run", ["--parser", "p"], {"parser": Path("p")}),
                ("attention-segmentation", "segments.measure_run", ["--parser", "p"], {"parser": Path("p")}),
            ]
        ),
        *(
            (
                [
                    *("step", "analyse", "copies", *RUN_AND_OUT, "--images", "9", "--data", "d", "--pairs", "4"),
                    *(
                        "--evaluation",
                        json.dumps({"extractor": RANDOM, "seed": 2, "images": 5}),
                        *more,
                        *THREADS_AND_GPUS,
                    ),
                ],
                "analysis.copies.find_copies",
                (),
                {
                    **ANALYSED,
                    "data": Path("d"),
                    "evaluation": Evaluation.model_validate({"extractor": RANDOM, "seed": 2, "images": 9}),
                    "pairs": 4,
                    "held_out": held_out,
                    **SHARED,
                },
            )
            for more, held_out in (([], None), (["--held-out", "h"], Path("h")))
        ),
        (["data", "info", "p"], "data.info.info", (Path("p"), None), {}),
        (["data", "info", "p", "--out", "o"], "data.info.info", (Path("p"), Path("o")), {}),
        (["data", "verify", "p"], "data.dataset.verify", (Path("p"),), {}),
    ],
    ids=lambda value: " ".join(value[: 3 if value[1:2] == ["analyse"] else 2]) if isinstance(value, list) else "",
)
def test_a_command_calls_its_function(
    calls: Watch, words: Sequence[str], place: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    found = calls(place)
    say(*words)
    assert found == [(args, kwargs)]


def test_watching_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ganformer.report.status.show", interrupted)
    monkeypatch.setenv("GANFORMER_RESULTS", "/elsewhere")
    assert say("status", "--watch", "1") == "\n"


def test_evaluate_measures_prints_and_writes(calls: Watch) -> None:
    written: list[Path] = []
    measured = SimpleNamespace(write=written.append)
    compared, summed = calls("metrics.compare.compare", measured), calls("metrics.compare.summary", "numbers")
    assert say("evaluate", "--real", "a", "--fake", "b") == "numbers\n"
    assert written == []
    more = ["--metrics", "fid, kid", "--images", "5", "--seed", "6", "--step", "7", "--out", "o", *THREADS_AND_GPUS]
    say("evaluate", "--real", "a", "--fake", "b", *more)
    assert written == [Path("o")]
    assert summed == [((measured,), {})] * 2
    chosen = {"extractor": RANDOM, "metrics": ["fid", "kid"], "images": 5, "seed": 6}
    assert compared == [
        ((Evaluation.model_validate({"extractor": RANDOM}), "a", "b"), {"step": None, "threads": 1, "gpus": 0}),
        ((Evaluation.model_validate(chosen), "a", "b"), {"step": 7, **SHARED}),
    ]
    assert compared[0][0][0].model_fields_set == {"extractor"}  # what is set matters for what is refused
    assert compared[1][0][0].model_fields_set == {"extractor", "metrics", "images", "seed"}


def test_import_says_what_it_found(calls: Watch) -> None:
    image = SimpleNamespace(width=16, height=8)
    located = calls("interop.published.located", Path("here.pkl"))
    imported = calls(
        "interop.snapshot.import_snapshot", SimpleNamespace(origin="their code", image=image, notes=["one", "two"])
    )
    said = say("import", "gdrive:clevr-snapshot.pkl", "--out", "o", "--sha256", "abc", "--cache", "c")
    assert said == "o: their code, images of 16×8 pixels\n  note: one\n  note: two\n"
    say("import", "x.pkl", "--out", "o")
    assert located == [(("gdrive:clevr-snapshot.pkl", Path("c")), {}), (("x.pkl", Path("results/weights")), {})]
    page = "https://drive.google.com/uc?id=1sYtuNEi0HGBH1F8GW2JlF4mCRGGrtZa9"
    assert imported == [((Path("here.pkl"), Path("o"), "abc", page), {}), ((Path("here.pkl"), Path("o"), None, ""), {})]


def test_a_model_is_exported_with_the_options_that_were_given(calls: Watch) -> None:
    opened, exported = calls("analysis.explorer.opened", "the run"), calls("analysis.exporting.export")
    say("export", "--weights", "w", "--format", "onnx", "--out", "o")
    say("export", "--weights", "w", "--format", "onnx", "--out", "o", "--batch", "4", "--step", "7", "--threads", "2")
    say("export", "--weights", "w", "--format", "torchscript", "--out", "o", "--truncation-mean", "global")
    words = ["--metrics", "m.json", "--licence", "mit"]
    say("export", "--weights", "w", "--format", "huggingface", "--out", "o", *words)
    chosen = [
        {"kind": "onnx", "batch": None, "truncation_mean": "class"},
        {"kind": "onnx", "batch": 4, "truncation_mean": "class"},
        {"kind": "torchscript", "truncation_mean": "global"},
        {"kind": "huggingface", "metrics": Path("m.json"), "licence": "mit"},
    ]
    assert [call[0][0].model_dump() for call in exported] == chosen
    assert [call[0][1:] for call in exported] == [("the run", Path("o"), threads) for threads in (1, 2, 1, 1)]
    assert opened == [((Path("w"), step), {}) for step in (None, 7, None, None)]


def test_a_drawing_is_signed(calls: Watch) -> None:
    settings = config.parse_experiment(
        {"kind": "comparison", "title": "T", "datasets": ["a"], "models": ["b"]}, "experiment"
    )
    drawn, signed = calls("exhibits.comparison.draw"), calls("report.check.sign")
    say("draw", "--experiment", settings.json(), "--out", "o", "a.json", "b.json")
    files = [Path("a.json"), Path("b.json")]
    assert drawn == [((settings, files, Path("o")), {})]
    assert signed == [((Path("o"), settings.json(), files), {})]


@pytest.mark.parametrize("is_extended", [False, True])
def test_check_lists_and_counts(calls: Watch, tmp_path: Path, is_extended: bool) -> None:
    text = json.dumps(CONFIGURATION)
    (tmp_path / "one.yaml").write_text(text)
    (tmp_path / "two.yaml").write_text('{"training": {"kimg": 3}}')
    good, bad, old = Path("good"), Path("bad"), Path("old")
    findings = [Finding(good), Finding(bad, is_missing=True), Finding(old, problems=["differs"])]
    compared = calls("report.check.check", findings)
    words = ["check", "one.yaml", "two.yaml", *(["--extended"] if is_extended else [])]
    said = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert said.exit_code == 1
    assert said.stdout.splitlines() == [*map(str, findings), "1 of 3 are as the configuration has them"]
    (((settings, place), more),) = compared
    assert (place, more) == (Path("results"), {})
    assert settings.training.kimg == 3
    del findings[1:]
    assert say(*words).splitlines()[-1] == "1 of 1 are as the configuration has them"


def test_extended_results_are_checked_if_asked_for(calls: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.yaml").write_text(json.dumps(CONFIGURATION))
    monkeypatch.setattr(config.Config, "usual", lambda self: "usual")
    compared = calls("report.check.check", [])
    say("check")
    monkeypatch.setenv("GANFORMER_RESULTS", "/elsewhere")
    say("check", "--extended")
    (((usual, place), _), ((everything, other), _)) = compared
    assert (place, other) == (Path("results"), Path("/elsewhere"))
    assert usual == "usual"
    assert isinstance(everything, config.Config)


def test_weights_are_fetched_for_every_extractor_that_has_some(calls: Watch, tmp_path: Path) -> None:
    fetched = calls("metrics.extractors.inception_2015.model.fetch")
    extractor = {"kind": "inception-2015", "weights": str(tmp_path / "w.pth")}
    assert say("step", "weights", "--evaluation", json.dumps({"extractor": extractor})) == ""
    assert [args for args, _ in fetched] == [(Inception.model_validate(extractor),)]
    assert (
        say("step", "weights", "--evaluation", json.dumps({"extractor": RANDOM})) == "random-vgg16 needs no weights\n"
    )
    assert len(fetched) == 1


def test_the_page_is_of_the_results_where_they_are(calls: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORMER_RESULTS", "/elsewhere")
    checked, _ = calls("report.check.check", []), calls("report.page.page")
    say("step", "page", "--config", json.dumps(CONFIGURATION), "--out", "o", "a.json")
    assert checked == [((config.load(CONFIGURATION), Path("/elsewhere")), {})]


def test_the_page_is_written_of_what_was_checked(calls: Watch) -> None:
    checked, written = calls("report.check.check", ["findings"]), calls("report.page.page")
    say("step", "page", "--config", json.dumps(CONFIGURATION), "--out", "o", "--command", "make {}", "a.json")
    settings = config.load(CONFIGURATION)
    assert checked == [((settings, Path("results")), {})]
    assert written == [((settings, [Path("a.json")], Path("o"), "make {}", ["findings"]), {})]


def test_a_page_of_the_documentation_is_written(calls: Watch) -> None:
    written = calls("report.publish.publish")
    words = ["--config", json.dumps(CONFIGURATION), "--template", "t.md", "--out", "o", "--command", "make {}"]
    say("step", "publish", *words, "a.json", "run.json")
    files = [Path("a.json"), Path("run.json")]
    assert written == [((config.load(CONFIGURATION), Path("t.md"), files, Path("o"), "make {}"), {})]


def test_the_best_seed_is_exported(calls: Watch) -> None:
    exported = calls("report.pretrained.export")
    say("step", "export", "--by", "fd", "--out", "o", "a/run.json", "a/step-1.json", "b/run.json")
    runs, metrics = [Path("a/run.json"), Path("b/run.json")], [Path("a/step-1.json")]
    assert exported == [(("fd", runs, metrics, Path("o")), {})]


def test_pretrained_weights_are_listed(calls: Watch) -> None:
    calls("report.pretrained.places", [Path("here")])
    found, listed = calls("report.pretrained.find", "found"), calls("report.pretrained.listing", "all of them")
    generated = calls("analysis.generate.generate")
    assert say("generate", "--list") == "all of them\n"
    assert (found, listed, generated) == ([(([Path("here")],), {})], [(("found",), {})], [])


# Of each kind of look some of its options, as settings.
LOOKS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "latents": (["--seeds", "0,4-6"], {"seeds": (0, 4, 5, 6)}),
    "interpolation": (["--loop", "--space", "z", "--steps", "3"], {"loop": True, "space": "z", "steps": 3}),
    "mixing": (["--layers", "2-3", "--others", "9"], {"layers": "2-3", "others": (9,)}),
    "truncation": (["--psi", "0,.5", "--label", "3"], {"psi": (0.0, 0.5), "label": "3"}),
    "noise": (["--draws", "4", "--latents", "l.npz"], {"draws": 4, "latents": Path("l.npz")}),
    "components": (["--edit", "move", "--strength", "-.5"], {"edit": "move", "strength": -0.5}),
    "attention": (
        ["--layers", "0-1", "--heads", "each", "--alpha", "1"],
        {"layers": (0, 1), "heads": "each", "alpha": 1},
    ),
    "layers": (["--truncation", "0.3"], {"truncation": 0.3}),
    "directions": (["--count", "2", "--reach", "3"], {"count": 2, "reach": 3.0}),
    "codes": (
        ["--completions", "1", "--image", "a.png", "--region", "0,.5,1,1", "--completion-seed", "4"],
        {"completions": 1, "image": Path("a.png"), "region": (0.0, 0.5, 1.0, 1.0), "completion_seed": 4},
    ),
    "nearest": (["--data", "d", "--extractor", "vgg16"], {"data": Path("d"), "extractor": "vgg16"}),
}


@pytest.mark.parametrize("kind", plugins.names("ganformer.looks"))
def test_options_of_a_look_are_its_settings(calls: Watch, kind: str) -> None:
    words, settings = LOOKS[kind]
    made = calls("analysis.looking.look")
    say(
        "look", kind, "--weights", "w/run.json", "--out", "o", *words, "--step", "7", "--film", "gif", *THREADS_AND_GPUS
    )
    expected = config.parse(config.Looking, {"look": {"kind": kind, **settings}}, "look").look
    more = {"step": 7, "film": "gif", "singly": False, **SHARED}
    assert made == [((expected, Path("w/run.json"), Path("o")), more)]


def test_a_look_without_options(calls: Watch, tmp_path: Path) -> None:
    made = calls("analysis.looking.look")
    (tmp_path / "seed3").mkdir()
    for weights in ("seed3", "seed3/run.json"):
        say("look", "latents", "--weights", weights, "--singly")
    expected = config.parse(config.Looking, {"look": {"kind": "latents"}}, "look").look
    more = {"step": None, "film": "mp4", "singly": True, "threads": 1, "gpus": 0}
    assert [call[0] for call in made] == [
        (expected, Path(weights), Path("looks/seed3-latents")) for weights in ("seed3", "seed3/run.json")
    ]
    assert all(call[1] == more for call in made)


def test_settings_of_a_look_are_checked() -> None:
    with pytest.raises(
        ConfigError, match=r"look interpolation: 1 problem\n  steps: .* greater than or equal to 1, got '0'"
    ):
        say("look", "interpolation", "--weights", "w", "--steps", "0")


def test_help_of_a_look_has_the_texts_of_its_settings() -> None:
    said = " ".join(say("look", "components", "--help").replace("│", " ").split())
    assert "[z|w]" in say("look", "interpolation", "--help")
    assert "Seed of the picture that components come from. Default: 4." in said
    assert "as in 0,3,5-8: those of `ganformer generate`. Default: 0,1,2,3." in said
    assert "Edits of one component at a time, and the difference that each makes." in said
    said = " ".join(say("look", "nearest", "--help").replace("│", " ").split())
    assert "Pack of the training: its folder or manifest.json. [required]" in said


def test_a_look_for_a_figure(calls: Watch) -> None:
    made = calls("analysis.looking.store")
    settings = {"kind": "noise", "draws": 3}
    say("step", "look", "--look", json.dumps(settings), *RUN_AND_OUT, *THREADS_AND_GPUS)
    expected = config.parse(config.Looking, {"look": settings}, "look").look
    assert made == [((expected, Path("r.json"), Path("o")), SHARED)]


def test_options_of_a_projection_are_its_settings(calls: Watch) -> None:
    from ganformer.config.projection import Projection

    made = calls("analysis.projection.project")
    words = ["--image", "a.png", "--image", "b", "--space", "layers", "--steps", "9", "--distance", "random-vgg16"]
    say("project", "--weights", "w", "--out", "o", *words, "--film", "gif", "--step", "3", *THREADS_AND_GPUS)
    say("project", "--weights", "w", "--out", "o", "--image", "c")
    images, more = [Path("a.png"), Path("b")], {"step": 3, "film": "gif", **SHARED}
    plain = {"step": None, "film": "mp4", "threads": 1, "gpus": 0}
    assert made == [
        ((Projection(space="layers", steps=9), Path("w"), images, Path("o")), more),
        ((Projection(), Path("w"), [Path("c")], Path("o")), plain),
    ]


def test_the_demo_is_served(calls: Watch) -> None:
    made = calls("demo.server.serve")
    say("demo")
    say("demo", "--weights", "a", "--weights", "b", "--port", "9000", "--no-browser", "--threads", "3")
    assert made == [
        (([], 8501, 1), {"is_headless": False}),
        (([Path("a"), Path("b")], 9000, 3), {"is_headless": True}),
    ]


def test_the_schema_is_printed_or_written(tmp_path: Path) -> None:
    assert say("step", "schema") == config.schema_text()
    assert say("step", "schema", "--out", "schema.json") == ""
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == config.schema_text()


def test_data_sets_are_listed_or_downloaded(calls: Watch) -> None:
    calls("data.fetching.catalogue.listing", "all of them")
    named, fetched = calls("data.fetching.catalogue.named", "entry"), calls("data.fetching.catalogue.download")
    assert say("data", "download") == "all of them\n"
    assert (named, fetched) == ([], [])
    say("data", "download", "clevr", "--out", "o")
    say("data", "download", "clevr")
    assert named == [(("clevr",), {})] * 2
    assert fetched == [(("entry", Path("o")), {}), (("entry", Path("results/downloads")), {})]


def test_pack_has_every_option(calls: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    image = SimpleNamespace(width=16, height=8, channels=1)
    left_out = {".txt": 2, ".json": 1}
    packed = calls("data.packing.pack.pack", SimpleNamespace(count=3, image=image, rejected=[1, 2], left_out=left_out))
    monkeypatch.setattr(cli.data, "cores", lambda: 5)
    Path("images").mkdir()
    (Path("images") / "a.png").touch()
    options = {
        "resolution": 16,
        "ratio": 0.5,
        "format": "png",
        "shards": 2,
        "skip_images": 3,
        "max_images": 7,
        "on_error": "skip",
        "crop_margin": 0.1,
        "classes": 4,
        "channels": 1,
    }
    words = [f"--{name.replace('_', '-')}={option}" for name, option in options.items() if name != "shards"]
    words += ["--shards-num", "2", "--labels", "labels.csv", "--workers", "2"]
    said = say("data", "pack", "--source", "images", *words, "--out", "o")
    assert said == (
        "o: 3 images of 16×8 pixels, grey; 2 unusable (see manifest.json); left out: 3 others (2 .txt, 1 .json)\n"
    )
    source = {"kind": "folder", "path": "images", "labels": "labels.csv"}
    say("data", "pack", "--source", "images", "--letterbox", "--out", "o")
    say("data", "pack", "--dataset", json.dumps(DATASET), "--out", "o")
    plain = {"kind": "folder", "path": "images"}
    assert packed == [
        ((Dataset.model_validate({**options, "source": source}), Path("o"), 2), {}),
        ((Dataset.model_validate({"letterbox": True, "source": plain}), Path("o"), 5), {}),
        ((Dataset.model_validate(DATASET), Path("o"), 5), {}),
    ]


@pytest.mark.parametrize("more", [["--labels", "x.csv"], ["--letterbox"], ["--source", "a"]])
def test_a_whole_data_set_takes_no_other_options(more: list[str]) -> None:
    with pytest.raises(ConfigError, match="give the images as --source, with the options that follow it, or everyth"):
        say("data", "pack", "--dataset", json.dumps(DATASET), *more, "--out", "o")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("random", "--extractor: 'random' is unknown; did you mean 'random-vgg16'?"),
        ("my/own", "--extractor: 'my/own' is neither JSON nor a readable file"),
        ("own.json", "--extractor: 'own.json' is neither JSON nor a readable file"),
        (' {"kind"', "--extractor: is not valid JSON or YAML"),
    ],
)
def test_a_network_is_named_or_described(given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        of_kind("ganformer.metrics.extractors", given, "extractor")


def commands_of(command: Any, before: str = "") -> set[str]:
    """Return all commands by their words."""
    found: set[str] = set()
    for name, each in getattr(command, "commands", {}).items():
        found |= {f"{before}{name}"} | commands_of(each, f"{before}{name} ")
    return found


def test_present_names_of_old_commands_are_commands() -> None:
    present = commands_of(typer.main.get_command(cli.app))
    present |= {f"step analyse {kind}" for kind in step.ANALYSES}
    assert set(cli.RENAMED.values()) <= present
    tables_and_figures = {old for old, new in cli.RENAMED.items() if new == "draw"}
    assert {name for name in tables_and_figures if name not in plugins.names("ganformer.exhibits")} == {"parsed"}
    others = {"weights": "step weights", "measure": "step metrics", "sample": "step analyse samples"}
    others |= {
        "scales": "step analyse scales",
        "attend": "step analyse attention",
        "find-copies": "step analyse copies",
    }
    others |= {"attention-segments": "step analyse attention-segmentation", "parsed": "draw"}
    same = {old for old, new in cli.RENAMED.items() if new.split()[-1] == old}
    assert {old: new for old, new in cli.RENAMED.items() if old not in tables_and_figures - {"parsed"}} == {
        **{old: cli.RENAMED[old] for old in same},
        **others,
    }


@pytest.mark.parametrize("words", [[], ["data"], ["look"], ["step"]])
def test_a_group_alone_shows_its_commands_and_no_options_of_shells(words: list[str]) -> None:
    said = CliRunner().invoke(cli.app, words)
    assert said.exit_code == 2
    assert "Usage: " in said.output
    assert "completion" not in said.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["evaluate", "--real", "a", "--fake", "b", "--metrics", " , "],
            "--metrics: names no metric; leave it out to have",
        ),
        (
            [
                "train",
                "--spec",
                json.dumps(SPEC),
                "--data",
                "d",
                "--out",
                "o",
                "--model",
                "b",
                "--evaluate-images",
                "9",
            ],
            "--evaluate-images: says of how many samples, not when; give --evaluate-kimg as well",
        ),
        (
            ["train", "--spec", json.dumps(SPEC), "--data", "d", "--out", "o", "--model", "b", "--evaluate-kimg", "5"],
            "--evaluate-kimg 5: the training ends at 0.008 kimg, so nothing would be measured; give a smaller number",
        ),
        (
            [
                "train",
                "--spec",
                json.dumps(SPEC),
                "--data",
                "d",
                "--out",
                "o",
                "--model",
                "b",
                "--wandb-mode",
                "offline",
            ],
            "--wandb-mode: says how to log, not where; give --wandb PROJECT as well",
        ),
        (["draw", "--experiment", "[1]", "--out", "o", "f"], "--experiment: '[1]' is neither JSON nor a readable file"),
    ],
)
def test_options_without_sense_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        say(*words)


def test_a_list_is_no_mapping_of_settings(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("[1]")
    message = "--evaluation: holds list instead of a mapping of settings"
    with pytest.raises(ConfigError, match=f"^{message}$"):
        mapping(str(tmp_path / "list.yaml"), "evaluation")


def test_every_command_is_here() -> None:
    def names(command: Any) -> list[str]:
        inside = getattr(command, "commands", {})
        return [name for each in inside for name in (names(inside[each]) or [each])]

    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in names(typer.main.get_command(cli.app)) if f'"{name}"' not in text] == []
