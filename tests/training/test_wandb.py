"""Logs at Weights & Biases: all that TensorBoard gets, read back from offline files of the real package."""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganformer import artifacts
from ganformer.config import Logging, chosen_logging, hand_on
from ganformer.errors import ConfigError
from ganformer.records.run import Run
from ganformer.training import loop, wandb_run
from tests.training.tiny_runs import NAMES, InterruptionError, final_state, interrupt, same, tiny_spec

OFFLINE = Logging.model_validate({"wandb": {"project": "clevr", "mode": "offline"}})
ONLINE = Logging.model_validate({"wandb": {"project": "clevr"}})
LABEL = "train noise/tiny seed 0"
BLOCK, HEADER = 32768, struct.Struct("<IHB")  # of LevelDB's log format, in which the package writes
FULL, LAST = 1, 4  # types of the parts of a record that end it


def train(pack: Path, out: Path, logging: Logging | None, steps: int = 12, **options: Any) -> None:
    loop.train(tiny_spec(steps), pack, out, names=NAMES, threads=1, gpus=0, logging=logging, **options)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide the package, with nobody logged in and folders of its own."""
    pytest.importorskip("wandb", reason="needs wandb: pip install -e '.[wandb]'")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


# --------------------------------------------------------------------------------------------- the real package


def records(path: Path) -> Iterator[Any]:
    """Yield the records of an offline file, by the package's own types."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = path.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while at < len(data):
        if BLOCK - at % BLOCK < HEADER.size:
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = HEADER.unpack_from(data, at)
        at += HEADER.size + size
        parts += data[at - size : at]
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def files(out: Path) -> list[Path]:
    """Return the offline files of a training, in the order in which they were begun."""
    return sorted(out.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns)


def history(path: Path) -> dict[int, dict[str, Any]]:
    """Return the logged values by step and name; of a picture its sha256."""
    found = {}
    for record in records(path):
        if record.WhichOneof("record_type") == "history":
            items = {tuple(item.nested_key) or (item.key,): json.loads(item.value_json) for item in record.history.item}
            values = {key[0]: value for key, value in items.items() if len(key) == 1 or key[1] == "sha256"}
            found[values["_step"]] = {key: value for key, value in values.items() if not key.startswith("_")}
    return found


