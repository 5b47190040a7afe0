"""Comparisons of models at equal time, differences between them, agreement of metrics, and searches for settings."""

import csv
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from ganformer.errors import DataError
from ganformer.exhibits import comparison, differences, orderings, rankings, search
from ganformer.report import formatting, intervals

MakeFile = Callable[..., Path]
SEEDS = (0, 1, 2)


def settings(kind: Any, name: str, **changes: Any) -> Any:
    fields = {"kind": name, "title": "T", "datasets": ["scenes"], "models": ["stylegan2", "duplex"], "seeds": SEEDS}
    return kind.model_validate({**fields, **changes})


def named(values: Mapping[str, float]) -> dict[str, Any]:
    return {key: {"name": f"{key}_random_vgg16", "value": value} for key, value in values.items()}


def read(out: Path, suffix: str) -> str:
    return out.with_name(f"{out.name}.{suffix}").read_text(encoding="utf-8")


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(read(out, "csv").splitlines()))


@pytest.fixture
def curves(run: MakeFile, metrics: MakeFile) -> list[Path]:
    """Provide runs of 1, 2 and 3 kimg; duplex takes twice as long, so within 30 s it reaches half the images."""
    files = []
    for model, speed in (("stylegan2", 10.0), ("duplex", 20.0)):
        files.append(run(model=model, seconds_per_kimg=speed))
        for kimg in (1, 2, 3):
            fd = 100.0 / kimg if model == "stylegan2" else 50.0 / kimg
            files.append(metrics(model=model, step=kimg * 100, kimg=float(kimg), values=named({"fd": fd})))
    return files


def test_equal_time_takes_the_last_snapshot_within_the_quickest_training(tmp_path: Path, curves: list[Path]) -> None:
    comparison.draw(settings(comparison.Config, "comparison", seeds=[0], budget="time"), curves, tmp_path / "t")
    found = {row["model"]: row for row in rows(tmp_path / "t")}
    assert (found["stylegan2"]["kimg"], found["duplex"]["kimg"]) == ("3.0", "1.0")
    assert float(found["stylegan2"]["minutes"]) == pytest.approx(0.5)
    assert float(found["duplex"]["minutes"]) == pytest.approx(1 / 3)
    assert float(found["duplex"]["fd_random_vgg16"]) == 50.0
    assert "| GANformer (duplex) | 1.00 | 0.333 | 50.0 |" in read(tmp_path / "t", "md")


def test_equal_time_takes_given_minutes(tmp_path: Path, curves: list[Path]) -> None:
    config = settings(comparison.Config, "comparison", seeds=[0], budget="time", minutes=0.7)
    comparison.draw(config, curves, tmp_path / "t")
    assert [row["kimg"] for row in rows(tmp_path / "t")] == ["3.0", "2.0"]


def test_run_without_a_snapshot_in_time_is_named(tmp_path: Path, curves: list[Path]) -> None:
    config = settings(comparison.Config, "comparison", seeds=[0], budget="time", minutes=0.2)
    message = (
        "duplex/seed0/step-100.json: is the first snapshot of its run, after 20 s of training, but 'T' compares at "
        "12 s; set more training.snapshots, or more minutes$"
    )
    for files in (curves, curves[::-1]):
        with pytest.raises(DataError, match=message):
            comparison.draw(config, files, tmp_path / "t")


