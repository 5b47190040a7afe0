"""Overlays of published experiments fit, have the published settings and plan what they say; nothing is trained."""

import csv
import itertools
import math
from functools import cache

import pytest
import torch
import yaml
from snakemake.utils import update_config

from ganformer import config, plugins
from ganformer.config import AdversarialModel
from ganformer.perceptual.distance import PUBLISHED as LPIPS
from ganformer.report import formatting, published
from ganformer.training.adversarial import Adversarial
from tests.workflow.test_graph import CONFIG, ROOT, planned

PRESETS = ["paper", "replication"]
PAPER, STUDY = "Generative Adversarial Transformers (2103.01209)", "Investigating GANsformer"
CSV = ROOT / "ganformer/report/published.csv"
NUMBERS = list(csv.DictReader(CSV.read_text().splitlines()))
NAMES = {"clevr": "CLEVR", "bedrooms": "LSUN-Bedroom", "ffhq": "FFHQ", "cityscapes": "Cityscapes"}
PRESET = "official code --ganformer-default"


def text(name):
    return (ROOT / f"workflow/presets/{name}.yaml").read_text()


@cache
def merged(name):
    """Return the configuration as Snakemake makes it of config.yaml and the overlay."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(raw, yaml.safe_load(text(name)))
    return config.load(raw)


@cache
def specs(name):
    """Return the resolved runs by data set and model."""
    found = merged(name)
    return {(dataset, model): found.spec(dataset, model, seed) for dataset, model, seed in found.runs()}


@cache
def built(name):
    """Return networks by model, height and width of images, without values."""
    return {key: learner.network for key, learner in learners(name).items()}


@cache
def learners(name):
    """Return learners by model, height and width of images, without values."""
    found = {}
    for (_, model), spec in specs(name).items():
        key = model, spec.image.height, spec.image.width
        if key not in found:
            with torch.device("meta"):
                found[key] = plugins.find("ganformer.models", spec.model.kind).build(spec.model, spec.image)
    return found


def official(metric, dataset="all", table="official code defaults"):
    """Return a published number of the paper's code."""
    (row,) = (
        row
        for row in NUMBERS
        if (row["paper"], row["table"], row["dataset"], row["metric"]) == (PAPER, table, dataset, metric)
    )
    return float(row["value"])


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


# ------------------------------------------------------------------------------------------------- both overlays


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_of_the_small_default_is_left(name):
    used = {dataset for dataset, _ in specs(name)}
    assert not used & set(CONFIG["datasets"])
    assert all(spec.training.kimg > CONFIG["training"]["kimg"] for spec in specs(name).values())
    small = {model: CONFIG["models"].get(model, {}).get("channel_base", 0) for _, model in specs(name)}
    for (_, model), spec in specs(name).items():
        if isinstance(spec.model, AdversarialModel):
            assert spec.model.channel_base > small[model]
            assert spec.model.channel_max == 512
            assert spec.model.adversarial.ema_kimg == official("ema_kimg_default")


@pytest.mark.parametrize("name", PRESETS)
def test_published_columns_are_found(name):
    compared = [e for e in merged(name).experiments.values() if getattr(e, "published", None)]
    assert compared
    for experiment in compared:
        found = published.lookup(experiment.published, CSV)
        told = {(row.dataset, row.model, row.metric) for row in found.itertuples()}
        models = set(experiment.models) & set(experiment.published.models)
        assert set(experiment.published.datasets) >= set(experiment.datasets)
        assert told >= set(itertools.product(experiment.datasets, models, ["FID", "IS"]))
        there = {row["model"] for row in NUMBERS if row["table"] == experiment.published.table}
        assert {experiment.published.models[model] for model in models} == there


@pytest.mark.parametrize("name", PRESETS)
def test_files_to_be_put_there_are_named_on_top(name):
    found = merged(name)
    sources = [found.datasets[dataset].source for dataset, _ in specs(name)]
    read = {path for each in (*sources, *found.parsing.values()) for path in each.inputs}
    read |= {spec.model.perceptual.judgement for spec in specs(name).values() if spec.model.kind == "vqgan"}
    by_hand = {str(path) for path in read if path.name != "download.json"}
    told = text(name).partition("\ndatasets:")[0]
    assert by_hand
    assert not [path for path in by_hand if path not in told]


