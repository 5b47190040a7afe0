"""Every wrong setting is refused with its place and a way out; right ones resolve to one canonical text."""

import copy
import importlib
import json
import pickle
import re
from pathlib import Path

import pytest
import yaml
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from ganformer import config
from ganformer.errors import ConfigError

SPEC = {
    "image": {"height": 8, "width": 8},
    "mirror": False,
    "model": {"kind": "gan"},
    "training": {"kimg": 1, "batch": 4},
    "seed": 0,
}
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def raw():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def problems(raw):
    with pytest.raises(ConfigError) as caught:
        config.load(raw, "config.yaml")
    return str(caught.value)


def test_default_config_is_valid(raw):
    loaded = config.load(raw)
    assert {model for _, model, _ in loaded.runs()} >= {"stylegan2", "simplex", "duplex", "centroid"}


def test_schema_is_current():
    written = (ROOT / "workflow/config.schema.json").read_text()
    assert written == config.schema_text(), "run: ganformer step schema --out workflow/config.schema.json"


def test_schema_describes_every_key(raw):
    schema = json.loads(config.schema_text())
    assert set(raw) <= set(schema["properties"])
    training = schema["$defs"]["Training"]["properties"]
    assert training["kimg"]["description"].startswith("Length of the training")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("trainning",), {}, "trainning: unknown key; did you mean 'training'?"),
        (("training", "kimgs"), 1, "training.kimgs: unknown key; did you mean 'kimg'?"),
        (("models", "duplex", "componnts"), 4, "models.duplex.componnts: unknown key; did you mean 'components'?"),
        (
            ("models", "duplex", "attention"),
            "dupplex",
            "models.duplex.attention: 'dupplex' is not 'simplex', 'duplex' or",
        ),
        (
            ("models", "duplex", "kind"),
            "ganfomer",
            "models.duplex: kind 'ganfomer' is unknown; did you mean 'ganformer'?",
        ),
        (("models", "duplex", "adversarial"), {"r1_gama": 1}, "r1_gama: unknown key; did you mean 'r1_gamma'?"),
        (("adversarial", "r1_gamma"), -1, "adversarial.r1_gamma: -1 is neither a number from 0 nor auto"),
        (("adversarial", "r1_gamma"), "atuo", "adversarial.r1_gamma: 'atuo' is neither a number from 0 nor auto"),
        (("adversarial", "r1_gamma"), float("inf"), "adversarial.r1_gamma: inf is neither a number from 0 nor auto"),
        (("adversarial", "r1_gamma"), [1], "adversarial.r1_gamma: [1] is neither a number from 0 nor auto"),
        (("training", "batch"), "many", "training.batch: Input should be a valid integer"),
        (("training", "batch"), 0, "training.batch: Input should be greater than 0, got 0"),
        (("training", "kimg"), float("nan"), "training.kimg: Input should be a finite number"),
        (
            ("training", "per_dataset"),
            {"clever": {}},
            "training.per_dataset.clever: 'clever' is not an entry of datasets",
        ),
        (
            ("datasets", "scenes", "resolution"),
            48,
            "datasets.scenes.resolution: 48 is not a power of two from 8 to 1024; 64",
        ),
        (("datasets", "scenes", "ratio"), 5, "datasets.scenes.ratio: Input should be less than or equal to 4, got 5"),
        (
            ("datasets", "scenes"),
            {"source": {"kind": "scenes"}, "letterbox": True, "ratio": 2},
            "datasets.scenes: letterbox puts bars above and below a whole picture, but ratio 2 is more than 1",
        ),
        (
            ("datasets", "scenes"),
            {"source": {"kind": "scenes"}, "letterbox": True, "crop_margin": 0.1},
            "but crop_margin is 0.1",
        ),
        (("datasets", "scenes", "format"), "nyp", "datasets.scenes.format: 'nyp' is unknown; did you mean 'npy'?"),
        (("datasets", "scenes", "source"), {"kind": "scene"}, "kind 'scene' is unknown; did you mean 'scenes'?"),
        (("datasets", "scenes", "source"), {"images": 5}, "datasets.scenes.source: 'kind' is missing"),
        (("datasets", "a/b"), {"source": {"kind": "scenes"}}, "datasets.a/b: String should match pattern"),
        (("evaluation", "metrics"), ["frechett"], "evaluation.metrics: 'frechett' is unknown; did you mean 'frechet'?"),
        (("evaluation", "extractor"), {"kind": "random"}, "kind 'random' is unknown; did you mean 'random-vgg16'?"),
        (
            ("experiments", "table1", "datasets"),
            ["sceens"],
            "datasets.0: 'sceens' is not an entry of datasets; did you mean",
        ),
        (("experiments", "table1", "models"), [], "experiments.table1.models: "),
        (("experiments", "attention", "models"), ["stylegan2"], "'stylegan2' has no attention maps; leave it out"),
        (("models", "duplex", "latent_size"), 100, "latent_size 100"),
        (
            ("models", "duplex"),
            {"kind": "ganformer"},
            "models.duplex.attention: is missing; give 'simplex' or 'duplex' or 'centroid'",
        ),
        (
            ("evaluation", "path_length"),
            {"network": {"kind": "random-vgg16"}, "imges": 3},
            "evaluation.path_length.imges: unknown key; did you mean 'images'?",
        ),
        (("datasets", "scenes", "resolution"), 5000, "5000 is not a power of two from 8 to 1024; 1024 is the nearest"),
        (("datasets", "scenes", "resolution"), 3, "3 is not a power of two from 8 to 1024; 8 is the nearest"),
        (
            ("adversarial", "per_dataset"),
            {"sceens": {}},
            "adversarial.per_dataset.sceens: 'sceens' is not an entry of datasets; did you mean 'scenes'?",
        ),
        (("parsing",), {"sceens": {"kind": "scenes"}}, "parsing.sceens: 'sceens' is not an entry of datasets"),
        (("measured_against",), {"sceens": "scenes"}, "measured_against.sceens: 'sceens' is not an entry of datasets"),
        (("measured_against",), {"scenes": "sceens"}, "measured_against.scenes: 'sceens' is not an entry of datasets"),
        (("training", "microbatch"), 3, "training.microbatch 3 does not divide batch"),
    ],
)
def test_wrong_setting_is_named(raw, path, value, message):
    section = raw
    for part in path[:-1]:
        section = section[part]
    section[path[-1]] = value
    said = problems(raw)
    assert message in said
    assert said.startswith("config.yaml: ")