def test_each_data_set_has_a_budget_of_its_own(tmp_path: Path, run: MakeFile, metrics: MakeFile) -> None:
    files = []
    for dataset, slower in (("scenes", 1), ("faces", 4)):
        for model, speed in (("stylegan2", 10.0), ("duplex", 20.0)):
            files.append(run(dataset, model, seconds_per_kimg=slower * speed))
            values = named({"fd": float(slower)})
            files += [metrics(dataset, model, step=100 * k, kimg=float(k), values=values) for k in (1, 2, 3)]
    config = settings(comparison.Config, "comparison", datasets=["scenes", "faces"], seeds=[0], budget="time")
    comparison.draw(config, files, tmp_path / "t")
    found = [(row["dataset"], row["model"], row["kimg"], float(row["minutes"])) for row in rows(tmp_path / "t")]
    assert found == [
        ("scenes", "stylegan2", "3.0", pytest.approx(0.5)),
        ("scenes", "duplex", "1.0", pytest.approx(1 / 3)),
        ("faces", "stylegan2", "3.0", pytest.approx(2)),
        ("faces", "duplex", "1.0", pytest.approx(4 / 3)),
    ]
    text = read(tmp_path / "t", "md")
    assert "Measured on scenes after 1 and 3 kimg: 1,000 generated" in text
    assert (
        "| Model | kimg (at the snapshot) | min (at the snapshot) | FD ↓ (measured, faces 32, random-vgg16, 1k)" in text
    )


def test_seeds_of_different_speed_have_the_mean_of_their_lengths(
    tmp_path: Path, run: MakeFile, metrics: MakeFile
) -> None:
    files = []
    for seed, speed in ((0, 10.0), (1, 20.0)):
        files.append(run(model="duplex", seed=seed, seconds_per_kimg=speed))
        values = named({"fd": 1.0 + seed})
        files += [metrics(model="duplex", seed=seed, step=100 * k, kimg=float(k), values=values) for k in (1, 2, 3)]
    config = settings(comparison.Config, "comparison", models=["duplex"], seeds=[0, 1], budget="time")
    comparison.draw(config, files, tmp_path / "t")
    (row,) = rows(tmp_path / "t")
    assert (row["kimg"], float(row["minutes"]), row["seeds"]) == ("2.0", pytest.approx(2.5 / 6), "2")
    assert "| GANformer (duplex) | 2.00 | 0.417 | 1.50 ± 0.71 |" in read(tmp_path / "t", "md")


@pytest.mark.parametrize("budget", ["images", "time"])
def test_a_run_that_is_missing_is_named(tmp_path: Path, curves: list[Path], budget: str) -> None:
    config = settings(comparison.Config, "comparison", models=["stylegan2", "gan"], seeds=[0], budget=budget)
    with pytest.raises(
        DataError, match=r"'T' needs metrics of scenes/gan seed 0; files given: .*step-100\.json, .*step-300"
    ):
        comparison.draw(config, curves, tmp_path / "t")
    if budget == "time":
        files = [file for file in curves if file.name != "run.json" or "duplex" in str(file)]
        whole = settings(comparison.Config, "comparison", seeds=[0], budget=budget)
        with pytest.raises(DataError, match=r"'T' needs run\.json of scenes/stylegan2 seed 0"):
            comparison.draw(whole, files, tmp_path / "t")


@pytest.fixture
def trained(metrics: MakeFile) -> Callable[..., list[Path]]:
    """Write metrics of three seeds of each model from lists of values by metric."""

    def write(**models: Mapping[str, list[float]]) -> list[Path]:
        return [
            metrics(model=model, seed=seed, values=named({key: each[seed] for key, each in values.items()}))
            for model, values in models.items()
            for seed in range(3)
        ]

    return write


BASE = {"fd": [10.0, 11.0, 12.0], "recall": [0.2, 0.3, 0.4]}


def test_difference_has_welchs_interval(tmp_path: Path, trained: Callable[..., list[Path]]) -> None:
    files = trained(stylegan2=BASE, duplex={"fd": [5.0, 5.5, 6.5], "recall": [0.25, 0.3, 0.38]})
    config = settings(differences.Config, "differences", base="stylegan2", values=["fd", "recall"])
    differences.draw(config, files, tmp_path / "d")
    fd, recall = rows(tmp_path / "d")
    found = stats.ttest_ind([5.0, 5.5, 6.5], BASE["fd"], equal_var=False)
    low, high = found.confidence_interval(0.95)
    assert float(fd["difference"]) == pytest.approx(17 / 3 - 11)
    assert (float(fd["low"]), float(fd["high"]), float(fd["p"])) == pytest.approx((low, high, found.pvalue))
    assert (fd["verdict"], recall["verdict"]) == ("better", "undecided")
    assert f"**-5.33 \\[{low:+.2f}, {high:+.2f}\\], better**" in read(tmp_path / "d", "md")
    assert "of the 2 in this table about 0.100 would exclude zero by chance" in read(tmp_path / "d", "md")