@pytest.mark.parametrize("name", PRESETS)
def test_networks_learn_as_those_of_the_official_code(name):
    """Rates and betas of both Adams, all models', but for MSG-GAN's, which are its own paper's."""
    found = {}
    for (model, _, _), learner in learners(name).items():
        if isinstance(learner, Adversarial):
            groups = learner.generator_adam.param_groups[0], learner.discriminator_adam.param_groups[0]
            found[model] = [(group["lr"], *group["betas"]) for group in groups]
    if name == "paper":
        assert found.pop("msggan") == [(0.003, 0.0, 0.99)] * 2
    assert {"stylegan2", "simplex-clevr" if name == "paper" else "simplex"} < set(found)
    for groups in found.values():
        assert groups[0] == pytest.approx((0.0016, 0.0, 0.9919919679), abs=1e-10)
        assert groups[1] == pytest.approx((0.0018823529, 0.0, 0.9905854573), abs=1e-10)


# ------------------------------------------------------------------------------------------------------ the paper


def test_paper_has_the_sizes_of_the_official_networks():
    networks = built("paper")
    assert {(height, width) for _, height, width in networks} == {(256, 256)}
    counts = {model: parameters(network.discriminator) for (model, _, _), network in networks.items()}
    assert {counts[model] for model in ("gan", "stylegan2", "simplex", "duplex-clevr")} == {28_864_129}
    generators = {model: network.sampler for (model, _, _), network in networks.items()}
    assert parameters(generators["stylegan2-released"]) == 30_510_114
    dead = 337_920 + 2 * 4 * 32  # keys of layers with learned centroids, biases of keys in the mapping
    assert parameters(generators["centroid"]) == 30_903_632 - dead


@pytest.mark.parametrize("dataset", NAMES)
def test_paper_has_the_settings_of_the_official_code(dataset):
    there = NAMES[dataset]
    spec = next(spec for (on, model), spec in specs("paper").items() if on == dataset and model.startswith("duplex"))
    settings = spec.model.adversarial
    assert spec.model.components == official("components_num", there, PRESET)
    assert spec.model.latent_size == official("latent_size_total", there, PRESET)
    assert spec.model.heads == official("num_heads_default")
    assert spec.model.attention_dropout == official("attention_dropout")
    assert settings.r1_gamma == official("r1_gamma", there, "official README dataset catalog")
    assert settings.r1_interval == official("d_reg_interval")
    assert (settings.beta1, settings.beta2) == (official("adam_beta1"), official("adam_beta2"))
    assert settings.discriminator_learning_rate == official("d_lr")
    assert settings.generator_learning_rate == official("g_lr")
    assert settings.path_length_interval == official("g_reg_interval")
    assert settings.style_mixing == official("style_mixing_prob")
    assert (spec.training.batch, spec.training.microbatch) == (official("batch_size"), official("batch_gpu"))
    kimg = [official(f"train_kimg_{end}", table="official README note") for end in ("low", "high")]
    assert kimg[0] <= spec.training.kimg <= kimg[1]
    compared = (e.published for e in merged("paper").experiments.values() if getattr(e, "published", None))
    assert {each.datasets[dataset] for each in compared if dataset in each.datasets} == {there}
    rows, columns = spec.image.picture
    assert rows / columns == official("image_ratio", there, "official code image height/width ratio")


def test_paper_measures_as_the_paper_does():
    evaluation = merged("paper").evaluation
    assert (evaluation.images, evaluation.repeats) == (50_000, 10)
    assert {part.extractor.kind: part.metrics for part in evaluation.parts().values()} == {
        "inception-2015": ("frechet", "frechet-error", "frechet-infinity", "inception-score", "kid"),
        "vgg16": ("precision-recall", "density-coverage"),
    }


