"""Checkpoints of Taming Transformers give the same codes, images and logits here as its networks."""

import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from ganformer.errors import CheckpointError
from ganformer.interop import imported, taming, torch_file
from ganformer.interop.imported import Imported
from ganformer.interop.snapshot import PACKAGES
from ganformer.models.vqgan.learner import TwoStage
from ganformer.models.vqgan.transformer import Sampling
from ganformer.training.checkpoint import restore
from tests.interop import official_taming as official
from tests.interop.parity import discriminator_of, one_hot, relative_error

WIDTH, HEADS, CODES = 32, 2, 24
CLOSE = 1e-4

State = dict[str, Tensor]


def saved(folder: Path, state: State, parameters: Any = None, **more: Any) -> Path:
    """Return a checkpoint as a training leaves it, with the settings beside it where there are any."""
    path = folder / "checkpoints" / "last.ckpt"
    path.parent.mkdir(exist_ok=True)
    torch.save({"epoch": 3, "global_step": 8, "state_dict": state, "optimizer_states": [], **more}, path)
    if parameters is not None:
        (folder / "configs").mkdir(exist_ok=True)
        text = yaml.safe_dump({"model": {"base_learning_rate": 4.5e-6, "params": parameters}})
        (folder / "configs" / "2020-11-09T13-33-36-project.yaml").write_text(text)
    return path


def read(path: Path, *more: Path) -> Imported:
    return taming.read(torch_file.load(path, PACKAGES), path, *more)


def first_stage(colours: int = 3) -> State:
    torch.manual_seed(0)
    return official.first_stage([32, 32, 64], blocks=1, attends={2}, latent=6, codes=CODES, size=6, colours=colours)


def discriminated(state: State, colours: int = 3) -> State:
    """Return with what else a checkpoint of a first stage holds."""
    made = official.discriminator(4, 2, colours)
    discriminator = {f"loss.discriminator.{name}": value for name, value in made.items()}
    return {**state, **discriminator, "loss.perceptual_loss.lin0.model.1.weight": torch.ones(1, 64, 1, 1)}


def both_stages(first: State, places: int = 80) -> State:
    transformer = official.transformer(CODES, places, layers=2, width=8)
    named = {f"transformer.{name}": value for name, value in transformer.items()}
    return {**{f"first_stage_model.{name}": value for name, value in first.items()}, **named}


def parameters(**more: Any) -> dict[str, Any]:
    return {
        "transformer_config": {"params": {"n_head": HEADS, "vocab_size": CODES}},
        "first_stage_config": {"params": {"ddconfig": {"resolution": WIDTH}}},
        "cond_stage_config": "__is_unconditional__",
        **more,
    }


def labelled(classes: int) -> dict[str, Any]:
    return {"target": "taming.modules.util.Labelator", "params": {"n_classes": classes}}


def written(path: Path, out: Path) -> tuple[TwoStage, dict[str, Any]]:
    imported.write(read(path), path, out)
    learner, record = restore(out / "run.json")
    assert isinstance(learner, TwoStage)
    return learner, record


def noise(count: int = 2, colours: int = 3) -> Tensor:
    return torch.rand(count, colours, WIDTH, WIDTH) * 2 - 1


# ---------------------------------------------------------------------------------------------------- the same


@pytest.mark.parametrize("colours", [3, 1])
@pytest.mark.parametrize("is_gumbel", [False, True], ids=["nearest", "gumbel"])
def test_the_first_stage_reconstructs_the_same(is_gumbel: bool, colours: int, tmp_path: Path) -> None:
    state = official.gumbel(first_stage(colours)) if is_gumbel else first_stage(colours)
    path = saved(tmp_path, discriminated(state, colours), {"ddconfig": {"resolution": WIDTH}})
    learner, record = written(path, tmp_path / "run")
    assert record.imported.notes == [taming.UNTRAINED_NOTE]
    assert record.image.channels == colours
    images = noise(colours=colours)
    latents = official.encode(state, images, 3)
    with torch.no_grad():
        ours = learner.sampler.autoencoder
        assert relative_error(ours.before(ours.encoder(images)), latents) < CLOSE
        codes = ours.encode(images).codes
    assert torch.equal(codes, official.codes_of(state, latents))
    assert len(codes.unique()) > 5
    assert relative_error(learner.reconstruct(images), official.decode(state, codes, 3)) < CLOSE


def test_the_discriminator_gives_the_same_logits(tmp_path: Path) -> None:
    state = discriminated(first_stage())
    learner, record = written(saved(tmp_path, state, {"ddconfig": {"resolution": WIDTH}}), tmp_path / "run")
    ours = discriminator_of(learner, tmp_path / "run", record).eval()
    images, prefix = noise(), "loss.discriminator."
    expected = official.patch_logits(
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}, images
    )
    with torch.no_grad():
        assert relative_error(ours(images), expected[:, 0]) < CLOSE