@pytest.mark.parametrize(("values", "verdict"), [([30.0, 31.0, 32.0], "worse"), ([10.0, 11.0, 12.0], "undecided")])
def test_verdict_follows_the_better_direction(
    tmp_path: Path, trained: Callable[..., list[Path]], values: list[float], verdict: str
) -> None:
    config = settings(differences.Config, "differences", base="stylegan2", values=["fd"])
    differences.draw(config, trained(stylegan2=BASE, duplex={"fd": values}), tmp_path / "d")
    assert rows(tmp_path / "d")[0]["verdict"] == verdict


def test_more_recall_is_better(tmp_path: Path, trained: Callable[..., list[Path]]) -> None:
    config = settings(differences.Config, "differences", base="stylegan2", values=["recall"])
    differences.draw(config, trained(stylegan2=BASE, duplex={"recall": [0.8, 0.81, 0.82]}), tmp_path / "d")
    assert rows(tmp_path / "d")[0]["verdict"] == "better"


@pytest.mark.parametrize(
    ("low", "high", "better", "expected"),
    [
        (-2.0, -1.0, "low", "better"),
        (-2.0, -1.0, "high", "worse"),
        (1.0, 2.0, "low", "worse"),
        (1.0, 2.0, "high", "better"),
        (-1.0, 1.0, "low", "undecided"),
        (0.0, 1.0, "low", "undecided"),
        (-1.0, 0.0, "low", "undecided"),
        (1.0, 2.0, None, "undecided"),
        (float("nan"), float("nan"), "low", "undecided"),
    ],
)
def test_an_interval_that_holds_zero_decides_nothing(
    low: float, high: float, better: str | None, expected: str
) -> None:
    assert intervals.verdict(low, high, better) == expected


@pytest.mark.parametrize(
    ("numbers", "scale", "decimals", "words"),
    [
        ((-5.333, -7.61, -3.06), 1.0, None, "-5.33 [-7.61, -3.06]"),
        ((0.05, -0.01, 0.11), 100.0, 1, "+5.0 [-1.0, +11.0]"),
        ((12.0, float("nan"), float("nan")), 1.0, None, "+12.0 [+nan, +nan]"),
        ((0.001, -0.25, 0.002), 1.0, None, "+0.001 [-0.250, +0.002]"),
    ],
)
def test_a_difference_and_its_interval_have_the_digits_of_the_largest(
    numbers: tuple[float, float, float], scale: float, decimals: int | None, words: str
) -> None:
    row = pd.Series(dict(zip(("difference", "low", "high"), numbers, strict=True)))
    assert intervals.text(row, formatting.Metric("x", scale=scale, decimals=decimals)) == words


def test_missing_value_is_named(tmp_path: Path, trained: Callable[..., list[Path]]) -> None:
    config = settings(differences.Config, "differences", base="stylegan2", values=["coverage"])
    with pytest.raises(DataError, match="compares 'coverage', which runs of duplex on scenes have not"):
        differences.draw(config, trained(stylegan2=BASE, duplex=BASE), tmp_path / "d")


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"base": "gan"}, "base", "'gan' is not in models; add it there, or name one of stylegan2, duplex"),
        ({"seeds": [0]}, "seeds", "give at least two"),
    ],
)
def test_settings_of_differences_that_do_not_fit(changes: dict[str, Any], key: str, message: str) -> None:
    config = settings(differences.Config, "differences", **{"base": "stylegan2", **changes})
    (problem,) = config.problems(None)
    assert problem[0] == key
    assert message in problem[1]


THREE = {"models": ["gan", "stylegan2", "duplex"]}


