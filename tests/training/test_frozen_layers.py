"""FreezeD: layers of the discriminator that keep the weights which training starts from."""

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganformer import config
from ganformer.config import AdversarialSettings, ImageSpec, Spec
from ganformer.errors import ConfigError, TrainingError
from ganformer.training import loop
from ganformer.training.adversarial import Adversarial
from ganformer.training.checkpoint import build
from ganformer.training.learner import Reals
from ganformer.training.loop import train
from ganformer.training.writer import RunWriter
from tests.training.tiny_runs import NAMES, final_state, same, tiny_spec

IMAGE = ImageSpec(height=16, width=16)
LADDER = {"channel_base": 64, "channel_max": 8, "latent_size": 4}
STYLED = {**LADDER, "mapping_layers": 1}
FROZEN = {
    "orig-1": ({"kind": "stylegan2", **STYLED, "discriminator_architecture": "orig"}, 1, r"from_colours|blocks\.0"),
    "skip-1": ({"kind": "stylegan2", **STYLED, "discriminator_architecture": "skip"}, 1, r"from_colours|blocks\.0"),
    "skip-2": (
        {"kind": "stylegan2", **STYLED, "discriminator_architecture": "skip"},
        2,
        r"from_colours|blocks\.0|from_coarse_colours\.0|blocks\.1",
    ),
    "resnet-2": ({"kind": "stylegan2", **STYLED}, 2, r"from_colours|blocks\.[01]"),
    "aggregating-1": (
        {
            **STYLED,
            "kind": "ganformer",
            "latent_size": 8,
            "attention": "simplex",
            "components": 2,
            "discriminator_components": 2,
        },
        1,
        r"trunk\.from_colours|trunk\.blocks\.0",
    ),
    "msggan-2": (
        {"kind": "msggan", **LADDER, "combine": "lin_cat"},
        2,
        r"from_colours|blocks\.0|combinations\.0|blocks\.1",
    ),
    "sagan-1": (
        {"kind": "sagan", **STYLED, "attention_resolutions": [16], "spectral_norm": True},
        1,
        r"from_colours|blocks\.0",
    ),
}


def spec(model: Mapping[str, Any], count: int, image: ImageSpec = IMAGE, **adversarial: Any) -> Spec:
    """Return a run with so many frozen layers."""
    game = {"r1_interval": 2, "frozen_discriminator_layers": count, **adversarial}
    return Spec.model_validate(
        {
            "image": image,
            "mirror": False,
            "model": {**model, "adversarial": game},
            "training": {"kimg": 0.02, "batch": 4, "snapshots": 1},
            "seed": 0,
        }
    )


def stepped(of: Spec, steps: int) -> tuple[dict[str, Tensor], Adversarial]:
    """Return the state of the discriminator before training, and the learner after so many steps."""
    learner = build(of)
    assert isinstance(learner, Adversarial)
    before = copy.deepcopy(learner.network.discriminator.state_dict())
    for step in range(steps):
        torch.manual_seed(step)
        images = torch.rand(4, 3, 16, 16) * 2 - 1
        learner.step([Reals(images, torch.zeros(4, 0))], step)
    return before, learner


@pytest.mark.slow
@pytest.mark.parametrize(("model", "count", "names"), FROZEN.values(), ids=FROZEN)
def test_exactly_the_layers_of_the_first_resolutions_keep_their_weights(
    model: Mapping[str, Any], count: int, names: str
) -> None:
    before, learner = stepped(spec(model, count), 4)
    after = learner.network.discriminator.state_dict()
    learned = {name for name, _ in learner.network.discriminator.named_parameters()}
    # Vectors of spectral normalisation; that of a single number has nowhere to move to.
    learned |= {name for name, value in before.items() if name.endswith(".left") and len(value) > 1}
    kept = {name for name in learned if torch.equal(before[name], after[name])}
    assert kept == {name for name in learned if re.match(rf"({names})\.", name)}
    assert 0 < len(kept) < len(learned)


@pytest.mark.slow
def test_frozen_layers_have_no_state_of_the_optimiser_and_the_generator_learns_through_them() -> None:
    of = spec(FROZEN["resnet-2"][0], 2, r1_gamma=1.0)
    untrained = build(of).network.state_dict()
    _, learner = stepped(of, 1)
    discriminator = learner.network.discriminator
    moving = [parameter for name, parameter in discriminator.named_parameters() if name.startswith("epilogue.")]
    assert len(learner.discriminator_adam.state) == len(moving) == 6
    (group,) = learner.discriminator_adam.param_groups
    assert all(one is other for one, other in zip(group["params"], moving, strict=True))
    name = "generator.synthesis.stem.constant"
    assert not torch.equal(learner.network.state_dict()[name], untrained[name])