def test_paper_trains_vqgan_with_the_published_perceptual_loss():
    (model,) = {spec.model for spec in specs("paper").values() if spec.model.kind == "vqgan"}
    sums = {name: getattr(model.perceptual, name) for name in LPIPS}
    assert sums == LPIPS
    extractor = merged("paper").evaluation.extractors["precision-recall"]
    assert model.perceptual.network == extractor.weights
    defaults = plugins.find("ganformer.models", "vqgan").Config(kind="vqgan", perceptual=model.perceptual)
    assert model.model_dump() == defaults.resolved(merged("paper").training).model_dump()


def test_paper_ablates_one_thing_at_a_time():
    found = merged("paper")
    ablations = found.experiments["ablations"]
    base = found.models[ablations.base].model_dump()
    for model in set(ablations.models) - {ablations.base}:
        changed = {key for key, value in found.models[model].model_dump().items() if value != base[key]}
        assert len(changed) == 1, (model, changed)


def test_paper_is_planned(checkout):
    put(checkout, "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth")
    command = ("-n", "extended", "--configfile", "workflow/presets/paper.yaml")
    assert "results/downloads/lpips-vgg.pth" in checkout.snakemake(*command).stdout  # what is missing, before any job
    put(checkout, "lpips-vgg.pth")
    said = checkout.snakemake(*command)
    jobs = planned(said)
    compared = 4 * len(merged("paper").experiments["table1"].models)
    assert jobs["download"] == 4, said.stdout
    assert (jobs["pack"], jobs["weights"], jobs["parser"]) == (8, 2, 1)
    assert jobs["train"] == len(specs("paper")) == compared + 3 * 3 + 13
    assert jobs["evaluate"] == compared * 20 + 3 * 3 + 13
    assert jobs["reference"] == 2 * 4
    assert (jobs["scene_statistics"], jobs["disentanglement"], jobs["attention_segments"]) == (4, 4, 3)


# ------------------------------------------------------------------------------------------- the replication study


def test_replication_has_the_sizes_of_its_networks():
    networks = built("replication")
    assert {(height, width) for _, height, width in networks} == {(64, 64), (128, 128)}
    for (model, _, width), network in networks.items():
        aggregates = model.endswith("-attended")
        assert hasattr(network.discriminator, "aggregators") == aggregates
        if width == 128 and not aggregates:
            assert parameters(network.discriminator) == 28_389_121


def test_replication_shows_as_many_images_as_the_study():
    lengths = {math.ceil(spec.training.kimg) for spec in specs("replication").values()}
    tables = {row["table"] for row in NUMBERS if row["paper"].startswith(STUDY) and row["metric"] == "FID"}
    assert tables == {f"{length} kimg results" for length in lengths}
    sizes = {(row["dataset"], float(row["resolution"])) for row in NUMBERS if row["table"] in tables}
    datasets = merged("replication").experiments["replication"].published.datasets
    images = {dataset: spec.image for (dataset, _), spec in specs("replication").items()}
    assert sizes == {(datasets[dataset], image.width) for dataset, image in images.items()}


def test_replication_is_planned(checkout):
    put(checkout, "cartoonset10k.tgz")
    said = checkout.snakemake("-n", "--configfile", "workflow/presets/replication.yaml")
    jobs = planned(said)
    assert (jobs["download"], jobs["pack"], jobs["weights"]) == (1, 2, 2), said.stdout
    assert jobs["train"] == len(specs("replication")) == 2 * 7
    assert jobs["evaluate"] == 2 * 7 * 19
    assert jobs["attend"] == 2 * 6
    assert not {"parser", "scene_statistics", "disentanglement", "ablation_figure"} & set(jobs)


# --------------------------------------------------------------------------------------------- MSG-GAN's own code


def test_each_data_set_of_msg_gans_authors_is_planned_alone(checkout):
    """Settings: tests/models/msggan/test_bmsg_preset.py."""
    put(checkout, "img_align_celeba.zip")
    common = {"pack": 1, "train": 1, "evaluate": 1, "reference": 1, "weights": 1}
    others = {"celeba": {}, "bedrooms": {"download": 1, "pack": 2}}
    for name, more in others.items():
        said = checkout.snakemake("-n", "--configfile", "workflow/presets/bmsg-gan.yaml", "--", name)
        jobs = planned(said)
        assert {rule: jobs.get(rule) for rule in {**common, **more}} == {**common, **more}, said.stdout