def test_kendalls_tau_of_two_metrics(tmp_path: Path, trained: Callable[..., list[Path]]) -> None:
    files = trained(
        gan={"fd": [3.0, 3.0, 1.0], "recall": [0.1, 0.1, 0.1]},
        stylegan2={"fd": [2.0, 2.0, 2.0], "recall": [0.2, 0.2, 0.2]},
        duplex={"fd": [1.0, 1.0, 1.5], "recall": [0.3, 0.3, 0.3]},
    )
    rankings.draw(settings(rankings.Config, "rankings", **THREE), files, tmp_path / "r")
    (pair,) = rows(tmp_path / "r")
    assert (pair["metric"], pair["other"], float(pair["tau"])) == ("fd", "recall", 1.0)
    assert [float(pair[f"tau_seed{seed}"]) for seed in SEEDS] == pytest.approx([1, 1, -1 / 3])
    assert "| FD, random-vgg16 | – | 1.00 ± 0.77 |" in read(tmp_path / "r", "md")


def test_value_that_only_some_models_have_orders_none(tmp_path: Path, trained: Callable[..., list[Path]]) -> None:
    files = trained(gan={"rfd": [1.0, 2.0, 3.0], **BASE}, stylegan2=BASE, duplex=BASE)
    rankings.draw(settings(rankings.Config, "rankings", **THREE), files, tmp_path / "r")
    assert [(row["metric"], row["other"]) for row in rows(tmp_path / "r")] == [("fd", "recall")]


def test_ranking_by_a_value_without_a_better_direction_is_refused(
    tmp_path: Path, trained: Callable[..., list[Path]]
) -> None:
    values = {"fd_bias": [1.0, 2.0, 3.0], **BASE}
    files = trained(gan=values, stylegan2=values, duplex=values)
    with pytest.raises(DataError, match="orders models by 'fd_bias', which all models without a better direction"):
        rankings.draw(settings(rankings.Config, "rankings", values=["fd", "fd_bias"], **THREE), files, tmp_path / "r")


def test_ranking_needs_three_models() -> None:
    (problem,) = settings(rankings.Config, "rankings").problems(None)
    assert problem == ("models", "the order of 2 says nothing; name at least 3")


TRIALS = [{"model": "gan", "entries": ["gan-a", "gan-b"]}, {"model": "duplex", "entries": ["duplex-a", "duplex-b"]}]


def searched(**changes: Any) -> search.Config:
    fields = {"kind": "search", "title": "T", "datasets": ["scenes"], "trials": TRIALS, **changes}
    return search.Config.model_validate(fields)


@pytest.fixture
def tried(run: MakeFile, metrics: MakeFile) -> list[Path]:
    """Provide two trials of two models, which differ in one nested and one plain setting."""
    files = []
    for model, trial, fd in (("gan", "a", 3.0), ("gan", "b", 4.0), ("duplex", "a", 2.0), ("duplex", "b", 1.0)):
        name = f"{model}-{trial}"
        gamma, size = (3.0, 64) if trial == "a" else (10.0, 64 if model == "gan" else 32)
        own = {"kind": "gan", "latent_size": size, "adversarial": {"r1_gamma": gamma, "beta1": 0.0}}
        spec = {"image": {"height": 32, "width": 32, "channels": 3}, "mirror": True, "model": own, "seed": 0}
        files += [run(model=name, spec=spec), metrics(model=name, values=named({"fd": fd, "recall": 0.5 - fd / 10}))]
    return files


def test_search_chooses_the_best_trial_of_each_model(tmp_path: Path, tried: list[Path]) -> None:
    search.draw(searched(), tried, tmp_path / "s")
    assert [row["trial"] for row in rows(tmp_path / "s") if row["is_chosen"] == "True"] == ["gan-a", "duplex-b"]
    assert rows(tmp_path / "s")[0]["settings"] == '{"adversarial.r1_gamma":3.0}'
    text = read(tmp_path / "s", "md")
    assert "| GAN | r1\\_gamma 3 | **3.00** | 20.0 |" in text
    assert "| GANformer (duplex) | latent\\_size 32, r1\\_gamma 10 | **1.00** | 40.0 |" in text


