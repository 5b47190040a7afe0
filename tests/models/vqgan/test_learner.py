"""Two stages: which trains when, what moves, the adaptive weight, sampling, and continuing."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from ganformer.config import ImageSpec
from ganformer.errors import CheckpointError
from ganformer.models.vqgan import model as vqgan
from ganformer.models.vqgan.learner import TwoStage, adaptive_weight, decayed
from ganformer.training import distribution
from ganformer.training.learner import Reals
from tests.training.tiny_runs import same

IMAGE = ImageSpec(height=8, width=8)
SMALL: dict[str, Any] = {
    "kind": "vqgan",
    "channels": 4,
    "channel_multipliers": (1, 2),
    "residual_blocks": 1,
    "attention_downsampling": (),
    "groups": 2,
    "latent_channels": 4,
    "codes": 8,
    "code_size": 4,
    "discriminator": {"channels": 4, "layers": 1},
    "transformer": {"layers": 1, "heads": 2, "width": 8},
    "autoencoder_kimg": 0.024,  # three batches of 8
    "discriminator_start_kimg": 0.016,  # the last of them
    "autoencoder_learning_rate": 1e-3,
    "transformer_learning_rate": 1e-3,
    "perceptual": {"kind": "none"},
}


def new_learner(image: ImageSpec = IMAGE, seed: int = 0, **settings: Any) -> TwoStage:
    torch.manual_seed(seed)
    return vqgan.build(vqgan.Config.model_validate({**SMALL, **settings}), image)


def reals(microbatches: int = 1, batch: int = 8, classes: int = 0) -> list[Reals]:
    images = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.eye(classes)[torch.arange(batch) % classes] if classes else torch.zeros(batch, 0)
    parts = zip(images.chunk(microbatches), labels.chunk(microbatches), strict=True)
    return [Reals(*part) for part in parts]


def stepped(learner: TwoStage, steps: range) -> TwoStage:
    for step in steps:
        torch.manual_seed(step)
        learner.step(reals(microbatches=2), step)
    return learner


def moved(learner: TwoStage, step: int) -> set[str]:
    """Return parts whose weights one step changes."""
    before = copy.deepcopy(dict(learner.network.named_parameters()))
    learner.step(reals(), step)
    changed = {name for name, value in learner.network.named_parameters() if not torch.equal(value, before[name])}
    return {".".join(name.split(".")[: 2 if name.startswith("sampler") else 1]) for name in changed}


# ------------------------------------------------------------------------------------------------ what trains when


def test_every_stage_moves_its_own_parts() -> None:
    learner = new_learner()
    assert moved(learner, 0) == {"autoencoder", "sampler.autoencoder"}
    assert moved(learner, 1) == {"autoencoder", "sampler.autoencoder"}
    assert moved(learner, 2) == {"autoencoder", "discriminator", "sampler.autoencoder"}
    assert moved(learner, 3) == {"transformer", "sampler.transformer"}


def test_what_is_logged() -> None:
    learner = new_learner(r1_gamma=1.0)
    always = {"pixels", "perceptual", "codebook", "codebook_usage", "codebook_perplexity"}
    against = {"adversarial", "adaptive_weight", "discriminator", "real_score", "fake_score", "r1"}
    assert set(learner.step(reals(microbatches=2), 0)) == always
    assert set(learner.step(reals(microbatches=2), 2)) == always | against
    assert set(learner.step(reals(microbatches=2), 3)) == {"transformer"}


def test_rates_are_for_each_image_of_a_batch() -> None:
    learner = new_learner(autoencoder_learning_rate=1e-4, transformer_learning_rate=2e-4)
    for step in (2, 3):
        learner.step(reals(batch=4 if step == 3 else 8), step if step == 2 else 6)
    rates = [adam.param_groups[0]["lr"] for adam in (learner.autoencoder_adam, learner.discriminator_adam)]
    assert rates == pytest.approx([8e-4, 8e-4])
    assert [group["lr"] for group in learner.transformer_adam.param_groups] == pytest.approx([8e-4, 8e-4])


def test_only_matrices_of_linear_layers_decay() -> None:
    transformer = new_learner().network.transformer
    matrices, others = decayed(transformer, 0.01)
    assert (matrices["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    names = {id(parameter): name for name, parameter in transformer.named_parameters()}
    assert {names[id(parameter)] for parameter in matrices["params"]} == {
        "blocks.0.attention.queries_keys_values.weight",
        "blocks.0.attention.projection.weight",
        "blocks.0.layers.0.weight",
        "blocks.0.layers.2.weight",
        "head.weight",
    }
    assert len(names) == len(matrices["params"]) + len(others["params"])


def test_the_gumbel_temperature_follows_the_first_stage() -> None:
    learner = new_learner(quantiser={"kind": "gumbel", "temperature": 0.5})
    found = []
    for step in range(3):
        learner.step(reals(), step)
        found.append(learner.network.autoencoder.quantiser.temperature.item())
    assert found == pytest.approx([1.0, 0.5 + 0.5 * 0.75, 0.5 + 0.5 * 0.25])


# ---------------------------------------------------------------------------------------------------------- losses


def test_the_adaptive_weight_is_a_ratio_of_slopes() -> None:
    last = torch.tensor([3.0, 4.0], requires_grad=True)
    steep, flat = (last * torch.tensor([6.0, 8.0])).sum(), last.square().sum() / 2
    assert adaptive_weight(steep, flat, last).item() == pytest.approx(10 / (5 + 1e-4))
    assert adaptive_weight(steep, 0 * flat, last).item() == pytest.approx(1e4)


def test_the_autoencoder_steps_down_the_weighted_sum() -> None:
    settings = {"discriminator_weight": 0.5, "codebook_weight": 2.0}
    learner, fresh = new_learner(**settings), new_learner(**settings)
    logged = learner.step(reals(), 2)
    (images, quantised), given = fresh.network.autoencoder(reals()[0].images), reals()[0].images
    pixels = (images - given).abs().mean()
    adversarial = -fresh.network.discriminator(images).mean()
    weight = adaptive_weight(pixels, adversarial, fresh.network.autoencoder.decoder.last.weight)
    (pixels + 2.0 * quantised.loss + 0.5 * weight * adversarial).backward()
    torch.testing.assert_close(logged["adaptive_weight"], weight)
    pairs = zip(learner.network.autoencoder.parameters(), fresh.network.autoencoder.parameters(), strict=True)
    for ours, expected in pairs:
        torch.testing.assert_close(ours.grad, expected.grad)


def test_the_discriminator_steps_down_the_hinge_and_r1() -> None:
    learner, fresh = new_learner(r1_gamma=2.0), new_learner()
    logged = learner.step(reals(), 2)
    given = reals()[0].images.requires_grad_()
    made = fresh.network.autoencoder(given.detach())[0].detach()
    fresh.network.discriminator(made)  # as the autoencoder's loss does, which moves the running statistics
    scores = fresh.network.discriminator(given)
    (slopes,) = torch.autograd.grad(scores.sum(), given, create_graph=True)
    penalty = 2.0 / 2 * slopes.square().sum(dim=(1, 2, 3)).mean()
    hinge = (1 - scores).relu().mean() + (1 + fresh.network.discriminator(made)).relu().mean()
    (hinge + penalty).backward()
    torch.testing.assert_close(logged["r1"], penalty)
    torch.testing.assert_close(logged["discriminator"], hinge + penalty)
    pairs = zip(learner.network.discriminator.parameters(), fresh.network.discriminator.parameters(), strict=True)
    for ours, expected in pairs:
        torch.testing.assert_close(ours.grad, expected.grad)


def test_half_the_discriminators_loss_makes_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """VQGAN's code has a factor ½ there: Adam divides it out but for its ε."""
    whole, half = new_learner(), new_learner()
    before = copy.deepcopy(whole.network.discriminator.state_dict())
    loss = half.loss

    class Half(type(loss)):  # type: ignore[misc]
        def discriminator(self, reals: torch.Tensor, fakes: torch.Tensor) -> torch.Tensor:
            return super().discriminator(reals, fakes) / 2

    half.loss = Half()
    logged = [learner.step(reals(), 2)["discriminator"] for learner in (whole, half)]
    assert logged[1] == logged[0] / 2
    pairs = zip(whole.network.discriminator.parameters(), half.network.discriminator.parameters(), strict=True)
    rate = whole.discriminator_adam.param_groups[0]["lr"]
    for (name, _), (ours, other) in zip(whole.network.discriminator.named_parameters(), pairs, strict=True):
        large = ours.grad.abs() > 1e-5  # of others ε is not small
        torch.testing.assert_close(other[large], ours[large], atol=1e-2 * rate, rtol=0)
        assert not large.any() or not torch.equal(ours, before[name])