@pytest.mark.parametrize(
    ("settings", "classes", "start"),
    [
        ({}, 0, [0, 0, 0]),
        ({"unconditional": True, "sos_token": 5, "cond_stage_config": labelled(3)}, 0, [5, 5, 5]),
        ({"cond_stage_config": labelled(3), "permuter_config": {"target": "a.permuter.Identity"}}, 3, [0, 1, 2]),
    ],
    ids=["start", "other start", "classes"],
)
def test_the_transformer_predicts_and_paints_the_same(
    settings: dict[str, Any], classes: int, start: list[int], tmp_path: Path
) -> None:
    first = first_stage()
    state = both_stages(first)
    learner, record = written(saved(tmp_path, state, parameters(**settings)), tmp_path / "run")
    assert record.image.classes == classes
    second = {name.removeprefix("transformer."): v for name, v in state.items() if name.startswith("transformer.")}
    tokens = torch.cat([torch.tensor(start)[:, None], torch.randint(CODES, (3, 63))], dim=1)
    codes, labels = torch.cat([tokens[:, 1:], torch.zeros(3, 1, dtype=torch.long)], dim=1), one_hot(classes, 3)
    with torch.no_grad():
        logits = learner.sampler.transformer(codes, labels)
    assert relative_error(logits, official.next_logits(second, tokens, HEADS)) < CLOSE
    likeliest = official.likeliest(second, torch.tensor(start), 64, HEADS)
    expected = official.decode(first, likeliest.unflatten(1, (8, 8)), 3)
    assert relative_error(learner.sample(labels, range(3), truncation=0.0), expected) < CLOSE
    assert relative_error(learner.sample(labels, range(3)), expected) > 0.1


def test_settings_follow_from_shapes(tmp_path: Path) -> None:
    found = read(saved(tmp_path, discriminated(first_stage())))
    assert found.model == {
        "kind": "vqgan",
        "channels": 32,
        "channel_multipliers": [1, 1, 2],
        "residual_blocks": 1,
        "attention_downsampling": [4],
        "groups": 32,
        "latent_channels": 6,
        "codes": CODES,
        "code_size": 6,
        "quantiser": {"kind": "nearest"},
        "discriminator": {"channels": 4, "layers": 2},
        "transformer": taming.UNTRAINED,
    }
    assert (found.image.height, found.image.width, found.image.channels) == (256, 256, 3)
    assert found.notes == (taming.UNTRAINED_NOTE, taming.RESOLUTION_NOTE)


def test_the_newest_settings_are_those_of_a_training_that_was_resumed(tmp_path: Path) -> None:
    path = saved(tmp_path, first_stage(), {"ddconfig": {"resolution": 2 * WIDTH}})
    project = next((tmp_path / "configs").iterdir())
    later = project.read_text().replace(str(2 * WIDTH), str(WIDTH))
    project.with_name("2020-11-10T13-33-36-project.yaml").write_text(later)
    project.with_name("2020-11-11T13-33-36-lightning.yaml").write_text("a: 1")
    assert read(path).image.width == WIDTH


def test_an_import_is_the_same_each_time(tmp_path: Path) -> None:
    """The weights of the untrained transformer are drawn, but not from where the process's generator stands."""
    path = saved(tmp_path, first_stage(), {"ddconfig": {"resolution": WIDTH}})
    samplers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        samplers.append(read(path).sampler)
        assert torch.initial_seed() == seed
    once, again = samplers
    assert list(once) == list(again)
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_settings_can_lie_elsewhere(tmp_path: Path) -> None:
    path = saved(tmp_path, both_stages(first_stage()), parameters())
    elsewhere = tmp_path / "model.yaml"
    next((tmp_path / "configs").iterdir()).rename(elsewhere)
    assert read(path, elsewhere).image.width == WIDTH
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}: does not say how many heads its transformer has; put the *-project.yaml that it was published with "
        f"into {tmp_path / 'configs'}"
    )


def test_a_discriminator_that_has_no_equal_is_left_out(tmp_path: Path) -> None:
    state = discriminated(first_stage()) | {"loss.discriminator.main.3.loc": torch.zeros(1, 8, 1, 1)}
    found = read(saved(tmp_path, state))
    assert found.discriminator is None
    assert taming.ACTNORM_NOTE in found.notes
    found = read(saved(tmp_path, first_stage()))
    assert found.discriminator is None
    assert "without a discriminator, which it does not hold" in found.notes


def test_a_discriminator_of_other_colours_is_left_out(tmp_path: Path) -> None:
    found = read(saved(tmp_path, discriminated(first_stage(colours=1), colours=3)))
    assert found.discriminator is None
    assert "without its discriminator, which looks at 3 colours of images of 1" in found.notes
    imported.write(found, tmp_path / "checkpoints" / "last.ckpt", tmp_path / "run")


# ----------------------------------------------------------------------------------------------- other contents


