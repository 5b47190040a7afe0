"""Numbers and forms of the tables, from hand-made records."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ganformer.errors import DataError
from ganformer.exhibits import comparison, cost
from ganformer.records.manifest import other_files
from ganformer.report import compared as common
from ganformer.report import records
from ganformer.report.published import Published

MakeFile = Callable[..., Path]
MEASURED = "measured, scenes 32, random-vgg16, 1k"
HEADER = "paper,table,dataset,resolution,model,metric,value,n_images,source,verified\n"


def compared(models: tuple[str, ...] = ("simplex", "duplex"), **changes: object) -> comparison.Config:
    fields = {"kind": "comparison", "title": "Models", "datasets": ["scenes"], "models": models, **changes}
    return comparison.Config.model_validate(fields)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "published.csv"
    path.write_text(
        HEADER
        + "The paper,Table 1,CLEVR,256,GANformer-duplex,FID,9.17,50000,its PDF,yes\n"
        + "The paper,Table 1,CLEVR,256,GANformer-duplex,Precision_pct,47.55,50000,its PDF,yes\n"
        + "The paper,Table 1,CLEVR,256,StyleGAN2,FID,16.05,50000,its PDF,no\n"
        + "The paper,Table 1,FFHQ,256,GANformer-simplex,FID,7.42,50000,its PDF,yes\n"
        + "Other paper,Table 9,CLEVR,256,GANformer-duplex,FID,1.00,1000,elsewhere,yes\n",
        encoding="utf-8",
    )
    return path


def read(out: Path, suffix: str) -> str:
    return out.with_name(f"{out.name}.{suffix}").read_text(encoding="utf-8")


def numbers(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(read(out, "csv").splitlines()))


def test_comparison_of_one_seed(tmp_path: Path, metrics: MakeFile, published: Path) -> None:
    out = tmp_path / "table1"
    comparison.draw(compared(), [metrics(model="simplex"), metrics(model="duplex"), published], out)
    assert "### " not in read(out, "md")  # a single data set is named in the heading of the columns
    assert numbers(out)[1] == {
        "dataset": "scenes",
        "model": "duplex",
        "seeds": "1",
        "kimg": "16.0",
        "fd_random_vgg16": "12.34",
        "fd_random_vgg16_seed_std": "",
        "is_random_vgg16": "2.5",
        "is_random_vgg16_seed_std": "",
        "is_std_random_vgg16": "0.1",
        "precision_random_vgg16": "0.5",
        "precision_random_vgg16_seed_std": "",
        "recall_random_vgg16": "0.25",
        "recall_random_vgg16_seed_std": "",
    }
    lines = read(out, "md").splitlines()
    headings = [f"{title} ({MEASURED})" for title in ("FD ↓", "IS ↑", "Precision % ↑", "Recall % ↑")]
    assert f"| Model | {' | '.join(headings)} |" in lines
    assert "| :--- | ---: | ---: | ---: | ---: |" in lines
    assert "| GANformer (duplex) | 12.3 | 2.50 ± 0.10 | 50.0 | 25.0 |" in lines
    assert "Measured on scenes after 16 kimg: 1,000 generated against 4,000 real images" in read(out, "md")
    assert "one seed" in read(out, "md")


def test_best_of_one_seed_is_bold_in_its_direction(tmp_path: Path, metrics: MakeFile, published: Path) -> None:
    out = tmp_path / "t"
    names = ("fd", "fid50k"), ("is", "is50k"), ("new-metric", "new-metric50k")
    files = [
        metrics(
            model=model, values={key: {"name": name, "value": v} for (key, name), v in zip(names, values, strict=True)}
        )
        for model, values in (("simplex", (20.0, 3.0, 1.0)), ("duplex", (9.172, 2.0, 2.0)))
    ]
    comparison.draw(compared(), [*files, published], out)
    lines = read(out, "md").splitlines()
    assert f"| Model | FID ↓ ({MEASURED}) | IS ↑ ({MEASURED}) | new-metric ({MEASURED}) |" in lines
    assert "| GANformer (simplex) | 20.00 | **3.00** | 1.00 |" in lines
    assert "| GANformer (duplex) | **9.17** | 2.00 | 2.00 |" in lines
    assert r"  GANformer (duplex) & \textbf{9.17} & 2.00 & 2.00 \\" in read(out, "tex")


def test_nothing_is_bold_where_all_are_equal(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    out = tmp_path / "t"
    comparison.draw(compared(), [fd(12.001, model="simplex"), fd(12.002, model="duplex"), published], out)
    assert "**" not in read(out, "md")


@pytest.mark.parametrize("spreads", [(0.1, 2.0), (2.0, 0.1)])
def test_nothing_is_bold_that_either_uncertainty_could_turn_round(
    tmp_path: Path, metrics: MakeFile, published: Path, spreads: tuple[float, float]
) -> None:
    files = [
        metrics(
            model=model,
            values={key: {"name": f"{key}_random_vgg16", "value": x} for key, x in {"fd": fd, "fd_std": std}.items()},
        )
        for model, fd, std in zip(("simplex", "duplex"), (10.0, 11.0), spreads, strict=True)
    ]
    comparison.draw(compared(), [*files, published], tmp_path / "t")
    assert "| GANformer (simplex) | 10.0 ± " in read(tmp_path / "t", "md")
    assert "**" not in read(tmp_path / "t", "md")


def test_kid_is_shown_in_thousandths(tmp_path: Path, metrics: MakeFile, published: Path) -> None:
    values = {"kid": {"name": "kid_random_vgg16", "value": 0.00123}}
    comparison.draw(compared(("duplex",)), [metrics(values=values), published], tmp_path / "t")
    lines = read(tmp_path / "t", "md").splitlines()
    assert f"| Model | KID × 10³ ↓ ({MEASURED}) |" in lines
    assert "| GANformer (duplex) | 1.23 |" in lines
    assert numbers(tmp_path / "t")[0]["kid_random_vgg16"] == "0.00123"


@pytest.mark.parametrize(("other", "cell"), [([14.0, 16.0], "**11.0 ± 1.4**"), ([11.0, 13.0], "11.0 ± 1.4")])
def test_several_seeds(tmp_path: Path, fd: MakeFile, published: Path, other: list[float], cell: str) -> None:
    files = [fd(value, model="simplex", seed=seed) for seed, value in enumerate([10.0, 12.0])]
    files += [fd(value, model="duplex", seed=seed) for seed, value in enumerate(other)]
    out = tmp_path / "t"
    comparison.draw(compared(seeds=(0, 1)), [*files, published], out)
    assert f"| GANformer (simplex) | {cell} |" in read(out, "md").splitlines()
    assert "over 2 seeds" in read(out, "md")
    first = numbers(out)[0]
    assert (first["seeds"], first["fd_random_vgg16"]) == ("2", "11.0")
    assert float(first["fd_random_vgg16_seed_std"]) == pytest.approx(2**0.5)
    assert rf"$\pm$ {2**0.5:.1f}" in read(out, "tex")


def test_runs_that_diverged_are_rows_with_a_note(tmp_path: Path, metrics: MakeFile, published: Path) -> None:
    files = [metrics(model="simplex"), metrics(model="duplex", diverged_kimg=6.4)]
    comparison.draw(compared(), [*files, published], tmp_path / "t")
    text = read(tmp_path / "t", "md")
    assert (
        "Diverged: GANformer (duplex) with seed 0 after 6.4 kimg; values of such runs are of the snapshot before."
        in text
    )
    assert "| GANformer (duplex) | 12.3 |" in text
    comparison.draw(compared(), [metrics(model="simplex"), metrics(model="duplex"), published], tmp_path / "t")
    assert "Diverged" not in read(tmp_path / "t", "md")


def test_only_the_last_step_of_a_run_counts(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    out = tmp_path / "t"
    comparison.draw(compared(("duplex",)), [fd(50.0, step=500), fd(12.0), published], out)
    assert numbers(out)[0]["fd_random_vgg16"] == "12.0"
    assert "12.0 |" in read(out, "md")


def test_published_numbers_have_columns_of_their_own(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    out = tmp_path / "t"
    names = {"simplex": "GANformer-simplex", "duplex": "GANformer-duplex", "stylegan2": "StyleGAN2"}
    experiment = compared(
        ("stylegan2", "simplex", "duplex", "mine"),
        published=Published(table="Table 1", datasets={"scenes": "CLEVR"}, models=names),
    )
    files = [fd(10.0 + i, model=model) for i, model in enumerate(experiment.models)]
    comparison.draw(experiment, [*files, published], out)
    lines = read(out, "md").splitlines()
    heading = f"| Model | FD ↓ ({MEASURED}) | FID ↓ (published, CLEVR 256, 50k)"
    assert f"{heading} | Precision % ↑ (published, CLEVR 256, 50k) |" in lines
    assert "| StyleGAN2 | **10.0** | 16.05 † | – |" in lines
    assert "| GANformer (simplex) | 11.0 | – | – |" in lines
    assert "| GANformer (duplex) | 12.0 | 9.17 | 47.55 |" in lines
    assert "| mine | 13.0 | – | – |" in lines
    assert "Published: The paper, Table 1, CLEVR; its PDF." in read(out, "md")
    assert "† not checked against its source." in read(out, "md")
    duplex = numbers(out)[2]
    assert (duplex["published_FID"], duplex["published_images"]) == ("9.17", "50000")
    assert duplex["fd_random_vgg16"] == "12.0"
    tex = read(out, "tex")
    over = r"\begin{tabular}[b]{@{}c@{}}%s\end{tabular}"  # in one line it would be wider than the text
    measured, quoted = over % r"measured,\\scenes 32,\\random-vgg16,\\1k", over % r"published,\\CLEVR 256, 50k"
    assert rf" & \multicolumn{{1}}{{c}}{{{measured}}} & \multicolumn{{2}}{{c@{{}}}}{{{quoted}}} \\" in tex
    assert r"\cmidrule(lr){2-2} \cmidrule(lr){3-4}" in tex


def test_every_data_set_has_a_block(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    out = tmp_path / "t"
    experiment = compared(
        ("duplex",),
        datasets=["scenes", "faces"],
        published=Published(table="Table 1", datasets={"scenes": "CLEVR"}, models={"duplex": "GANformer-duplex"}),
    )
    comparison.draw(experiment, [fd(12.0), fd(0.0123, dataset="faces"), published], out)
    text = read(out, "md")
    assert text.index("### scenes") < text.index("12.0") < text.index("### faces") < text.index("0.0123")
    assert f"| Model | FD ↓ ({MEASURED.replace('scenes', 'faces')}) |" in text.splitlines()
    assert [row["dataset"] for row in numbers(out)] == ["scenes", "faces"]


def test_special_characters_are_escaped(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    out = tmp_path / "a_b"
    comparison.draw(compared(("duplex",), title="50% & <more>|_#"), [fd(12.0), published], out)
    assert r"\caption{50\% \& \textless{}more\textgreater{}\textbar{}\_\#. " in read(out, "tex")
    assert r"## 50% & \<more\>\|\_#" in read(out, "md")


def test_page_form_says_the_same(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    out = tmp_path / "table1"
    comparison.draw(compared(("duplex",)), [fd(12.0), published], out)
    page = json.loads(read(out, "json"))
    assert (page["exhibit"], page["target"], page["title"]) == ("table", "table1", "Models")
    assert page["blocks"][0]["rows"] == [
        [{"text": "GANformer (duplex)", "is_best": False}, {"text": "12.0", "is_best": False}]
    ]


def test_missing_run_is_named(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    with pytest.raises(DataError, match=r"'Models' needs metrics of scenes/simplex seed 0; files given: .*json"):
        comparison.draw(compared(), [fd(12.0), published], tmp_path / "t")


def test_missing_file_is_named(tmp_path: Path, published: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json: cannot be read"):
        comparison.draw(compared(), [tmp_path / "absent.json", published], tmp_path / "t")


def test_incomplete_file_is_named(tmp_path: Path, published: Path) -> None:
    path = tmp_path / "half.json"
    path.write_text('{"format": 1, "run": {"dataset": "scenes", "model": "duplex", "seed": 0}, "step": 1, "kimg": 1}')
    with pytest.raises(
        DataError, match=r"half\.json: has no 'weights_sha256', 'recipe', 'values', so .* make it again"
    ):
        comparison.draw(compared(), [path, published], tmp_path / "t")


def test_incomplete_name_is_named(tmp_path: Path, metrics: MakeFile, published: Path) -> None:
    path = metrics(run={"dataset": "scenes", "model": "duplex"})
    with pytest.raises(DataError, match=r"json: has no 'run\.seed'"):
        comparison.draw(compared(), [path, published], tmp_path / "t")


def test_foreign_format_is_refused(tmp_path: Path, metrics: MakeFile, published: Path) -> None:
    with pytest.raises(DataError, match=r"is of format 2, written by a newer version; this one reads 1: update"):
        comparison.draw(compared(), [metrics(format=2), published], tmp_path / "t")


def test_missing_runs_are_named_with_the_files_that_were_given(tmp_path: Path, fd: MakeFile) -> None:
    frame = records.measurements([fd(1.0, model="b"), fd(1.0, model="a")])
    experiment = compared(("duplex", "simplex"), seeds=(0, 1))
    with pytest.raises(DataError) as caught:
        records.needed(frame, experiment, "metrics")
    folder = tmp_path / "runs/scenes"
    assert str(caught.value) == (
        "'Models' needs metrics of scenes/duplex seed 0, scenes/duplex seed 1, scenes/simplex seed 0, scenes/simplex "
        f"seed 1; files given: {folder}/a/seed0/step-1000.json, {folder}/b/seed0/step-1000.json. Make the missing ones "
        "and pass them as well"
    )
    with pytest.raises(DataError, match=r"; files given: none\. Make the missing ones and pass them as well$"):
        records.needed(frame.iloc[:0], experiment, "metrics")


def test_one_run_given_twice_is_refused(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    path = fd(12.0)
    copy = tmp_path / "copy.json"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(
        DataError,
        match=r"seed0/step-1000\.json and .*copy\.json both hold scenes/duplex seed 0; pass only one of them$",
    ):
        comparison.draw(compared(("duplex",)), [path, copy, published], tmp_path / "t")


def test_numbers_measured_differently_are_not_compared(tmp_path: Path, metrics: MakeFile, published: Path) -> None:
    files = [
        metrics(model="simplex"),
        metrics(model="duplex", recipe={"images": 50, "extractor": {"kind": "random-vgg16"}}),
    ]
    with pytest.raises(
        DataError,
        match=r"simplex/seed0/step-1000\.json and .*duplex/seed0/step-1000\.json were measured in different ways",
    ):
        comparison.draw(compared(), [*files, published], tmp_path / "t")
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "Table1"}, r"'Table1' is not in column table .*did you mean 'Table 1'\?"),
        ({"datasets": {"scenes": "CLEVER"}}, r"'CLEVER' is not in column dataset .*did you mean 'CLEVR'\?"),
        ({"models": {"duplex": "Duplex"}}, r"'Duplex' is not in column model .*Correct `published` of the experiment"),
    ],
)
def test_unknown_published_name(
    tmp_path: Path, fd: MakeFile, published: Path, change: dict[str, object], message: str
) -> None:
    names = {"table": "Table 1", "datasets": {"scenes": "CLEVR"}, "models": {"duplex": "GANformer-duplex"}}
    with pytest.raises(DataError, match=message):
        comparison.draw(compared(("duplex",), published={**names, **change}), [fd(12.0), published], tmp_path / "t")


def test_ambiguous_published_number_is_refused(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    with published.open("a", encoding="utf-8") as file:
        file.write("The paper,Table 1,CLEVR,128,GANformer-duplex,FID,8.00,50000,its PDF,yes\n")
    names = Published(table="Table 1", datasets={"scenes": "CLEVR"}, models={"duplex": "GANformer-duplex"})
    with pytest.raises(
        DataError,
        match=r"published\.csv: FID of duplex on CLEVR is in 'Table 1' more than"
        " once; give its rows a table name of their own",
    ):
        comparison.draw(compared(("duplex",), published=names), [fd(12.0), published], tmp_path / "t")


@pytest.mark.parametrize(
    ("content", "message"),
    [("paper,table\n", "has no column dataset"), ('"', "is not a CSV table"), ("", "is not a CSV")],
)
def test_broken_published_table(tmp_path: Path, fd: MakeFile, content: str, message: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(content)
    names = Published(table="Table 1", datasets={"scenes": "CLEVR"}, models={"duplex": "GANformer-duplex"})
    with pytest.raises(DataError, match=f"broken.csv: {message}"):
        comparison.draw(compared(("duplex",), published=names), [fd(12.0), path], tmp_path / "t")


def test_absent_published_table(tmp_path: Path, fd: MakeFile) -> None:
    names = Published(table="Table 1", datasets={"scenes": "CLEVR"}, models={"duplex": "GANformer-duplex"})
    with pytest.raises(DataError, match=r"absent\.csv: cannot be read"):
        comparison.draw(compared(("duplex",), published=names), [fd(12.0), tmp_path / "absent.csv"], tmp_path / "t")


def test_of_two_published_tables_none_is_taken(tmp_path: Path, fd: MakeFile, published: Path) -> None:
    names = Published(table="Table 1", datasets={"scenes": "CLEVR"}, models={"duplex": "GANformer-duplex"})
    with pytest.raises(DataError, match=r"pass one \.csv among the files \(2 were passed\)"):
        comparison.draw(compared(("duplex",), published=names), [fd(12.0), published, published], tmp_path / "t")


def test_the_best_must_be_further_than_the_uncertainty_not_as_far() -> None:
    for gap, best in ((1.0, set()), (1.1, {"a"})):
        summed = pd.DataFrame({"mean": [10.0, 10.0 + gap], "spread": [0.5, 1.0]}, index=["a", "b"])
        assert common._best(summed, "low", 2) == best
    nobody = pd.DataFrame({"mean": [10.0, float("nan")], "spread": [0.5, 1.0]}, index=["a", "b"])
    assert common._best(nobody, "low", 2) == set()
    assert common._best(summed, None, 2) == set()


def test_conditions_and_sources_of_quoted_numbers() -> None:
    shared = {"published_dataset": "CLEVR", "resolution": "256", "value": "9.1", "verified": "yes"}
    rows = pd.DataFrame(
        [
            {**shared, "metric": "FID", "n_images": "50000", "source": "its PDF"},
            {**shared, "metric": "IS", "n_images": "", "source": "a table"},
        ]
    )
    assert common.published_conditions(rows) == "published, CLEVR 256, 50k"
    found = common._quoted_numbers(rows)
    assert (found["published_FID"], found["published_source"]) == ("9.1", "a table; its PDF")
    assert [found[f"published_{key}"] for key in ("IS", "dataset", "resolution", "images")] == [
        "9.1",
        "CLEVR",
        "256",
        "50000",
    ]
    assert common.published_conditions(rows.assign(resolution="")) == "published, CLEVR, 50k"
    assert common._quoted_numbers(rows.iloc[:0]) == {}


def test_seeds_of_different_lengths_have_the_longest_and_means() -> None:
    rows = pd.DataFrame({"metric": "fd", "name": "fd50k", "seed": [0, 1], "kimg": [16.0, 8.0], "value": [1.0, 4.0]})
    spread = pytest.approx(4.5**0.5)
    assert common._measured_numbers(rows) == {"seeds": 2, "kimg": 16.0, "fd50k": 2.5, "fd50k_seed_std": spread}


def test_accuracy_of_a_parser_is_said_apart_from_the_numbers_that_it_is_of() -> None:
    accuracy = {"colour": 0.987, "object_count": 0.5, "images": 200.0, "objects": 1234.0}
    words = "colour 0.99, object count 0.50, on 200 images with 1,234 objects that it had not seen"
    assert common._right(accuracy) == words


def test_table_1_of_the_paper_is_found(tmp_path: Path, fd: MakeFile) -> None:
    real = Path(__file__).parents[2] / "ganformer/report/published.csv"
    models = {
        "stylegan2": "StyleGAN2",
        "sagan": "SAGAN",
        "kgan": "k-GAN",
        "simplex": "GANformer-simplex",
        "duplex": "GANformer-duplex",
    }
    names = Published(table="Table 1 (ICML)", datasets={"scenes": "CLEVR"}, models=models)
    files = [fd(12.0, model=model) for model in models]
    comparison.draw(compared(tuple(models), published=names), [*files, real], tmp_path / "t")
    assert [row["published_FID"] for row in numbers(tmp_path / "t")] == ["16.05", "26.04", "28.29", "10.26", "9.17"]


# --------------------------------------------------------------------------------------------------- cost


def costs(**changes: object) -> cost.Config:
    fields = {"kind": "cost", "title": "Cost", "datasets": ["scenes"], "models": ["stylegan2", "duplex"], **changes}
    return cost.Config.model_validate(fields)


def test_cost(tmp_path: Path, run: MakeFile) -> None:
    out = tmp_path / "cost"
    plain = run(model="stylegan2", parameters={"generator": 999, "codebook": 30_903_632}, peak_memory_mb=None)
    cost.draw(costs(), [plain, run()], out)
    lines = read(out, "md").splitlines()
    assert (
        "| Model | Generator (parameters) | Codebook (parameters) | Discriminator (parameters) | s/kimg (speed) | "
        "images/s (speed) | Wall time | Peak memory | Device |"
    ) in lines
    assert f"| :--- | {'---: | ' * 7}:--- |" in lines
    assert "| StyleGAN2 | 999 | 30.9 M | – | 8.00 | 125 | 2 min 15 s | – | Example CPU 3000, 2 threads |" in lines
    assert (
        "| GANformer (duplex) | 1.23 M | – | 845 k | 8.00 | 125 | 2 min 15 s | 512 MB | Example CPU 3000, 2 threads |"
        in lines
    )
    assert numbers(out)[1]["peak_memory_mb"] == "512.4"


def test_cost_over_seeds_data_sets_and_devices(tmp_path: Path, run: MakeFile) -> None:
    out = tmp_path / "cost"
    on_gpu = {"device": "cuda", "device_name": "Example GPU", "gpus": 8}
    slow = run(seed=1, seconds_per_kimg=10.0, wall_seconds=175.0, peak_memory_mb=1000.0, hardware=on_gpu)
    files = [run(seed=0), slow, run("faces"), run("faces", seed=1)]
    cost.draw(costs(datasets=["scenes", "faces"], models=["duplex"], seeds=[0, 1]), files, out)
    lines = read(out, "md").splitlines()
    assert f"| :--- | :--- | {'---: | ' * 6}:--- |" in lines
    row = next(line for line in lines if line.startswith("| scenes |"))
    assert "| 9.00 ± 1.41 | 112 ± 17.7 |" in row
    assert "| 2 min 35 s | 1,000 MB |" in row  # the mean of times, and the most memory
    assert row.endswith("| 8 × Example GPU and Example CPU 3000, 2 threads |")
    assert any(line.startswith("| faces | GANformer (duplex) | 1.23 M | 845 k | 8.00 ± 0.00 |") for line in lines)
    assert [row["seed"] for row in numbers(out)] == ["0", "1", "0", "1"]


def test_cost_without_a_run(tmp_path: Path, run: MakeFile) -> None:
    with pytest.raises(DataError, match=r"'Cost' needs run\.json of scenes/stylegan2 seed 0"):
        cost.draw(costs(), [run()], tmp_path / "t")


@pytest.mark.parametrize(
    ("seeds", "quoted", "expected"),
    [
        ((0,), None, common.ONE_SEED),
        ((0, 1), None, common.SEEDS.format(2)),
        ((0,), {"table": "T"}, f"{common.ONE_SEED} {common.QUOTED}"),
    ],
)
def test_captions_say_what_is_compared(seeds: tuple[int, ...], quoted: object, expected: str) -> None:
    experiment = SimpleNamespace(seeds=seeds, published=quoted)
    assert common.caption(experiment) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "words", "end"), [(1, "1 other (", "1 .k0)"), (8, "8 others (", "1 .k7)"), (9, "9 others (", "1 .k7, …)")]
)
def test_other_files_are_counted(count: int, words: str, end: str) -> None:
    found = other_files({f".k{number}": 1 for number in range(count)})
    assert found.startswith(words)
    assert found.endswith(end)