@pytest.mark.parametrize("resolution", [8, 1024])
def test_the_smallest_and_the_largest_resolution_are_allowed(resolution):
    settings = {"source": {"kind": "scenes"}, "resolution": resolution}
    assert config.Dataset.model_validate(settings).resolution == resolution


def test_all_problems_come_at_once(raw):
    raw["training"]["batch"] = -1
    raw["models"]["duplex"]["componnts"] = 3
    raw["experiments"]["table1"]["models"] = ["gam"]
    said = problems(raw)
    assert said.startswith("config.yaml: 3 problems\n")
    assert all(part in said for part in ("training.batch", "models.duplex.componnts", "experiments.table1.models.0"))


def test_a_problem_without_a_place_is_told_without_one():
    assert config.base.report("here", [("", "all is wrong"), ("a.b", "is wrong")]) == (
        "here: 2 problems\n  all is wrong\n  a.b: is wrong"
    )


def test_the_parts_of_an_evaluation_are_those_of_its_networks():
    random, other = {"kind": "random-vgg16"}, {"kind": "random-vgg16", "seed": 1}
    settings = {"extractor": random, "metrics": ["fid", "is", "kid"], "extractors": {"is": other}, "mirrored": True}
    parts = list(config.Evaluation.model_validate(settings).parts().values())
    assert [part.metrics for part in parts] == [("frechet", "kid"), ("inception-score",)]
    assert [part.extractor.seed for part in parts] == [0, 1]
    assert all(part.mirrored for part in parts)


def test_metrics_have_several_names_and_are_measured_once():
    settings = {"extractor": {"kind": "random-vgg16"}, "metrics": ["fid", "is", "fd", "frechet"]}
    assert config.Evaluation.model_validate(settings).metrics == ("frechet", "inception-score")


def test_a_problem_of_a_run_is_told_once_for_all_seeds_and_experiments(raw):
    raw["experiments"] = {
        name: {"kind": "comparison", "title": name, "datasets": ["scenes"], "models": ["duplex"], "seeds": [0, 1]}
        for name in ("one", "two")
    }
    assert list(config.load(raw).runs()) == [("scenes", "duplex", 0), ("scenes", "duplex", 1)]
    raw["models"]["duplex"]["channel_base"] = 1
    assert problems(raw).startswith("config.yaml: 1 problem\n  models.duplex: channel_base 1 leaves no features")


