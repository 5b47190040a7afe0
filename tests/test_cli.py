"""The command says what went wrong in one message, with an exit status that is not 0, and leaves nothing behind."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from PIL import Image

from ganformer import cli, plugins
from ganformer.cli import application, data
from ganformer.config import ImageSpec
from ganformer.errors import DataError, StoppedError, TrainingError

pytestmark = pytest.mark.slow


def ganformer(*words, cwd=None):
    command = [sys.executable, "-m", "ganformer", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def test_help_lists_the_commands():
    said = ganformer("--help")
    assert said.returncode == 0
    assert all(
        command in said.stdout
        for command in ("data", "train", "evaluate", "generate", "import", "export", "draw", "check", "step")
    )


def options_of(command, name=""):
    """Yield path, option and default of every option of all commands."""
    for inside, each in getattr(command, "commands", {}).items():
        yield from options_of(each, f"{name} {inside}".strip())
    yield from ((name, parameter.name, parameter.default) for parameter in command.params)


@pytest.mark.parametrize(("option", "default"), [("threads", 1), ("gpus", 0)])
def test_defaults_are_alike_in_all_commands(option, default):
    found = {command: value for command, name, value in options_of(typer.main.get_command(cli.app)) if name == option}
    assert len(found) > 1
    assert set(found.values()) == {default}, found


# All but those that are false or not given.
DEFAULTS = {
    ("train", "checkpoint_minutes"): 5.0,
    ("evaluate", "extractor"): "random-vgg16",
    ("timelapse", "seconds"): 10.0,
    ("generate", "images_num"): 32,
    ("generate", "truncation_psi"): 0.7,
    ("generate", "truncation_mean"): "class",
    ("generate", "batch_size"): 8,
    ("import", "cache"): Path("results/weights"),
    ("data download", "out"): Path("results/downloads"),
    ("project", "film"): "mp4",
    ("demo", "port"): 8501,
    ("demo", "browser"): True,
    **{(f"look {kind}", "film"): "mp4" for kind in plugins.names("ganformer.looks")},
    ("step page", "command"): "snakemake --cores all {}",
    ("step publish", "command"): "snakemake --cores all {}",
}


def test_defaults_of_options():
    options = options_of(typer.main.get_command(cli.app))
    assert {(command, name): value for command, name, value in options if value and name != "threads"} == DEFAULTS


def test_error_is_one_message_on_screen_and_in_the_log(tmp_path):
    log = tmp_path / "logs" / "pack.log"
    source = {"kind": "folder", "path": str(tmp_path / "absent")}
    dataset = json.dumps({"source": source, "resolution": 16})
    said = ganformer("--log", log, "data", "pack", "--dataset", dataset, "--out", tmp_path / "pack")
    assert said.returncode == 1
    assert "absent" in said.stderr
    assert "Traceback" not in said.stderr
    assert said.stderr.splitlines()[-1] in log.read_text()
    assert not (tmp_path / "pack" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            '{"source": {"kind": "scenes"}, "resolution": 17}',
            "dataset: 1 problem\n  resolution: 17 is not a power of two",
        ),
        ("{", "--dataset: is not valid JSON"),
        ("absent.yaml", "--dataset: 'absent.yaml' is neither JSON nor a readable file"),
    ],
)
def test_wrong_settings_are_explained(tmp_path, settings, message):
    said = ganformer("data", "pack", "--dataset", settings, "--out", tmp_path)
    assert said.returncode == 1
    assert message in said.stderr


def test_pictures_are_packed_with_options(tmp_path):
    for number in range(7):
        noise = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / "pictures" / f"{number}.png")
    (tmp_path / "pictures" / "0-bad.png").write_bytes(b"not a picture")
    options = ["--format=png", "--ratio=0.7", "--resolution=32", "--shards-num=2", "--max-images=7", "--on-error=skip"]
    said = ganformer("data", "pack", "--source", tmp_path / "pictures", *options, "--out", tmp_path / "pack")
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1].endswith("6 images of 32×22 pixels, colour; 1 unusable (see manifest.json)")
    manifest = json.loads((tmp_path / "pack" / "manifest.json").read_text())
    assert [shard["count"] for shard in manifest["shards"]] == [3, 3]
    assert [rejected["path"] for rejected in manifest["rejected"]] == ["0-bad.png"]
    said = ganformer("data", "info", tmp_path / "pack")
    assert said.returncode == 0, said.stderr
    assert "6, 0 of them equal to an earlier one" in said.stdout
    assert (tmp_path / "pack" / "contact-sheet.png").is_file()


@pytest.mark.parametrize(("channels", "colours"), [(1, "grey"), (3, "colour"), (4, "colour with opacity")])
def test_a_new_pack_is_summed_up_in_a_line(channels, colours):
    image = ImageSpec(height=32, width=64, channels=channels)
    written = SimpleNamespace(count=6, image=image, rejected=[], left_out={})
    assert data._summary(written) == f"6 images of 64×32 pixels, {colours}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give the images as --source, with the options that follow it, or everything as --dataset"),
        (["--source", "a", "--dataset", "{}"], "give the images as --source"),
        (["--dataset", "{}", "--ratio", "0.5"], "give the images as --source"),
        (["--source", "clever"], "--source: 'clever': there is no such file or folder, and no data set of this name"),
        (["--source", ".", "--format", "nyp"], "pack: 1 problem\n  format: 'nyp' is unknown; did you mean 'npy'?"),
        (["--source", ".", "--on-error", "stop"], "on_error: 'stop' is not 'fail' or 'skip'"),
    ],
)
def test_wrong_options_of_pack_are_explained(tmp_path, words, message):
    said = ganformer("data", "pack", *words, "--out", tmp_path / "pack", cwd=tmp_path)
    assert said.returncode == 1
    assert message in said.stderr
    assert not (tmp_path / "pack").exists()


def test_labels_are_not_taken_for_a_pack(tmp_path):
    dataset = '{"source": {"kind": "scenes", "images": 2}, "resolution": 16}'
    assert ganformer("data", "pack", "--dataset", dataset, "--out", tmp_path / "made").returncode == 0
    said = ganformer("data", "pack", "--source", tmp_path / "made", "--labels", "x.csv", "--out", tmp_path / "pack")
    assert said.returncode == 1
    assert "is of kind 'pack', which has its labels in itself if it has any; leave --labels out" in said.stderr
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize(("old", "new"), [*cli.RENAMED.items()])
def test_old_names_answer_with_the_new_one(capsys, monkeypatch, old, new):
    monkeypatch.setattr(sys, "argv", ["ganformer", old, "--out", "x"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert f"'{old}' is now '{new}'; see ganformer {new} --help" in " ".join(
        capsys.readouterr().err.replace("│", " ").split()
    )


@pytest.mark.parametrize(("error", "status"), [(StoppedError, 75), (TrainingError, 1)])
def test_work_that_was_stopped_and_saved_has_a_status_of_its_own(capsys, monkeypatch, error, status):
    def stopped(*given, **options):
        raise error("stopped by SIGUSR1 at step 5; run again to resume")

    monkeypatch.setattr("ganformer.report.status.show", stopped)
    monkeypatch.setattr(sys, "argv", ["ganformer", "status"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    assert (
        capsys.readouterr().err == f"ganformer: {error.__name__}: stopped by SIGUSR1 at step 5; run again to resume\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["step", "analyse", "smaples"], "'smaples' is unknown; did you mean 'samples'?"),
        (["step", "analyse", "copies", "--data", "d"], "copies: needs --evaluation"),
        (["step", "analyse", "scene-statistics", "--data", "d"], "scene-statistics: needs --parser"),
        (["step", "analyse", "samples", "--held-out", "d"], "samples: does not take --held-out; leave it out"),
    ],
)
def test_wrong_calls_of_analyse_are_explained(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.setattr(
        sys, "argv", ["ganformer", *words, "--images", "1", "--run", "r", "--out", str(tmp_path / "out.json")]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('{"title": "T"}', "experiment: 'kind' is missing"),
        ('{"kind": "cost"}', "  title: is missing; give a text\n  datasets: is missing; give a list\n"),
        ('{"kind": "comparisn"}', "experiment: kind 'comparisn' is unknown; did you mean 'comparison'?"),
        ('{"kind": "cost", "title": "T", "datasets": [], "models": ["m"]}', "experiment: 1 problem\n  datasets: "),
    ],
)
def test_wrong_settings_of_a_figure_are_explained(tmp_path, capsys, monkeypatch, settings, message):
    monkeypatch.setattr(sys, "argv", ["ganformer", "draw", "--experiment", settings, "--out", str(tmp_path / "t"), "f"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["step", "analyse", "samples", "--images", "1", "--run", "r"],
        ["step", "reals", "--data", "d", "--count", "1"],
        ["step", "metrics", "--evaluation", "e", "--run", "r", "--data", "d", "--reference", "x"],
        ["step", "analyse", "scene-statistics", "--images", "2", "--run", "r", "--data", "d", "--parser", "p"],
        [
            *[
                "step",
                "analyse",
                "copies",
                "--images",
                "2",
                "--evaluation",
                "e",
                "--run",
                "r",
                "--data",
                "d",
                "--pairs",
                "1",
            ]
        ],
        ["step", "best", "--by", "fd", "--run", "r", "metrics.json"],
        ["step", "page", "--config", "c", "run.json"],
        ["evaluate", "--real", "a", "--fake", "b"],
        ["step", "schema"],
    ],
)
def test_a_folder_is_no_file_to_write_and_that_is_said_before_the_work(tmp_path, words):
    """Before anything is read, so nothing that the words name need be there."""
    said = ganformer(*words, "--out", tmp_path, cwd=tmp_path)
    assert said.returncode == 1
    assert f"{tmp_path}: is a folder, but a file is to be written; name one" in said.stderr
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_records_of_ours_are_not_replaced(tmp_path):
    """Refused by the log of a command and by the file of evaluate."""
    for name in ("thesis.txt", "run.json"):
        (tmp_path / name).write_text('{"mine": 1}')
    said = ganformer("--log", "thesis.txt", "step", "schema", cwd=tmp_path)
    assert said.returncode == 1
    assert "--log thesis.txt: is there already and not called .log; name another file" in said.stderr
    said = ganformer("evaluate", "--real", "a", "--fake", "b", "--out", "run.json", cwd=tmp_path)
    assert said.returncode == 1
    assert "run.json: is there already and holds no numbers of an evaluation, which would replace it" in said.stderr
    assert {path.read_text() for path in tmp_path.iterdir()} == {'{"mine": 1}'}
    (tmp_path / "x.log").write_text("of an earlier call")
    assert ganformer("--log", "x.log", "step", "schema", cwd=tmp_path).returncode == 0
    assert "of an earlier call" not in (tmp_path / "x.log").read_text()


def test_nothing_is_no_name_of_images(tmp_path):
    said = ganformer("evaluate", "--real", "", "--fake", "b", cwd=tmp_path)
    assert said.returncode == 1
    assert "--real: is empty; name a file, a folder or a data set" in said.stderr


def test_a_log_is_never_to_be_deleted(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    (tmp_path / "run.json").write_text("{}")
    words = ["step", "best", "--by", "fd", "--run", "run.json", "--out", "best.json", "log.jsonl"]
    said = ganformer(*words, cwd=tmp_path)
    assert said.returncode == 1
    assert "log.jsonl: is not valid JSON (Extra data" in said.stderr
    assert "name the file that is meant, or make it again" in said.stderr


def test_data_sets_are_listed():
    said = ganformer("data", "download")
    assert said.returncode == 0, said.stderr
    assert all(name in said.stdout for name in ("ffhq", "clevr", "clevr-original", "cityscapes", "bedrooms", "lsun-"))


def test_unknown_data_set_is_refused(tmp_path):
    said = ganformer("data", "download", "clever", "--out", tmp_path)
    assert said.returncode == 1
    assert "did you mean 'clevr'?" in said.stderr
    assert not list(tmp_path.iterdir())


def test_settings_may_come_from_a_yaml_file(tmp_path):
    (tmp_path / "dataset.yaml").write_text("source: {kind: scenes, images: 3}\nresolution: 16\n")
    said = ganformer("data", "pack", "--dataset", tmp_path / "dataset.yaml", "--out", tmp_path / "pack")
    assert said.returncode == 0, said.stderr
    assert json.loads((tmp_path / "pack" / "manifest.json").read_text())["count"] == 3


def test_wrong_call_is_refused():
    assert ganformer("pakc").returncode == 2


def test_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    dataset = '{"source": {"kind": "scenes", "images": 2}, "resolution": 16}'
    said = ganformer("data", "pack", "--dataset", dataset, "--out", tmp_path / "file" / "pack")
    assert said.returncode == 1
    assert "cannot be written" in said.stderr


def test_schema_is_printed():
    assert json.loads(ganformer("step", "schema").stdout)["title"] == "Config"


@pytest.mark.parametrize(
    ("extractor", "status", "message"),
    [
        ('{"kind": "random-vgg16"}', 0, "random-vgg16 needs no weights"),
        ('{"kind": "inception-2015", "weights": "/dev/null/weights.pth"}', 1, "/dev/null/weights.pth"),
    ],
)
def test_weights_are_fetched_where_they_are_needed(extractor, status, message):
    said = ganformer("step", "weights", "--evaluation", f'{{"extractor": {extractor}}}')
    assert said.returncode == status
    assert message in said.stdout + said.stderr


def test_a_flipped_byte_in_a_pack_is_found(tmp_path):
    said = ganformer(
        "data", "pack", "--dataset", '{"source": {"kind": "scenes", "images": 3}, "resolution": 16}', "--out", tmp_path
    )
    assert said.returncode == 0, said.stderr
    assert "every file is as it was packed" in ganformer("data", "verify", tmp_path).stdout
    shard = next(tmp_path.glob("images-*"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    said = ganformer("data", "verify", tmp_path)
    assert said.returncode == 1
    assert f"{shard}: not the bytes that were packed" in said.stderr


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (DataError("pack: is no pack; name one"), 1, "ganformer: DataError: pack: is no pack; name one\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/a.npy"),
            1,
            "ganformer: out/a.npy: cannot be written (No space left on device); make room there and run again\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "ganformer: cannot be written (No space left on device); make room there and run again\n",
        ),
        (OSError(errno.EIO, "Input/output error"), 3, "Traceback (most recent call last):"),
        (ZeroDivisionError(), 3, "Traceback (most recent call last):"),
    ],
)
def test_exit_status_is_1_for_what_the_message_explains_and_3_for_a_bug(monkeypatch, capsys, error, status, message):
    def fail(**_):
        raise error

    monkeypatch.setattr(application, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    assert capsys.readouterr().err.startswith(message)


def test_options_of_several_commands_have_the_same_default_in_all_of_them():
    """Threads change the order of sums, so a command that had another number would give other bits."""

    def below(command, name):
        for parameter in command.params:
            yield parameter.name, (name, parameter.default)
        for part, inner in getattr(command, "commands", {}).items():
            yield from below(inner, f"{name} {part}")

    found = {}
    for option, place in below(typer.main.get_command(cli.app), "ganformer"):
        found.setdefault(option, []).append(place)
    for option, default in (("threads", 1), ("gpus", 0), ("check_data", False)):
        assert len(found[option]) > 1
        assert [name for name, value in found[option] if value != default] == []