def test_value_that_only_some_trials_have_is_a_dash(tmp_path: Path, tried: list[Path], metrics: MakeFile) -> None:
    files = [file for file in tried if "gan-b" not in str(file) or file.name == "run.json"]
    files.append(metrics(model="gan-b", values=named({"fd": 4.0, "recall": 0.1, "rfd": 0.25})))
    search.draw(searched(), files, tmp_path / "s")
    lines = [line for line in read(tmp_path / "s", "md").splitlines() if line.startswith("| GAN ")]
    assert [line.split(" | ")[-1] for line in lines] == ["– |", "0.250 |"]


def test_search_by_a_value_of_which_more_is_better(tmp_path: Path, tried: list[Path]) -> None:
    search.draw(searched(by="recall", trials=[{"model": "gan", "entries": ["gan-b", "gan-a"]}]), tried, tmp_path / "s")
    assert [row["trial"] for row in rows(tmp_path / "s") if row["is_chosen"] == "True"] == ["gan-a"]


def test_search_names_models_whose_value_is_missing(tmp_path: Path, tried: list[Path]) -> None:
    with pytest.raises(
        DataError,
        match="decides by 'kid', which a trial of gan on scenes has not"
        r"; add what measures it to evaluation\.metrics and evaluate again, or decide `by` another value",
    ):
        search.draw(searched(by="kid"), tried, tmp_path / "s")


def test_models_of_a_search_are_its_trials() -> None:
    assert searched().models == ("gan-a", "gan-b", "duplex-a", "duplex-b")
    raw = {"kind": "search", "datasets": ["scenes"], "trials": TRIALS}
    assert ("trials.1.entries.1", "models", "duplex-b") in list(search.Config.references(raw))


def test_unequal_numbers_of_trials_are_refused() -> None:
    (problem,) = searched(trials=[{"model": "gan", "entries": ["gan-a"]}, TRIALS[1]]).problems(None)
    assert problem[0] == "trials"
    assert "(gan 1, duplex 2), which favours some; give all as many" in problem[1]


HEADER = "paper,table,dataset,resolution,model,metric,value,n_images,source,verified\n"


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    path = tmp_path / "published.csv"
    values = {"gan": 25.02, "stylegan2": 16.05, "duplex": 9.17, "centroid": 9.17}
    rows = [f"P,Table 1,CLEVR,256,{model},FID,{value},50000,its PDF,yes\n" for model, value in values.items()]
    path.write_text(HEADER + "".join(rows) + "P,Table 1,CLEVR,256,gan,Recall_pct,13.21,50000,its PDF,yes\n")
    return path


def ordered(**changes: Any) -> Any:
    models = ["gan", "stylegan2", "duplex", "centroid"]
    names = {"table": "Table 1", "datasets": {"scenes": "CLEVR"}, "models": {model: model for model in models}}
    return settings(orderings.Config, "orderings", models=models, published=names, **changes)


def test_published_orderings_hold_are_reversed_or_undecided(
    tmp_path: Path, trained: Callable[..., list[Path]], printed: Path
) -> None:
    files = trained(
        gan={"fd": [1.0, 1.1, 1.2]},
        stylegan2={"fd": [5.0, 5.1, 5.2]},
        duplex={"fd": [3.0, 3.1, 3.2]},
        centroid={"fd": [0.1, 9.0, 5.2]},
    )
    orderings.draw(ordered(), [*files, printed], tmp_path / "o")
    found = {(row["model"], row["base"]): row["outcome"] for row in rows(tmp_path / "o")}
    assert found == {
        ("stylegan2", "gan"): "reversed",
        ("duplex", "gan"): "reversed",
        ("centroid", "gan"): "undecided",
        ("duplex", "stylegan2"): "holds",
        ("centroid", "stylegan2"): "undecided",
    }  # of duplex and centroid equal values are published
    text = read(tmp_path / "o", "md")
    assert "Of 5 published orderings of two models 1 hold at this scale, 2 are reversed, and 2 are undecided" in text
    assert "| GANformer (duplex) better than StyleGAN2 | FD | 9.17 and 16.05 | -2.00 " in text