def test_one_feature_is_enough():
    settings = {"kind": "gan", "channel_base": 8}
    model = config.parse(config.Spec, {**SPEC, "model": settings}, "spec").model
    assert list(model.problems(config.ImageSpec(height=8, width=8), config.TrainingSettings())) == []


def test_data_sets_that_are_compared_have_pictures_of_one_shape(raw):
    raw["datasets"]["wide"] = {"source": {"kind": "scenes"}, "resolution": 32, "ratio": 0.5}
    raw["experiments"] = {}
    raw["measured_against"] = {"wide": "scenes"}
    scenes = config.load({**raw, "measured_against": {}}).datasets["scenes"].image
    told = f"measured_against.wide: pictures of wide are of 32×16 pixels, pictures of scenes of {scenes.width}×"
    assert f"{told}{scenes.height}; give both one resolution and ratio" in problems(raw)


@pytest.mark.parametrize(
    ("dataset", "is_found"),
    [
        ({"source": {"kind": "folder", "path": "x"}}, True),
        ({"source": {"kind": "folder", "path": "x"}, "channels": 1}, False),
        ({"source": {"kind": "clevr", "edition": "original"}}, False),
    ],
)
def test_channels_are_found_where_neither_settings_nor_source_tell_them(raw, dataset, is_found):
    for is_mirrored in (False, True):
        raw["datasets"]["other"] = {**dataset, "mirror": is_mirrored, "resolution": 32}
        spec = config.load(raw).spec("other", "duplex", 0)
        assert (spec.finds_channels, spec.mirror) == (is_found, is_mirrored)


def test_what_only_training_reads_packs_nothing_again():
    plain = {"source": {"kind": "scenes"}, "resolution": 32}
    mirrored = config.Dataset.model_validate({**plain, "mirror": True})
    assert mirrored.packing == config.Dataset.model_validate(plain)


def test_small_pictures_have_a_canvas():
    for height in (1, 3):
        canvas = config.ImageSpec(height=height, width=2).canvas
        assert (canvas.height, canvas.width, canvas.rows) == (height, 2, None)


def test_bars_are_named_only_where_there_are_some():
    for ratio, rows in ((1, None), (0.5, 128)):
        settings = {"source": {"kind": "scenes"}, "ratio": ratio, "letterbox": True}
        assert config.Dataset.model_validate(settings).image.rows == rows


def test_trainings_are_rounded_up_to_whole_batches():
    training = {"kimg": 0.021, "batch": 10}
    assert config.parse(config.Spec, {**SPEC, "training": training}, "spec").steps == 3


@pytest.mark.parametrize(
    ("setting", "value", "is_same"),
    [
        ("kimg", 2, True),
        ("snapshots", 2, True),
        ("activation_checkpointing", True, True),
        ("replay", False, True),
        ("on_divergence", "keep", True),
        ("batch", 8, False),
        ("microbatch", 2, False),
        ("precision", "tf32", False),
    ],
)
def test_settings_that_decide_about_weights_are_of_the_trajectory(setting, value, is_same):
    one, other = (
        config.parse(config.Spec, {**SPEC, "training": training}, "spec")
        for training in ({"kimg": 1, "batch": 4}, {"kimg": 1, "batch": 4, setting: value})
    )
    assert one.digest != other.digest
    assert (one.trajectory == other.trajectory) is is_same