def test_the_transformer_learns_codes_of_the_sampled_autoencoder() -> None:
    learner = new_learner()
    with torch.no_grad():
        for parameter in learner.network.autoencoder.parameters():
            parameter.zero_()
    codes = learner.sampler.autoencoder.encode(reals()[0].images).codes.flatten(1)
    assert len(codes.unique()) > 1
    logits = learner.network.transformer(codes, reals()[0].labels).log_softmax(dim=2)
    expected = -logits.gather(2, codes[..., None]).mean()
    torch.testing.assert_close(learner.step(reals(), 3)["transformer"], expected.detach())


def test_portions_make_the_same_step_as_the_batch() -> None:
    for step, part in ((0, "autoencoder"), (3, "transformer")):
        whole, parts = new_learner(), new_learner()
        one, other = whole.step(reals(), step), parts.step(reals(microbatches=4), step)
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(other[name], one[name])
        pairs = zip(
            whole.network.get_submodule(part).parameters(), parts.network.get_submodule(part).parameters(), strict=True
        )
        for ours, expected in pairs:
            torch.testing.assert_close(ours.grad, expected.grad)


def test_usage_is_that_of_the_batch_and_idle_codes_are_revived() -> None:
    learner = new_learner(quantiser={"kind": "nearest", "revival": 0.5})
    codes = learner.network.autoencoder.encode(reals()[0].images).codes
    counts = codes.flatten().bincount(minlength=8)
    assert (counts == 0).any()
    before = learner.network.autoencoder.quantiser.codebook.detach().clone()
    assert learner.step(reals(microbatches=2), 0)["codebook_usage"].item() == (counts > 0).float().mean().item()
    idle = counts / counts.sum() * 0.05 < 0.5 / 8
    moved_far = (learner.network.autoencoder.quantiser.codebook - before).abs().amax(dim=1) > 0.05
    assert torch.equal(moved_far, idle)
    torch.testing.assert_close(learner.network.code_shares[idle], torch.full((int(idle.sum()),), 1 / 8))