def test_none_are_frozen_by_default_and_digests_of_earlier_runs_stay() -> None:
    settings = tiny_spec().model_dump(mode="json")
    assert "frozen_discriminator_layers" not in settings["model"]["adversarial"]
    assert AdversarialSettings().model_dump() == AdversarialSettings(frozen_discriminator_layers=0).model_dump()
    # As before there was this setting.
    assert tiny_spec().digest == "1fde61c554dc64d0fd08a304cef8b02d486fdd667e80c821dd577535beecc363"
    assert tiny_spec().trajectory == "b7935f1f264b6a6a75e66ec3431714c2c330351642b4c4512b50975959e4753f"
    learner = build(spec(FROZEN["skip-1"][0], 0))
    assert all(parameter.requires_grad for parameter in learner.network.get_submodule("discriminator").parameters())


def test_a_number_is_another_training() -> None:
    one, two = (spec(FROZEN["orig-1"][0], count) for count in (1, 2))
    assert one.model_dump()["model"]["adversarial"]["frozen_discriminator_layers"] == 1
    assert one.trajectory != two.trajectory


RAW = {
    "datasets": {"scenes": {"source": {"kind": "scenes", "images": 5}, "resolution": 16}},
    "models": {
        "frozen": {"kind": "gan", "initial": "runs/before"},
        "free": {"kind": "gan", "adversarial": {"frozen_discriminator_layers": 0}},
    },
    "adversarial": {"frozen_discriminator_layers": 2},
    "training": {"batch": 4},
    "evaluation": {"extractor": {"kind": "random-vgg16"}},
    "experiments": {"t": {"kind": "comparison", "title": "T", "datasets": ["scenes"], "models": ["frozen", "free"]}},
}


def test_a_model_overrides_the_section_with_none() -> None:
    found = config.load(RAW)
    for settings in (found, config.load(config.parse(config.Config, RAW, "").model_dump(exclude_unset=True))):
        counts = [settings.spec("scenes", name, 0).model.adversarial for name in ("frozen", "free")]
        assert [each.frozen_discriminator_layers for each in counts] == [2, 0]


def test_more_than_there_are_is_refused() -> None:
    raw = {**RAW, "adversarial": {"frozen_discriminator_layers": 3}}
    problem = (
        "adversarial.frozen_discriminator_layers 3 is more than the 2 resolutions of the discriminator before its "
        "last one; set it to at most 2"
    )
    with pytest.raises(ConfigError) as raised:
        config.load(raw)
    assert f"models.frozen: {problem} (images of data set scenes)" in str(raised.value)
    with pytest.raises(ConfigError, match=f"^{re.escape(problem)}$"):
        build(spec(FROZEN["resnet-2"][0], 3))


@pytest.mark.parametrize("count", [1, 2])
def test_without_a_run_to_start_from_random_weights_would_be_kept(count: int) -> None:
    models = {"frozen": {"kind": "gan"}, "free": RAW["models"]["free"]}
    problem = (
        f"adversarial.frozen_discriminator_layers {count} would keep layers with random weights; set initial to a run "
        "to start from, or leave it out"
    )
    with pytest.raises(ConfigError) as raised:
        config.load({**RAW, "models": models, "adversarial": {"frozen_discriminator_layers": count}})
    assert str(raised.value) == f"config.yaml: 1 problem\n  models.frozen: {problem} (images of data set scenes)"


def test_a_discriminator_without_resolutions_has_none_to_freeze() -> None:
    with pytest.raises(ConfigError, match="1 is more than the 0 resolutions of the discriminator before its last one"):
        build(tiny_spec(adversarial={"frozen_discriminator_layers": 1}))


@pytest.mark.slow
def test_resumed_it_ends_in_the_same_bits(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = spec({"kind": "stylegan2", **STYLED}, 1, ImageSpec(height=8, width=8))
    train(of, pack, tmp_path / "whole", names=NAMES, threads=1, gpus=0)
    save = RunWriter._save

    def saved(self: RunWriter, step: int) -> None:
        save(self, step)
        if step == 2:
            raise TrainingError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "_save", saved)
        with pytest.raises(TrainingError, match="stopped"):
            loop.train(of, pack, tmp_path / "parts", names=NAMES, threads=1, gpus=0, checkpoint_minutes=0)
    train(of, pack, tmp_path / "parts", names=NAMES, threads=1, gpus=0)
    assert same(final_state(tmp_path / "parts"), final_state(tmp_path / "whole"))
    start = build(of).network.state_dict()
    name = "discriminator.blocks.0.first.convolution.weight"
    assert torch.equal(final_state(tmp_path / "whole")["network"][name], start[name])