def lines(out: Path) -> dict[int, dict[str, float]]:
    """Return the values of log.jsonl by step."""
    read = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {line["step"]: {key: line[key] for key in line.keys() - {"run", "step"}} for line in read}


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_it_gets_the_values_and_pictures_that_tensorboard_gets(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    train(pack, out, OFFLINE)
    said = capsys.readouterr().out
    assert f"{LABEL}: logs into {out / 'wandb'}, which `wandb sync` uploads\n" in said
    (path,) = files(out)
    logged = history(path)

    def sha256(name: str) -> str:
        return hashlib.sha256((out / "samples" / f"{name}.png").read_bytes()).hexdigest()

    board = EventAccumulator(str(next(out.glob("tensorboard/*")))).Reload()
    pictures = {
        tag: {event.step: hashlib.sha256(event.encoded_image_string).hexdigest() for event in board.Images(tag)}
        for tag in board.Tags()["images"]
    }
    assert {tag: list(steps) for tag, steps in pictures.items()} == {"reals": [0], "samples": [4, 8, 12]}
    for step, values in lines(out).items():
        for name, value in values.items():
            assert logged[step].pop(name) == value
            # TensorBoard has them as float32.
            assert [event.value for event in board.Scalars(name) if event.step == step] == [
                pytest.approx(value, rel=1e-6)
            ]
    # What is left is the pictures, of the same steps.
    assert logged == {
        0: {"reals": sha256("reals")},
        4: {"samples": sha256("kimg000000.016")},
        8: {"samples": sha256("kimg000000.032")},
        10: {},
        12: {"samples": sha256("kimg000000.048")},
    }


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_a_resumed_training_goes_on_in_the_same_run(pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(pack, out, OFFLINE, steps=4)
    train(pack, out, OFFLINE, steps=8)
    (state,) = out.glob("state/*/")
    parts = [next(r.run for r in records(path) if r.WhichOneof("record_type") == "run") for path in files(out)]
    assert [part.run_id for part in parts] == [state.name] * 2
    assert {(part.project, part.display_name) for part in parts} == {("clevr", "noise/tiny seed 0")}
    settings = {item.key: json.loads(item.value_json) for item in parts[1].config.update}
    spec = tiny_spec(8).model_dump(mode="json")
    assert {key: settings[key] for key in spec} == spec
    first, second = map(history, files(out))
    assert max(first) == 4 < min(second)
    assert list(lines(out)) == [step for step in (*first, *second) if step]


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_it_changes_no_weight_no_identity_and_no_record(pack: Path, tmp_path: Path) -> None:
    train(pack, tmp_path / "plain", None)
    train(pack, tmp_path / "logged", OFFLINE)
    plain, logged = (artifacts.read_json(tmp_path / name / "run.json") for name in ("plain", "logged"))
    assert same(final_state(tmp_path / "plain"), final_state(tmp_path / "logged"))
    for key in ("spec", "spec_sha256", "trajectory_sha256", "weights_sha256", "snapshots"):
        assert plain[key] == logged[key]
    assert plain.keys() == logged.keys()


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_of_several_ranks_the_first_one_logs(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.devices, "acquire_all", lambda _: [torch.device("cpu")] * 2)
    small = {"kind": "stylegan2", "channel_base": 64, "channel_max": 8, "latent_size": 4, "mapping_layers": 1}
    spec = tiny_spec(2, **small)
    loop.train(spec, pack, tmp_path / "out", names=NAMES, threads=2, gpus=2, logging=OFFLINE)
    (path,) = files(tmp_path / "out")
    assert list(history(path)) == [0, 1, 2]


@pytest.mark.usefixtures("alone")
def test_before_a_training_somebody_must_be_logged_in(pack: Path, tmp_path: Path) -> None:
    message = "^logging.wandb: nobody is logged in at Weights & Biases; call `wandb login`, or set its mode to offline$"
    with pytest.raises(ConfigError, match=message):
        train(pack, tmp_path / "out", ONLINE)
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------- without the package


def test_before_a_training_the_package_must_be_there(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_run, "PACKAGE", "no_such_package")
    message = (
        r"^logging\.wandb: needs the package wandb, which is not installed; in the clone: pip install -e '\.\[wandb\]'$"
    )
    with pytest.raises(ConfigError, match=message):
        train(pack, tmp_path / "out", OFFLINE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("logging", [None, {}, {"wandb": None}, {"wandb": {"project": "clevr", "mode": "disabled"}}])
def test_where_it_is_not_wanted_it_is_not_needed(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logging: Any
) -> None:
    monkeypatch.setattr(wandb_run, "PACKAGE", "no_such_package")
    train(pack, tmp_path / "out", None if logging is None else Logging.model_validate(logging), steps=1)
    assert Run.read(tmp_path / "out/run.json").steps == 1
    assert not (tmp_path / "out/wandb").exists()


class Faulty:
    """A stand-in for the package, one of whose parts fails; `calls` are those before."""

    def __init__(self, part: str) -> None:
        self.part, self.calls = part, list[str]()
        self.url = "https://wandb.ai/x"

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.part:
            raise RuntimeError(f"{name} is broken\nTraceback")

    def init(self, **_: Any) -> "Faulty":
        self._call("init")
        return self

    def log(self, values: Mapping[str, Any], step: int) -> None:
        self._call("log")

    def finish(self, exit_code: int) -> None:
        self._call("finish")

    def Image(self, path: str) -> str:  # noqa: N802
        self._call("Image")
        return path

    def Settings(self, **_: Any) -> None:  # noqa: N802
        pass

    def login(self, *, prompt: bool) -> bool:
        self._call("login")
        return True


Stand = Callable[[Any], None]


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Provide a function that puts a stand-in in the place of the package."""

    def put(package: Any) -> None:
        monkeypatch.setattr(wandb_run, "PACKAGE", "json")  # one that is there
        monkeypatch.setattr(wandb_run, "_package", lambda: package)

    return put


@pytest.mark.parametrize("part", ["init", "log", "Image", "finish", "login"])
def test_what_fails_is_said_once_and_the_training_goes_on(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stand: Stand, part: str
) -> None:
    package = Faulty(part)
    stand(package)
    train(pack, tmp_path / "out", ONLINE, steps=4)
    said = capsys.readouterr().out
    told = f"{LABEL}: Weights & Biases fails, and the training goes on without it: {part} is broken\n"
    # Without a login beginning the run fails, not this.
    assert said.count("Weights & Biases") == said.count(told) == (part != "login")
    assert package.calls[-1] == (part if part != "login" else "finish")
    capsys.readouterr()
    train(pack, tmp_path / "plain", None, steps=4)
    assert same(final_state(tmp_path / "out"), final_state(tmp_path / "plain"))
    assert (tmp_path / "out/weights.safetensors").read_bytes() == (tmp_path / "plain/weights.safetensors").read_bytes()


@pytest.mark.parametrize("is_stopped", [False, True])
def test_it_is_told_whether_the_training_ended_well(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand: Stand, is_stopped: bool
) -> None:
    package, codes = Faulty(""), []
    package.finish = lambda exit_code: codes.append(exit_code)  # type: ignore[method-assign]
    stand(package)
    if is_stopped:
        interrupt(monkeypatch, 3)
        with pytest.raises(InterruptionError):
            train(pack, tmp_path / "out", ONLINE)
    else:
        train(pack, tmp_path / "out", ONLINE)
    assert codes == [int(is_stopped)]


def test_its_address_is_printed(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stand: Stand) -> None:
    stand(Faulty(""))
    train(pack, tmp_path / "out", ONLINE, steps=1)
    assert f"{LABEL}: logs to https://wandb.ai/x\n" in capsys.readouterr().out


def test_nobody_is_asked_for_a_key(pack: Path, tmp_path: Path, stand: Stand) -> None:
    asked = []
    stand(SimpleNamespace(login=lambda **options: asked.append(options)))
    with pytest.raises(ConfigError, match="nobody is logged in"):
        train(pack, tmp_path / "out", ONLINE)
    assert asked == [{"prompt": False}]


# ------------------------------------------------------------------------------------------------------ settings

HANDED = '{"wandb": {"project": "handed", "mode": "offline"}}'


@pytest.mark.parametrize(
    ("section", "project", "mode", "expected"),
    [
        (None, None, None, None),
        ({"wandb": {"project": "a"}}, None, None, ("a", "online")),
        ({"wandb": {"project": "a", "mode": "offline"}}, None, None, ("a", "offline")),
        ({"wandb": {"project": "a", "mode": "offline"}}, "b", None, ("b", "offline")),
        ({"wandb": {"project": "a", "mode": "offline"}}, None, "disabled", ("a", "disabled")),
        (None, "b", None, ("b", "online")),
        (None, "b", "offline", ("b", "offline")),
    ],
)
def test_options_win_over_the_section(
    monkeypatch: pytest.MonkeyPatch, section: Any, project: str | None, mode: str | None, expected: Any
) -> None:
    monkeypatch.delenv("GANFORMER_LOGGING", raising=False)
    found = chosen_logging(section, project, mode).wandb
    assert expected == (found and (found.project, found.mode))


@pytest.mark.parametrize(
    ("section", "project", "expected"),
    [(None, None, "handed"), (None, "b", "b"), ({"wandb": {"project": "a"}}, None, "a")],
)
def test_a_training_of_the_workflow_takes_what_it_hands_on(
    monkeypatch: pytest.MonkeyPatch, section: Any, project: str | None, expected: str
) -> None:
    monkeypatch.setenv("GANFORMER_LOGGING", HANDED)
    found = chosen_logging(section, project).wandb
    assert found is not None
    assert found.project == expected


def test_a_configuration_hands_on_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORMER_LOGGING", HANDED)
    hand_on(Logging())
    assert chosen_logging(None) == Logging.model_validate(json.loads(HANDED))
    hand_on(ONLINE)
    assert chosen_logging(None) == ONLINE
    hand_on(Logging(wandb=None))
    assert chosen_logging(None).wandb is None


@pytest.mark.parametrize(
    ("section", "mode", "message"),
    [
        (None, "offline", "^--wandb-mode: says how to log, not where; give --wandb PROJECT as well$"),
        (
            {"wandb": {"projct": "a"}},
            None,
            r"^logging: 2 problems\n  wandb\.project: is missing; give a text\n"
            r"  wandb\.projct: unknown key; did you mean 'project'\?$",
        ),
        ({"wandb": {"project": ""}}, None, r"wandb\.project: String should have at least 1 character, got ''$"),
        ({"tensorboard": False}, None, "tensorboard: unknown key"),
        ([], None, "mapping of settings"),
    ],
)
def test_wrong_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, section: Any, mode: str | None, message: str
) -> None:
    monkeypatch.delenv("GANFORMER_LOGGING", raising=False)
    with pytest.raises(ConfigError, match=message):
        chosen_logging(section, None, mode)


def test_a_variable_that_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORMER_LOGGING", "{")
    with pytest.raises(
        ConfigError, match=r"^GANFORMER_LOGGING: is not valid JSON \(.*\); unset this variable of the env"
    ):
        chosen_logging(None)