def test_shares_of_codes_are_an_average_over_steps() -> None:
    learner = new_learner()
    expected = torch.zeros(8)
    for step in range(2):
        counts = learner.network.autoencoder.encode(reals()[0].images).codes.flatten().bincount(minlength=8)
        learner.step(reals(), step)
        expected = 0.95 * expected + 0.05 * counts / counts.sum()
    torch.testing.assert_close(learner.network.code_shares, expected)


@pytest.mark.slow
def test_reconstructions_get_better() -> None:
    learner = new_learner(
        autoencoder_kimg=1.0, discriminator_start_kimg=0.9, autoencoder_beta1=0.9, autoencoder_beta2=0.99
    )
    steps = torch.linspace(-1, 1, 8)
    waves = torch.stack(
        [
            torch.stack([steps * a, steps.flip(0) * b, steps * 0])[:, None].expand(3, 8, 8)
            for a in (-1, -0.3, 0.3, 1)
            for b in (-1, 1)
        ]
    )
    errors = {}
    for step in range(100):
        learner.step([Reals(waves, torch.zeros(8, 0))], step)
        errors[step] = (learner.reconstruct(waves) - waves).abs().mean().item()
    assert errors[99] < 0.5 * errors[0]


@pytest.mark.slow
def test_the_transformer_learns_by_heart() -> None:
    image = ImageSpec(height=8, width=8, classes=2)
    learner = new_learner(image, autoencoder_kimg=0.001, discriminator_start_kimg=0.0)
    labels = torch.eye(2)[torch.arange(8) % 2]
    same_image = [Reals(reals()[0].images[:1].expand(8, -1, -1, -1), labels)]
    losses = [learner.step(same_image, step)["transformer"].item() for step in range(1, 120)]
    assert losses[0] == pytest.approx(torch.tensor(8.0).log().item(), abs=0.1)
    assert losses[-1] < 0.1
    torch.testing.assert_close(
        learner.sample(torch.eye(2), [0, 1], truncation=0.0), learner.reconstruct(same_image[0].images[:2])
    )


