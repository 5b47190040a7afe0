"""All kinds of tables and figures: their order in the report, their files, and the files that they are drawn from."""

from typing import Any

import pytest

from ganformer import config, plugins
from ganformer.config import Experiment

TABLE, DRAWING, PICTURE = ("csv", "md", "tex"), ("csv", "png", "pdf"), ("png", "pdf")
MODELS = {name: {"kind": "ganformer", "attention": name} for name in ("simplex", "duplex")} | {
    "stylegan2": {"kind": "stylegan2"}
}
RAW: dict[str, Any] = {
    "datasets": {"scenes": {"source": {"kind": "scenes"}, "resolution": 16}},
    "models": MODELS,
    "training": {"kimg": 1, "batch": 10, "snapshots": 2},
    "evaluation": {"extractor": {"kind": "random-vgg16"}, "images": 100},
}
PUBLISHED = {"table": "Table 1", "datasets": {"scenes": "CLEVR"}, "models": {"duplex": "GANformer-duplex"}}
END, EVERY = ["metrics/step-100.json"], ["metrics/step-50.json", "metrics/step-100.json"]


def entry(kind: str, **settings: Any) -> Experiment:
    fields = {"kind": kind, "title": "T", "datasets": ["scenes"], "models": ["simplex", "duplex"], "seeds": [3]}
    if kind in ("search", "ablation"):
        del fields["models"]
    return config.load({**RAW, "experiments": {"e": {**fields, **settings}}}).experiments["e"]


# In the order of the report: settings, suffixes, files of each run, and others.
KINDS: list[tuple[str, dict[str, Any], tuple[str, ...], list[str], list[str]]] = [
    ("search", {"trials": [{"model": "m", "entries": ["simplex", "duplex"]}]}, TABLE, ["run.json", *END], []),
    ("comparison", {}, TABLE, END, ["published.csv"]),
    ("differences", {"base": "simplex", "seeds": [3, 4]}, TABLE, END, []),
    ("rankings", {"models": ["simplex", "duplex", "stylegan2"]}, TABLE, END, []),
    ("orderings", {"published": PUBLISHED, "seeds": [3, 4]}, TABLE, END, ["published.csv"]),
    ("learning-curves", {}, DRAWING, EVERY, []),
    ("samples", {"count": 5}, PICTURE, ["samples-5.npz"], ["results/data/scenes/reals-5.npz"]),
    ("attention", {"count": 5}, PICTURE, ["attention-5.npz"], []),
    ("look", {"look": {"kind": "components", "edit": "remove"}}, PICTURE, ["looks/e.npz"], []),
    ("attention-segmentation", {"images": 7}, DRAWING, ["attention-segmentation-7.json"], []),
    ("memorisation", {}, DRAWING, ["copies-e.npz"], []),
    ("scene-statistics", {"images": 7}, TABLE, ["scene-statistics-7.json"], ["published.csv"]),
    ("disentanglement", {"images": 7}, TABLE, ["disentanglement-7.json"], ["published.csv"]),
    ("data-efficiency", {}, DRAWING, ["run.json", *END], []),
    ("ablation", {"base": "simplex", "groups": [{"changed": "d", "models": ["duplex"]}]}, DRAWING, END, []),
    ("cost", {}, TABLE, ["run.json"], []),
]


@pytest.mark.parametrize(("kind", "settings", "forms", "of_runs", "others"), KINDS, ids=[kind for kind, *_ in KINDS])
def test_a_kind_has_its_files_and_inputs(
    kind: str, settings: dict[str, Any], forms: tuple[str, ...], of_runs: list[str], others: list[str]
) -> None:
    experiment = entry(kind, **settings)
    assert experiment.forms == forms
    assert str(experiment.stem("e")) == f"results/{'table' if forms == TABLE else 'figure'}s/e"
    whole = config.load(RAW)
    inputs = [str(path) for path in experiment.inputs("e", whole)]
    models, seeds = experiment.models, experiment.seeds
    folders = [f"results/runs/scenes/{model}/seed{seed}" for model in models for seed in seeds]
    assert sorted(path for path in inputs if "/runs/" in path) == sorted(
        f"{folder}/{file}" for folder in folders for file in of_runs
    )
    assert [path.endswith(other) for path in inputs if "/runs/" not in path for other in others] == [True] * len(others)
    assert len(inputs) == len(folders) * len(of_runs) + len(others)


@pytest.mark.parametrize(("kind", "values"), [("comparison", ["published.csv"]), ("differences", [])])
def test_budgets_of_time_need_the_speed_of_each_run_and_all_snapshots(kind: str, values: list[str]) -> None:
    changes = {"base": "simplex", "seeds": [3, 4]} if kind == "differences" else {}
    experiment = entry(kind, budget="time", **changes)
    names = [path.name for path in experiment.inputs("e", config.load(RAW))]
    runs = 2 * len(experiment.seeds)
    assert sorted(names) == sorted([*["run.json", "step-50.json", "step-100.json"] * runs, *values])


def test_the_report_has_the_kinds_in_this_order() -> None:
    places = {kind: entry(kind, **settings).place for kind, settings, *_ in KINDS}
    assert list(places.values()) == sorted(set(places.values()))
    assert set(places) == set(plugins.names("ganformer.exhibits"))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("samples", {"count": 32}),
        ("attention", {"count": 6}),
        ("attention-segmentation", {"images": 200}),
        ("memorisation", {"count": 8, "images": 1000, "held_out": {}}),
        ("scene-statistics", {"images": 1000, "published": None}),
        ("differences", {"budget": "images", "minutes": None, "level": 0.95}),
        ("search", {"by": "fd"}),
    ],
)
def test_what_is_not_given_is_as_the_documentation_has_it(kind: str, expected: dict[str, Any]) -> None:
    settings = next(settings for name, settings, *_ in KINDS if name == kind)
    needed = {key: value for key, value in settings.items() if key not in expected}
    experiment = entry(kind, **needed)
    assert {key: getattr(experiment, key) for key in expected} == expected
    assert (experiment.extended, entry(kind, **{**needed, "extended": True}).extended) == (False, True)