def test_texts_of_settings_are_inherited_but_for_what_is_written_anew(tmp_path, monkeypatch):
    text = '''from ganformer.config import Strict


class Base(Strict):
    kept: int = 0
    """One."""
    changed: int = 0
    """Two."""
    lost: int = 0
    """Three."""


class Own(Base):
    changed: int = 1
    """Four."""
    lost: int = 1
'''
    (tmp_path / "texts_of_settings.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("texts_of_settings").Own
    texts = config.docstrings(own)
    assert {name: texts.get(name) for name in own.model_fields} == {"kept": "One.", "changed": "Four.", "lost": None}


def test_settings_are_frozen(raw):
    with pytest.raises(ValueError, match="frozen"):
        config.load(raw).training.kimg = 3


def reordered(value):
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return value


def test_order_of_keys_changes_no_spec(raw):
    one, other = config.load(raw), config.load(reordered(raw))
    assert one.spec("scenes", "duplex", 0).json() == other.spec("scenes", "duplex", 0).json()


def test_one_models_setting_changes_its_spec_alone(raw):
    before = config.load(raw)
    changed = copy.deepcopy(raw)
    changed["models"]["duplex"]["heads"] = 2
    after = config.load(changed)
    differ = {run for run in before.runs() if before.spec(*run).json() != after.spec(*run).json()}
    assert {model for _, model, _ in differ} == {"duplex"}


def test_nearer_settings_win(raw):
    raw["adversarial"] = {"r1_gamma": 3, "beta2": 0.9, "per_dataset": {"scenes": {"r1_gamma": 5, "style_mixing": 0.5}}}
    raw["models"]["duplex"]["adversarial"] = {"style_mixing": 0}
    loaded = config.load(raw)
    settings = loaded.spec("scenes", "duplex", 0).model.adversarial
    assert (settings.r1_gamma, settings.beta2, settings.style_mixing, settings.beta1) == (5, 0.9, 0, 0)
    assert loaded.spec("scenes", "simplex", 0).model.adversarial.style_mixing == 0.5


@pytest.mark.parametrize(
    ("height", "width", "batch", "gamma"),
    [(256, 256, 32, 0.4096), (64, 64, 16, 0.0512), (32, 64, 4, 0.1024)],  # 0.0002 · 65,536 / 32; …
)
def test_the_weight_of_r1_can_follow_from_pixels_and_batch(height, width, batch, gamma):
    image = {"height": height, "width": width}
    model = {"kind": "gan", "adversarial": {"r1_gamma": "auto"}}
    run = {**SPEC, "image": image, "model": model, "training": {"batch": batch}}
    spec = config.parse(config.Spec, run, "spec")
    assert spec.model.adversarial.r1_gamma == pytest.approx(gamma, rel=1e-12)
    number = spec.model.adversarial.r1_gamma
    assert json.loads(spec.json())["model"]["adversarial"]["r1_gamma"] == number
    same = config.parse(config.Spec, {**run, "model": {"kind": "gan", "adversarial": {"r1_gamma": number}}}, "spec")
    assert same.digest == spec.digest


def test_the_weight_of_r1_by_the_rule_may_come_from_the_section(raw):
    raw["adversarial"] = {"r1_gamma": "auto"}
    raw["models"]["simplex"]["adversarial"] = {"r1_gamma": "3"}  # as words come from Snakemake's command line
    loaded = config.load(raw)
    image, batch = loaded.datasets["scenes"].image, loaded.training.batch
    expected = 0.0002 * image.height * image.width / batch
    assert loaded.spec("scenes", "duplex", 0).model.adversarial.r1_gamma == pytest.approx(expected, rel=1e-12)
    assert loaded.spec("scenes", "simplex", 0).model.adversarial.r1_gamma == 3.0


def test_outside_of_a_run_there_is_no_such_number():
    with pytest.raises(ConfigError, match="r1_gamma: is 'auto' outside of a run; make a Spec, or give a number"):
        _ = config.AdversarialSettings(r1_gamma="auto").gamma
    assert config.AdversarialSettings(r1_gamma=2).gamma == 2.0


def test_spec_survives_its_text(raw):
    spec = config.load(raw).spec("scenes", "centroid", 3)
    assert config.parse(config.Spec, json.loads(spec.json()), "spec") == spec


def test_snapshots_are_evenly_spaced_and_end_with_the_training(raw):
    raw["training"] = {"kimg": 1.05, "batch": 10, "snapshots": 4}
    spec = config.load(raw).spec("scenes", "duplex", 0)
    assert spec.steps == 105
    assert spec.snapshot_steps == (26, 52, 79, 105)
    assert spec.kimg_at(105) == 1.05


def test_fewer_steps_than_snapshots(raw):
    raw["training"] = {"kimg": 0.02, "batch": 10, "snapshots": 4}
    assert config.load(raw).spec("scenes", "duplex", 0).snapshot_steps == (1, 2)


def test_settings_of_a_part_go_to_other_processes(raw):
    for settings in (*config.load(raw).datasets.values(), *config.load(raw).models.values()):
        assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("settings", "stored", "canvas", "picture"),
    [
        ({"ratio": 1}, (256, 256), (256, 256), (256, 256)),
        ({"ratio": 0.75}, (192, 256), (192, 256), (192, 256)),
        ({"ratio": 188 / 256}, (188, 256), (192, 256), (188, 256)),
        ({"ratio": 0.7}, (179, 256), (192, 256), (179, 256)),
        ({"ratio": 2.1}, (538, 256), (576, 256), (538, 256)),
        ({"ratio": 188 / 256, "letterbox": True}, (256, 256), (256, 256), (188, 256)),
        ({"ratio": 1, "letterbox": True}, (256, 256), (256, 256), (256, 256)),
        ({"ratio": 0.5, "crop_margin": 0.125}, (144, 288), (128, 256), (128, 256)),
        ({"ratio": 0.7, "crop_margin": 0.125}, (201, 288), (192, 256), (179, 256)),
    ],
)
def test_shapes_of_what_is_stored_trained_on_and_measured(settings, stored, canvas, picture):
    dataset = config.Dataset.model_validate({"source": {"kind": "scenes"}, **settings})
    assert (dataset.image.height, dataset.image.width) == stored
    assert (dataset.image.canvas.height, dataset.image.canvas.width) == canvas
    assert dataset.image.picture == dataset.image.canvas.picture == picture
    assert dataset.image.canvas.canvas == dataset.image.canvas