def test_of_values_that_are_better_high_the_higher_published_one_comes_first(
    tmp_path: Path, trained: Callable[..., list[Path]], printed: Path
) -> None:
    printed.write_text(printed.read_text() + "P,Table 1,CLEVR,256,duplex,Recall_pct,33.4,50000,its PDF,yes\n")
    files = trained(
        gan={"recall": [0.30, 0.31, 0.32]},
        stylegan2={"recall": [0.1, 0.2, 0.3]},
        duplex={"recall": [0.60, 0.61, 0.62]},
        centroid={"recall": [0.1, 0.2, 0.3]},
    )
    orderings.draw(ordered(values=["recall"]), [*files, printed], tmp_path / "o")
    (row,) = rows(tmp_path / "o")
    assert [row[key] for key in ("model", "base", "published", "published_base", "outcome")] == [
        *("duplex", "gan", "33.4", "13.21", "holds"),
    ]


def test_ordering_without_published_values_is_refused(
    tmp_path: Path, trained: Callable[..., list[Path]], printed: Path
) -> None:
    every = dict.fromkeys(["gan", "stylegan2", "duplex", "centroid"], BASE)
    message = (
        "nothing is published of 'recall' for two models on scenes; leave it out of `values`"
        ", or name another table in `published`"
    )
    with pytest.raises(DataError, match=message):
        orderings.draw(ordered(values=["recall"]), [*trained(**every), printed], tmp_path / "o")


def test_settings_of_orderings_that_do_not_fit() -> None:
    found = dict(settings(orderings.Config, "orderings", seeds=[0]).problems(None))
    assert "no orderings to compare with" in found["published"]
    assert "give at least two" in found["seeds"]


MANY = {"datasets": ["scenes", "faces"], "models": ["gan", "stylegan2", "duplex"]}


@pytest.fixture
def twice(metrics: MakeFile) -> list[Path]:
    """Write three seeds of three models on two data sets, on which their order by FD is reversed."""
    files = []
    for dataset, sign in (("scenes", 1), ("faces", -1)):
        for place, model in enumerate(MANY["models"]):
            for seed in SEEDS:
                values = named({"fd": 20 + sign * 5 * place + seed / 10, "recall": 0.5 + place / 10 + seed / 1000})
                files.append(
                    metrics(dataset, model, seed, values=values, diverged_kimg=8.0 if dataset == "faces" else None)
                )
    return files


def caption(out: Path) -> str:
    return read(out, "md").split("\n\n")[1]


def parts(out: Path) -> dict[str, str]:
    """Return the text below the heading of each data set."""
    _, scenes, faces = re.split("^### .*$", read(out, "md"), flags=re.MULTILINE)
    return {"scenes": scenes, "faces": faces}


