"""Parts are found by file name, wrong names are answered with the right ones."""

import importlib
import json
import os
import pickle
import re
import subprocess
import sys
from typing import get_args

import pytest

from ganformer import config, plugins
from ganformer.errors import ConfigError
from tests.plug_ins import TINY, describe, install
from tests.training.tiny_runs import write_pack


def test_file_names_become_names():
    assert {"npy", "png"} <= set(plugins.names("ganformer.data.formats"))
    assert "precision-recall" in plugins.names("ganformer.metrics.measures")


def test_part_is_the_module_of_that_name():
    module = plugins.find("ganformer.metrics.measures", "inception-score")
    assert module.__name__ == "ganformer.metrics.measures.inception_score"


@pytest.mark.parametrize(
    ("package", "name", "place"),
    [
        ("ganformer.models", "gan", "ganformer.models.gan.settings"),
        ("ganformer.metrics.extractors", "random-vgg16", "ganformer.metrics.extractors.random_vgg16.settings"),
        ("ganformer.data.sources", "scenes", "ganformer.data.sources.scenes"),
    ],
)
def test_settings_stand_apart_where_the_part_needs_torch(package, name, place):
    module = plugins.settings(package, name)
    assert module.__name__ == place
    assert module.Config


def test_settings_of_an_unknown_part_are_answered_with_the_right_one():
    with pytest.raises(ConfigError, match=r"'gann' is not in ganformer.models; did you mean 'gan'"):
        plugins.settings("ganformer.models", "gann")


@pytest.mark.parametrize(("wrong", "hint"), [("frechett", "did you mean 'frechet'"), ("zzz", "allowed: .*, frechet, ")])
def test_unknown_name_is_answered_with_the_right_one(wrong, hint):
    with pytest.raises(ConfigError, match=hint):
        plugins.find("ganformer.metrics.measures", wrong)


@pytest.mark.parametrize(
    ("wrong", "allowed", "words"),
    [
        ("frechett", ["kid", "frechet"], "did you mean 'frechet'?"),
        ("zzz", ["kid", "frechet"], "allowed: kid, frechet"),
        ("zzz", [], "allowed: none"),
    ],
)
def test_a_wrong_name_is_answered_with_a_guess_or_with_all(wrong, allowed, words):
    assert plugins.choices(wrong, allowed) == words


# ------------------------------------------------------------------------------------------- kinds of settings

SETTINGS = ["ganformer.models", "ganformer.data.sources", "ganformer.metrics.extractors", "ganformer.analysis.parsers"]
OTHERS = ["ganformer.data.formats", "ganformer.metrics.measures"]
PLUGS = [(package, name) for package in SETTINGS for name in plugins.names(package)]


@pytest.mark.parametrize(("package", "name"), PLUGS)
def test_settings_name_the_file_that_they_are_of(package, name):
    kind = plugins.settings(package, name).Config.model_fields["kind"]
    assert kind.default == name
    assert get_args(kind.annotation) == (name,)


def test_settings_pickle_by_their_own_module():
    chosen = plugins.settings("ganformer.data.sources", "scenes").Config(images=7)
    again = pickle.loads(pickle.dumps(chosen))
    assert again == chosen
    assert type(again) is type(chosen)
    assert pickle.dumps(chosen).find(b"ganformer.scenes.source") > 0


# ------------------------------------------------------------------------------------------- other packages


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Yield a function that installs a package with entry points, by their group, while a test runs."""
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)

        def add(name, groups):
            describe(tmp_path, name, groups)
            importlib.invalidate_caches()
            plugins.forget()

        yield add
    plugins.forget()


@pytest.mark.parametrize("package", SETTINGS + OTHERS)
def test_another_package_adds_names_and_nothing_is_imported(package, installed):
    before = plugins.names(package)
    installed("more", {f"ganformer.{package.rpartition('.')[2]}": {"my-own": "there_is.no_such_module"}})
    assert plugins.names(package) == tuple(sorted([*before, "my-own"]))
    assert "there_is" not in sys.modules


def test_a_name_that_is_taken_is_refused(installed):
    installed("more", {"ganformer.models": {"gan": "my_gan"}})
    words = (
        "entry point 'gan' of group ganformer.models in the installed package more: the name is taken by "
        "ganformer.models.gan; rename the entry point or uninstall its package"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(words)}$"):
        plugins.names("ganformer.models")


def test_a_name_of_two_packages_is_refused(installed):
    installed("more", {"ganformer.models": {"mine": "one"}})
    installed("still-more", {"ganformer.models": {"mine": "two"}})
    with pytest.raises(ConfigError, match=r"'mine' .* package (still-)?more: the name is taken by entry point 'mine' "):
        plugins.names("ganformer.models")


def test_a_plug_in_that_cannot_be_imported_is_named(installed):
    installed("more", {"ganformer.models": {"mine": "there_is.no_such_module"}})
    words = r"entry point 'mine' .* installed package more: there_is.no_such_module cannot be imported \(No module"
    with pytest.raises(ConfigError, match=words):
        plugins.find("ganformer.models", "mine")


@pytest.mark.parametrize(
    "text", ["", "from ganformer.config import Model\n\nclass Config(Model):\n    kind: str = 'x'\n"]
)
def test_settings_of_another_name_are_refused(text, installed, tmp_path):
    module = f"named_wrongly_{len(text)}"
    (tmp_path / f"{module}.py").write_text(text)
    installed("more", {"ganformer.models": {"mine": module}})
    image = {"height": 8, "width": 8}
    raw = {"image": image, "mirror": False, "model": {"kind": "mine"}, "training": {}, "seed": 0}
    words = "is plug-in 'mine' of ganformer.models, so it needs a class `Config` with the line `kind: Literal"
    with pytest.raises(ConfigError, match=f"^{module}: {words}"):
        config.parse(config.Spec, raw, "spec")


@pytest.mark.slow
def test_a_model_of_another_package_is_trained_by_the_command_line(tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    install(TINY, site)
    written = tmp_path / "config.yaml"
    written.write_text(
        "datasets: {noise: {source: {kind: scenes}, resolution: 8}}\n"
        "models: {mine: {kind: tiny, latent_size: 3}}\n"
        "training: {kimg: 0.008, batch: 4}\n"
        "evaluation: {extractor: {kind: random-vgg16}}\n"
        "experiments: {table: {kind: comparison, title: One, datasets: [noise], models: [mine]}}\n"
    )
    with monkeypatch.context() as patch:
        patch.syspath_prepend(site)
        plugins.forget()
        spec = config.load(config.merged([written])).spec("noise", "mine", 0)
    plugins.forget()
    pack, out = write_pack(tmp_path / "pack", 8), tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "ganformer",
        "train",
        "--spec",
        spec.json(),
        "--data",
        str(pack),
        "--out",
        str(out),
    ]
    places = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*command, "--dataset", "noise", "--model", "mine"],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((out / "run.json").read_text())
    assert (record["steps"], record["spec"]["model"]["kind"]) == (2, "tiny")
    assert record["spec"]["model"]["latent_size"] == 3


def test_without_its_package_a_model_is_unknown():
    raw = {"image": {"height": 8, "width": 8}, "mirror": False, "model": {"kind": "tiny"}, "training": {}, "seed": 0}
    with pytest.raises(ConfigError, match=r"model: kind 'tiny' is unknown; allowed: gan, ganformer, "):
        config.parse(config.Spec, raw, "spec")