def test_weight_of_the_penalty_that_a_data_set_brings(raw, monkeypatch):
    def weights():
        loaded = config.load(raw)
        return [loaded.spec("scenes", model, 0).model.adversarial.r1_gamma for model in ("duplex", "msggan")]

    assert weights() == [raw["adversarial"]["r1_gamma"], 0]  # the latter says so itself
    monkeypatch.setattr("ganformer.scenes.source.Config.r1_gamma", 40.0)
    assert weights() == [40, 0]
    monkeypatch.setattr("ganformer.scenes.source.Config.r1_gamma", 0.0)
    assert weights() == [0, 0]
    raw["adversarial"]["per_dataset"] = {"scenes": {"r1_gamma": 7}}
    assert weights() == [7, 0]


@pytest.mark.parametrize(
    "overlay",
    [
        None,
        "paper.yaml",
        "replication.yaml",
        "bmsg-gan.yaml",
        "own_images.yaml",
        "study.yaml",
        "study-search.yaml",
        "study-real.yaml",
    ],
)
def test_a_configuration_is_the_same_after_it_was_text(overlay):
    """Run too, in which what a model sets wins over sections, and defaults do not."""
    files = [ROOT / "config.yaml", *([ROOT / "workflow/presets" / overlay] if overlay else [])]
    settings = config.load(config.merged(files))
    again = config.load(json.loads(settings.text()))
    assert again.text() == settings.text()
    assert again.json() == settings.json()
    runs = sorted(settings.runs())
    assert sorted(again.runs()) == runs
    assert [again.spec(*run).digest for run in runs] == [settings.spec(*run).digest for run in runs]


def test_configurations_are_merged_as_snakemake_merges_them(tmp_path):
    for name, text in (("a.yaml", "x: {y: 1, z: 2}\nw: [1]"), ("b.yaml", "x: {y: null, v: {u: 3}}\nw: 4")):
        (tmp_path / name).write_text(text)
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    expected = {}
    for file in files:
        update_config(expected, load_configfile(file))
    assert config.merged(files) == expected == {"x": {"y": None, "z": 2, "v": {"u": 3}}, "w": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, r"cannot be read \(No such file"), ("[1", "is not valid YAML"), ("[1]", "is no configuration, which is a")],
)
def test_what_is_no_configuration_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"c.yaml: {message}"):
        config.merged([tmp_path / "c.yaml"])


def test_a_configuration_that_is_no_text_is_named(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"c.yaml: is not valid YAML \('utf-8' codec"):
        config.merged([tmp_path / "c.yaml"])


def test_the_word_null_is_null():
    """The word null arrives so from Snakemake's --config."""
    raw = config.merged([ROOT / "config.yaml"])
    changed = {**raw, "experiments": {**raw["experiments"], "table1": "null"}}
    assert "table1" not in config.load(changed).experiments
    trained = config.load({**raw, "training": {**raw["training"], "microbatch": "null"}})
    assert trained.training.microbatch is None


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (config.Spec, {}, "seed: is missing; give a whole number"),
        (config.Spec, {}, "mirror: is missing; give true or false"),
        (config.Spec, {}, "model: is missing; give a mapping of settings"),
        (config.Spec, {"image": {}}, "image.width: is missing; give a whole number"),
        (config.Spec, {"image": 3}, "image: 3 is not a mapping of settings"),
        (config.Spec, {"model": "gan"}, "model: 'gan' is not a mapping of settings"),
        (config.Evaluation, {"extractors": 3}, "extractors: 3 is not a mapping of settings"),
        (config.Evaluation, {"metrics": "frechet"}, "metrics: 'frechet' is not a list"),
    ],
)
def test_missing_or_malformed_setting_is_named_with_the_form_that_it_has_to_have(kind, given, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        config.parse(kind, given, "spec")