def test_differences_on_two_data_sets(tmp_path: Path, twice: list[Path]) -> None:
    out = tmp_path / "d"
    config = settings(differences.Config, "differences", **MANY, base="gan", values=["fd"], level=0.9)
    differences.draw(config, twice, out)
    assert [(row["dataset"], row["model"], row["verdict"]) for row in rows(out)] == [
        ("scenes", "stylegan2", "worse"),
        ("scenes", "duplex", "worse"),
        ("faces", "stylegan2", "better"),
        ("faces", "duplex", "better"),
    ]
    first = rows(out)[0]
    low, high = stats.ttest_ind([25, 25.1, 25.2], [20, 20.1, 20.2], equal_var=False).confidence_interval(0.9)
    assert [float(first[key]) for key in ("mean", "base_mean", "low", "high")] == pytest.approx([25.1, 20.1, low, high])
    assert (first["base"], first["metric"], first["key"]) == ("gan", "fd_random_vgg16", "fd")
    assert caption(out) == (
        "Difference from GAN: mean over 3 seeds, and in brackets its 90 % confidence interval (Welch's t, which lets "
        "the spreads of two models differ). Bold where a model is better and its interval excludes zero. Intervals are "
        "of single comparisons: of the 4 in this table about 0.400 would exclude zero by chance."
    )
    found = parts(out)
    assert f"| StyleGAN2 | +5.00 \\[{low:+.2f}, {high:+.2f}\\], worse |" in found["scenes"]
    assert "| Model | FD ↓ (faces 32, random-vgg16, 1k) |" in found["faces"]
    assert "| GANformer (duplex) | **-10.0 \\[" in found["faces"]
    assert "| GAN |" not in found["faces"]
    assert ("Diverged: " in found["scenes"], "Diverged: " in found["faces"]) == (False, True)


def test_rankings_on_two_data_sets(tmp_path: Path, twice: list[Path]) -> None:
    out = tmp_path / "r"
    rankings.draw(settings(rankings.Config, "rankings", **MANY), twice, out)
    found = [(row["dataset"], row["metric"], row["other"], row["tau"], float(row["p"])) for row in rows(out)]
    p = stats.kendalltau([1, 2, 3], [1, 2, 3]).pvalue
    assert found == [
        ("scenes", "fd", "recall", "-1.0", pytest.approx(p)),
        ("faces", "fd", "recall", "1.0", pytest.approx(p)),
    ]
    assert caption(out) == (
        "Kendall's τ-b between the orders in which two metrics put the models, best first: 1 if they agree on every "
        "pair of models, −1 if on none, and 0 if they agree on as many as they disagree on. Orders are of the means "
        "over 3 seeds; ± is the standard deviation of τ over orders of single seeds."
    )
    heading = "| Metric | FD, random-vgg16 | Recall %, random-vgg16 |"
    assert f"{heading}\n| :--- | ---: | ---: |\n| FD, random-vgg16 | – | -1.00 ± 0.00 |" in parts(out)["scenes"]
    assert "| Recall %, random-vgg16 | 1.00 ± 0.00 | – |" in parts(out)["faces"]
    assert "Diverged: " in parts(out)["faces"]


def test_ranking_of_one_seed_has_no_spread(tmp_path: Path, twice: list[Path]) -> None:
    rankings.draw(
        settings(rankings.Config, "rankings", **{**MANY, "datasets": ["faces"], "seeds": [0]}), twice, tmp_path / "r"
    )
    text = read(tmp_path / "r", "md")
    assert "| FD, random-vgg16 | – | 1.00 |" in text
    assert "### " not in text
    assert "over 1 seed; " in text


def test_models_without_a_value_that_orders_are_named(tmp_path: Path, trained: Callable[..., list[Path]]) -> None:
    files = trained(gan={"rfd": [1.0, 2.0, 3.0], **BASE}, stylegan2=BASE, duplex=BASE)
    message = (
        "'T' orders models by 'rfd', which stylegan2, duplex on scenes have not; add what measures it to "
        "evaluation.metrics and evaluate again, or name other `values`"
    )
    with pytest.raises(DataError, match=message):
        rankings.draw(settings(rankings.Config, "rankings", values=["rfd", "fd"], **THREE), files, tmp_path / "r")