# ------------------------------------------------------------------------------------------------- the study here

SEARCHED = ROOT / "docs/study/search/search.csv"
PAGE = ROOT / "docs/study/index.md"
REAL = ROOT / "docs/study/real/index.md"


def trials():
    """Return the entries that were tried for each model."""
    return {each.model: each.entries for each in merged("study-search").experiments["search"].trials}


def without_rates(model):
    """Return the settings of a model but those in which trials may differ."""
    settings = model.model_dump()
    return {key: value for key, value in settings.items() if key != "adversarial" and not key.endswith("learning_rate")}


def test_search_tries_the_models_of_the_default_configuration():
    tried, default = merged("study-search"), config.load(yaml.safe_load((ROOT / "config.yaml").read_text()))
    assert list(trials()) == list(merged("study").experiments["table1"].models)
    for model, entries in trials().items():
        for entry in entries:
            assert without_rates(tried.models[entry]) == without_rates(default.models[model])
        assert len({tried.models[entry].json() for entry in entries}) == len(entries)


def test_search_and_study_are_trained_and_measured_alike():
    searched, studied = merged("study-search"), merged("study")
    assert searched.datasets["scenes"] == studied.datasets["scenes"]
    assert searched.training.batch == studied.training.batch
    rates = {"generator_learning_rate", "discriminator_learning_rate", "ema_kimg"}
    assert searched.adversarial.model_dump(include=rates) == studied.adversarial.model_dump(include=rates)
    assert searched.evaluation.extractor == studied.evaluation.extractor
    assert searched.evaluation.images == studied.evaluation.images


def test_study_has_the_settings_that_the_search_chose():
    chosen = [row for row in csv.DictReader(SEARCHED.read_text().splitlines()) if row["is_chosen"] == "True"]
    assert [row["model"] for row in chosen] == list(merged("study").experiments["table1"].models)
    for row in chosen:
        tried = merged("study-search").spec("scenes", row["trial"], 0).model
        studied = merged("study").spec("scenes", row["model"], 0).model
        lengths = {"autoencoder_kimg", "discriminator_start_kimg"}  # of a training's length
        assert studied.model_dump(exclude=lengths) == tried.model_dump(exclude=lengths), row["model"]


def test_search_chose_by_its_own_numbers():
    rows = list(csv.DictReader(SEARCHED.read_text().splitlines()))
    for model, entries in trials().items():
        values = {row["trial"]: float(row["fd"]) for row in rows if row["model"] == model}
        assert list(values) == list(entries)
        (chosen,) = [row["trial"] for row in rows if row["model"] == model and row["is_chosen"] == "True"]
        assert chosen == min(values, key=values.__getitem__)


def test_study_is_planned(checkout):
    command = ("-n", "--configfile", "workflow/presets/study.yaml", "--", "all", "publish", "pretrained")
    jobs = planned(checkout.snakemake(*command))
    runs = 10 * 3
    assert (jobs["train"], jobs["evaluate"], jobs["export"]) == (runs, runs * 10, 10)
    assert (jobs["scene_statistics"], jobs["attention_segments"], jobs["disentanglement"]) == (4 * 3, 3 * 3, 4 * 3)
    assert (jobs["differences_table"], jobs["comparison_table"], jobs["publish"]) == (3, 2, 1)


def test_extended_study_is_planned(checkout):
    files = ("workflow/presets/study.yaml", "workflow/presets/study-extended.yaml")
    jobs = planned(checkout.snakemake("-n", "--configfile", *files, "--", "extended"))
    few = 3 * 3 * 3  # data sets, models, seeds
    augmented = 2 * 4 * 3  # StyleGAN2 and duplex without augmentation are those of data efficiency
    assert jobs["train"] == 30 + few + augmented + 10 * 3