# ---------------------------------------------------------------------------------------- averages and sampling


def test_moving_averages_follow_the_stage_that_trains() -> None:
    learner = new_learner(ema_kimg=0.008)  # half-life: one batch
    before = learner.sampler.autoencoder.decoder.last.weight.clone()
    learner.step(reals(), 0)
    now = learner.network.autoencoder.decoder.last.weight
    torch.testing.assert_close(learner.sampler.autoencoder.decoder.last.weight, (before + now) / 2)
    before = learner.sampler.transformer.starts.clone()
    learner.step(reals(), 3)
    torch.testing.assert_close(learner.sampler.transformer.starts, (before + learner.network.transformer.starts) / 2)
    assert not any(p.requires_grad for p in learner.sampler.parameters())


def test_without_a_half_life_the_average_is_the_network_itself() -> None:
    learner = new_learner()
    for step, part in ((0, "autoencoder"), (3, "transformer")):
        learner.step(reals(), step)
        pairs = zip(
            learner.sampler.get_submodule(part).parameters(),
            learner.network.get_submodule(part).parameters(),
            strict=True,
        )
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_rates_stages_and_augmentation_count_the_images_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a step of 8 images on each of two ranks 16 were seen, so the discriminator takes part in the second one."""
    learner, shared, adapted = new_learner(autoencoder_learning_rate=1e-4), [], []
    monkeypatch.setattr(distribution, "ranks", lambda: 2)
    monkeypatch.setattr(distribution, "average", lambda tensors: None)
    monkeypatch.setattr(distribution, "share", lambda tensors: shared.extend(tensors))
    monkeypatch.setattr(learner.network.augmentation, "adapt", lambda *given: adapted.append(given))
    assert "discriminator" not in learner.step(reals(), 0)
    assert "discriminator" in learner.step(reals(), 1)
    rates = [adam.param_groups[0]["lr"] for adam in (learner.autoencoder_adam, learner.discriminator_adam)]
    assert rates == pytest.approx([16e-4, 16e-4])
    codebook = learner.network.autoencoder.quantiser.codebook
    assert [tensor is codebook for tensor in shared] == [True, True]
    ((scores, step, batch),) = adapted
    assert (scores.shape, step, batch) == ((8 * 2 * 2,), 1, 16)  # 2 × 2 patches of each image
    assert set(learner.step(reals(), 2)) == {"transformer"}


def test_truncation_multiplies_the_temperature() -> None:
    labels = torch.zeros(4, 0)
    cool = new_learner(sampling={"temperature": 0.5}).sample(labels, range(4))
    assert torch.equal(new_learner().sample(labels, range(4), truncation=0.5), cool)
    assert torch.equal(new_learner(sampling={"temperature": 2.0}).sample(labels, range(4), truncation=0.25), cool)
    assert not torch.equal(new_learner().sample(labels, range(4)), cool)
    greedy = new_learner().sample(labels, range(4), truncation=0.0)
    torch.testing.assert_close(greedy, greedy[:1].expand(4, -1, -1, -1))


def test_sampling_leaves_no_trace() -> None:
    learner = stepped(new_learner(transformer={"layers": 1, "heads": 2, "width": 8, "dropout": 0.5}), range(4))
    learner.network.train()
    before, state = copy.deepcopy(learner.save()), torch.random.get_rng_state()
    one, two = (learner.sample(torch.zeros(3, 0), range(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same(learner.save(), before)
    assert learner.sampler.training
    assert not one.requires_grad


def test_reconstructions_are_a_function_of_the_images() -> None:
    learner = new_learner(quantiser={"kind": "gumbel"}, autoencoder_dropout=0.5)
    given = reals()[0].images
    images = learner.reconstruct(given)
    assert images.shape == given.shape
    assert not images.requires_grad
    assert torch.equal(learner.reconstruct(given), images)


def test_rectangles_have_rows_and_columns_of_codes() -> None:
    learner = new_learner(ImageSpec(height=4, width=16))
    assert learner.sampler.shape == (2, 8)
    assert learner.sample(torch.zeros(2, 0), range(2)).shape == (2, 3, 4, 16)


# ------------------------------------------------------------------------------------------------------ continuing


@pytest.mark.parametrize(
    "quantiser", [{"kind": "nearest", "revival": 0.5}, {"kind": "gumbel"}], ids=["nearest", "gumbel"]
)
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_continues_where_it_stopped(quantiser: dict[str, Any], stop: int) -> None:
    settings = {"quantiser": quantiser, "ema_kimg": 0.01, "r1_gamma": 0.1}
    whole = stepped(new_learner(**settings), range(6))
    first = stepped(new_learner(**settings), range(stop))
    second = new_learner(seed=9, **settings)
    second.load(copy.deepcopy(first.save()))
    assert same(second.save(), first.save())
    assert same(stepped(second, range(stop, 6)).save(), whole.save())


def test_state_of_another_model_is_refused() -> None:
    wider = new_learner(code_size=6)
    with pytest.raises(CheckpointError, match=r"the network's state .* mis-shaped: autoencoder\.before\.weight \[6"):
        new_learner().load(wider.save())
    state = new_learner().save()
    del state["transformer_adam"]
    with pytest.raises(CheckpointError, match="the training state does not fit the model; missing: transformer_adam"):
        new_learner().load(state)


@pytest.mark.parametrize("name", ["autoencoder", "discriminator", "transformer"])
def test_optimisers_of_other_parameters_are_refused(name: str) -> None:
    state = stepped(new_learner(), range(4)).save()
    state[f"{name}_adam"]["state"][0]["exp_avg"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=rf"the {name}'s optimiser does not fit .* parameter 0 \[3\] instead of"):
        new_learner().load(state)


def test_weights_of_the_perceptual_loss_are_not_saved(tmp_path: Any) -> None:
    """Nor needed where nothing is trained."""
    missing = {"kind": "vgg16", "network": tmp_path / "a", "judgement": tmp_path / "b"}
    sums = {"network_sha256": "0" * 64, "judgement_sha256": "0" * 64}
    learner = new_learner(perceptual={**missing, **sums})
    learner.sample(torch.zeros(1, 0), [0])
    with pytest.raises(CheckpointError, match="weights of the perceptual distance cannot be read"):
        learner.step(reals(), 0)
    assert same(learner.network.state_dict(), new_learner().network.state_dict())


def test_the_perceptual_distance_is_part_of_the_loss(capsys: pytest.CaptureFixture[str]) -> None:
    learner = new_learner(perceptual={"kind": "random-vgg16", "channels": 4})
    logged: dict[str, Tensor] = dict(learner.step(reals(microbatches=2), 0))
    assert logged["perceptual"] > 0
    learner.step(reals(), 1)
    assert capsys.readouterr().out.count("perceptual loss: ") == 1


def test_the_perceptual_distance_of_images_with_opacity_is_on_white(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = new_learner(IMAGE.with_channels(4), perceptual={"kind": "random-vgg16", "channels": 4})
    looks: list[Tensor] = []
    monkeypatch.setattr(learner, "perceptual", lambda *images: looks.extend(images) or torch.zeros(()))
    images = torch.rand(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    _, made = learner._reconstruction_loss(images, torch.zeros(2, 0))
    for shown, given in zip(looks, (made["reconstructed"], images), strict=True):
        opacity = (given[:, 3:] + 1) / 2
        torch.testing.assert_close(shown, given[:, :3] * opacity + 1 - opacity)


def test_the_discriminator_sees_changed_images() -> None:
    learner = new_learner(augmentation={"kind": "ada", "kimg": 0.1, "interval": 1, "target": -1})
    torch.nn.init.constant_(list(learner.network.discriminator.parameters())[-1], 100.0)  # all scores are positive
    stepped(learner, range(2))
    scalars = learner.step(reals(), 2)
    assert scalars["augmentation_probability"].item() == pytest.approx(8 / 100)
    assert learner.network.augmentation.probability.item() == pytest.approx(8 / 100)
    changed = new_learner(augmentation={"kind": "diffaugment", "policy": ["cutout"]})
    (images, _) = reals()[0]
    assert not changed._score(images).allclose(changed.network.discriminator(images).flatten())