def test_orderings_on_two_data_sets(tmp_path: Path, twice: list[Path], printed: Path) -> None:
    out = tmp_path / "o"
    names = {"table": "Table 1", "datasets": {"scenes": "CLEVR", "faces": "CLEVR"}}
    names["models"] = {model: model for model in MANY["models"]}
    config = settings(orderings.Config, "orderings", **MANY, published=names, level=0.99)
    orderings.draw(config, [*twice, printed], out)
    assert [(row["dataset"], row["model"], row["base"], row["outcome"]) for row in rows(out)] == [
        ("scenes", "stylegan2", "gan", "reversed"),
        ("scenes", "duplex", "gan", "reversed"),
        ("scenes", "duplex", "stylegan2", "reversed"),
        ("faces", "stylegan2", "gan", "holds"),
        ("faces", "duplex", "gan", "holds"),
        ("faces", "duplex", "stylegan2", "holds"),
    ]
    assert [rows(out)[1][key] for key in ("published", "published_base")] == ["9.17", "25.02"]
    assert caption(out) == (
        "Of 6 published orderings of two models 3 hold at this scale, 3 are reversed, and 0 are undecided: the 99 % "
        "confidence interval over 3 seeds (Welch's t) of the difference holds zero. Data sets, sizes and features are "
        "others than in the paper; only orders are compared."
    )
    heading = (
        "| Published ordering | Value | Published | Difference here | Outcome |\n| :--- | :--- | ---: | ---: | :--- |"
    )
    assert heading in parts(out)["scenes"]
    low, high = stats.ttest_ind([15, 15.1, 15.2], [20, 20.1, 20.2], equal_var=False).confidence_interval(0.99)
    expected = f"| StyleGAN2 better than GAN | FD | 16.05 and 25.02 | -5.00 \\[{low:+.2f}, {high:+.2f}\\] | **holds** |"
    assert expected in parts(out)["faces"]
    assert "| reversed |" in parts(out)["scenes"]
    assert "Diverged: " in parts(out)["faces"]


def test_search_on_two_data_sets(tmp_path: Path, run: MakeFile, metrics: MakeFile) -> None:
    out, files = tmp_path / "s", []
    for dataset, sign in (("scenes", 1), ("faces", -1)):
        for place, trial in enumerate(("a", "b")):
            for seed in (0, 1):
                own = {"kind": "gan", "latent_size": 64, "adversarial": {"r1_gamma": 3.0 + place}}
                spec = {"image": {"height": 32, "width": 32, "channels": 3}, "mirror": True, "model": own, "seed": 0}
                files.append(run(dataset, f"gan-{trial}", seed, spec=spec))
                fd = 0.02 + sign * place / 100 + seed / 1000
                files.append(metrics(dataset, f"gan-{trial}", seed, values=named({"fd": fd, "is": 2.0})))
    trials = [{"model": "gan", "entries": ["gan-a", "gan-b"]}]
    search.draw(searched(datasets=["scenes", "faces"], seeds=[0, 1], trials=trials), files, out)
    assert [(row["dataset"], row["model"], row["trial"], row["is_chosen"], row["kimg"]) for row in rows(out)] == [
        ("scenes", "gan", "gan-a", "True", "16.0"),
        ("scenes", "gan", "gan-b", "False", "16.0"),
        ("faces", "gan", "gan-a", "False", "16.0"),
        ("faces", "gan", "gan-b", "True", "16.0"),
    ]
    assert [float(row["fd"]) for row in rows(out)] == pytest.approx([0.0205, 0.0305, 0.0205, 0.0105])
    assert caption(out) == (
        "Trials of each model, 2 each, and the settings in which they differ. Chosen is the trial with the better FD, "
        "in bold; values are of 2 seeds."
    )
    heading = "| Model | Trial | FD ↓ (random-vgg16) | IS ↑ (random-vgg16) |\n| :--- | :--- | ---: | ---: |"
    assert f"{heading}\n| GAN | r1\\_gamma 3 | **0.0205** | 2.00 |" in parts(out)["scenes"]
    assert "| GAN | r1\\_gamma 4 | **0.0105** | 2.00 |" in parts(out)["faces"]
    assert "Measured on faces after 16 kimg" in parts(out)["faces"]


@pytest.mark.parametrize(("kind", "name"), [(differences, "differences"), (orderings, "orderings")])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_levels_are_between_0_and_1(kind: Any, name: str, level: float) -> None:
    with pytest.raises(ValueError, match=r"level\n  Input should be (greater|less) than [01]"):
        settings(kind.Config, name, base="stylegan2", level=level)