def test_study_of_real_images_trains_the_model_of_the_study_with_and_without_augmentation():
    real, studied = merged("study-real"), merged("study").spec("scenes", "duplex", 0).model
    for dataset in ("nlvr-500", "clevr-89"):
        assert real.spec(dataset, "duplex", 0).model == studied
        tuned = real.spec(dataset, "duplex-tuned", 0).model
        assert str(tuned.initial) == "pretrained/scenes-duplex"
        assert tuned.model_dump(exclude={"initial"}) == studied.model_dump()
        for name in ("ada", "diffaugment"):
            augmented = real.spec(dataset, f"duplex-{name}", 0).model
            assert augmented.adversarial.augmentation.kind == name
            assert augmented.model_dump(exclude={"adversarial"}) == studied.model_dump(exclude={"adversarial"})
            left = {"augmentation"}
            assert augmented.adversarial.model_dump(exclude=left) == studied.adversarial.model_dump(exclude=left)


def test_study_of_real_images_holds_out_all_that_it_was_not_trained_on():
    datasets = merged("study-real").datasets
    whole, trained, held_out = (datasets[name] for name in ("nlvr", "nlvr-500", "nlvr-held-out"))
    assert (whole.skip_images, whole.max_images) == (0, None)
    assert (trained.skip_images, trained.max_images) == (0, held_out.skip_images)
    assert held_out.max_images is None
    assert whole.source == trained.source == held_out.source


def test_study_of_real_images_is_planned(checkout):
    for name in ("nlvr", "clevr"):
        (checkout.folder / "pictures" / name).mkdir(parents=True)
    (checkout.folder / "pretrained").symlink_to(ROOT / "pretrained")
    jobs = planned(checkout.snakemake("-n", "--configfile", "workflow/presets/study-real.yaml", "--", "publish"))
    assert (jobs["train"], jobs["evaluate"], jobs["find_copies"]) == (2 * 4 * 3, 2 * 4 * 3, 2 * 3)
    assert (jobs["pack"], jobs["publish"]) == (4, 1)


def cells():
    """Return the rows of the study's first table, by model."""
    rows = csv.DictReader((PAGE.parent / "table1.csv").read_text().splitlines())
    return {row["model"]: row for row in rows}


def test_headline_of_the_readme_is_the_table_of_the_study():
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| ") and " ± " in line]
    table = [line.strip("| ").split(" | ") for line in lines]
    names = {formatting.model(model): model for model in cells()}
    assert [row[0] for row in table] == list(names)
    for name, *texts in table:
        row = cells()[names[name]]
        keys = ("fd_random_vgg16", "precision_random_vgg16", "recall_random_vgg16", "coverage_random_vgg16")
        for key, text in zip(keys, texts, strict=True):
            scale, places = (1, 2) if key.startswith("fd") else (100, 1)
            mean, spread = float(row[key]) * scale, float(row[f"{key}_seed_std"]) * scale
            assert text == f"{mean:.{places}f} ± {spread:.{places}f}", (name, key)


def test_readme_says_how_both_networks_order_models():
    first, second = (
        sorted(cells(), key=lambda model: float(cells()[model][key])) for key in ("fd_random_vgg16", "fd_scene_parser")
    )
    text = " ".join((ROOT / "README.md").read_text().split())
    assert "It finds MSG-GAN best" in text
    assert "puts it third, and VQGAN first" in text
    assert (first[0], second[0]) == ("msggan", "vqgan")
    assert second.index("msggan") == 2


@pytest.mark.parametrize(
    ("place", "models"),
    [(PAGE, ("simplex", "duplex", "centroid")), (REAL, ("duplex-ada", "duplex-diffaugment", "duplex-tuned"))],
)
def test_pages_of_the_study_are_current(place, models):
    """Compare every table and number of a page with the csv files beside it."""
    page = place.read_text()
    for file in place.parent.glob("*.csv"):
        assert f"({file.name})" in page
    for row in csv.DictReader((place.parent / "differences.csv").read_text().splitlines()):
        if row["key"] == "fd" and row["model"] in models:
            said = f"{formatting.model(row['model'])}: **{row['verdict']}** ({formatting.quantity(float(row['mean']))}"
            assert said in page


def put(checkout, name):
    """Something in the place of a file that a user downloads."""
    path = checkout.folder / "results/downloads" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