def test_what_lightning_left_in_it_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callbacks are kept by their classes, which are not there when the file is read."""
    package, module = "pytorch_lightning", "pytorch_lightning.callbacks.model_checkpoint"
    callback = type("ModelCheckpoint", (), {"__module__": module, "__init__": lambda self: setattr(self, "best", 1.0)})
    with monkeypatch.context() as patch:
        for name in (package, f"{package}.callbacks", module):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setattr(sys.modules[module], "ModelCheckpoint", callback, raising=False)
        path = saved(tmp_path, first_stage(), callbacks={callback: {"best_model_path": "a"}, "other": callback()})
    assert package not in sys.modules
    assert read(path).model["codes"] == CODES


def test_files_from_before_torch_wrote_zip_archives_are_read(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": first_stage()}, path, _use_new_zipfile_serialization=False)
    assert read(path).model["codes"] == CODES


class Payload:
    """Pickled as a call that writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_refuses_a_payload(tmp_path: Path) -> None:
    trap = tmp_path / "written"
    path = saved(tmp_path, first_stage(), callbacks=Payload(trap))
    with pytest.raises(CheckpointError, match=r"last\.ckpt: refused, it asks for 'posix\.system', which no state dict"):
        read(path)
    assert not trap.exists()


def test_refuses_a_damaged_file(tmp_path: Path) -> None:
    path = saved(tmp_path, first_stage())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last\.ckpt: is damaged or was not written by torch\.save"):
        read(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": {}}, "is no checkpoint of Taming Transformers: it has no weights under 'state_dict'"),
        ({"state_dict": {"a": 1}}, "is no checkpoint of Taming Transformers: it has no weights under 'state_dict'"),
        ({"state_dict": {"a": torch.ones(1)}}, "is no VQGAN of Taming Transformers: it has no encoder.conv_in.weight"),
    ],
)
def test_refuses_what_is_no_checkpoint(content: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {words}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("colorize", r"is a model of segmentation maps \(colorize\), which none here is equal to"),
        ("quantize.used", r"is a model of codes that are renumbered \(quantize\.used\), which none here is equal to"),
    ],
)
def test_refuses_models_of_other_things(name: str, words: str, tmp_path: Path) -> None:
    path = saved(tmp_path, {**first_stage(), name: torch.zeros(1)})
    with pytest.raises(CheckpointError, match=words):
        read(path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cond_stage_config": {"target": "taming.CoordStage"}}, "conditioned on taming.CoordStage; here it is on"),
        ({"cond_stage_config": "__is_first_stage__"}, "conditioned on __is_first_stage__; here it is on classes or"),
        ({"permuter_config": {"target": "a.NoIdentity"}}, "reads codes in the order of a.NoIdentity; here it reads"),
        ({"permuter_config": {"target": "a.ZCurve"}}, "reads codes in the order of a.ZCurve; here it reads row by row"),
        (
            {"transformer_config": {"params": {"n_head": 2, "n_unmasked": 4}}},
            "4 codes attend to later ones, as none do here",
        ),
        ({"transformer_config": {"params": {}}}, "that belong to it do not say n_head"),
        ({"first_stage_config": {}}, "that belong to it do not say first_stage_config.params.ddconfig.resolution"),
    ],
)
def test_refuses_transformers_of_other_kinds(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = saved(tmp_path, both_stages(first_stage()), parameters(**settings))
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_refuses_transformers_of_other_codes_or_images(tmp_path: Path) -> None:
    state = both_stages(first_stage(), places=32)
    with pytest.raises(CheckpointError, match="its transformer sees 32 codes at a time but an image has 64"):
        read(saved(tmp_path, state, parameters()))
    assert read(saved(tmp_path, both_stages(first_stage(), places=64), parameters())).sampler[
        "transformer.positions"
    ].shape == (64, 8)
    state["transformer.tok_emb.weight"] = torch.zeros(CODES + 1, 8)
    with pytest.raises(CheckpointError, match=f"its transformer knows {CODES + 1} codes but its codebook has {CODES}"):
        read(saved(tmp_path, state, parameters()))


@pytest.mark.parametrize("text", ["model: [", "model: {target: a}", "3"])
def test_refuses_settings_that_are_none(text: str, tmp_path: Path) -> None:
    path = saved(tmp_path, first_stage(), {})
    settings = next((tmp_path / "configs").iterdir())
    settings.write_text(text)
    with pytest.raises(CheckpointError, match=r"-project\.yaml: .*settings of Taming Transformers"):
        read(path)
    settings.write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match=r"-project\.yaml: cannot be read as settings of Taming Transformers \("):
        read(path)
    with pytest.raises(CheckpointError, match=r"gone\.yaml: cannot be read as settings of Taming Transformers \("):
        read(path, tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    "name", ["encoder.down.0.block.0.norm1.weight", "quant_conv.bias", "decoder.up.2.attn.1.k.bias"]
)
def test_names_what_is_missing_or_left_over(name: str, tmp_path: Path) -> None:
    state = first_stage()
    value = state.pop(name)
    path = saved(tmp_path, {**state, "encoder.more.weight": value}, {"ddconfig": {"resolution": WIDTH}})
    with pytest.raises(
        CheckpointError, match=r"missing: autoencoder\..*; not known: autoencoder\.encoder\.more\.weight"
    ):
        written(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sampling_of_an_imported_run_is_as_by_default(tmp_path: Path) -> None:
    learner, _ = written(saved(tmp_path, both_stages(first_stage()), parameters()), tmp_path / "run")
    assert learner.settings.sampling == Sampling()
