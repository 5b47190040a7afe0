"""Adversarial training: StyleGAN2's numbers, what moves when, sampling, and continuing."""

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganformer.config import AdversarialSettings, Spec
from ganformer.errors import CheckpointError
from ganformer.nn.layers import Clamped
from ganformer.seeds import mix
from ganformer.training import adversarial, distribution, losses
from ganformer.training.adversarial import Adversarial
from ganformer.training.checkpoint import build
from ganformer.training.learner import Reals
from tests.training.tiny_runs import same, tiny_spec


def new_learner(**settings: Any) -> Adversarial:
    built = build(tiny_spec(adversarial=settings))
    assert isinstance(built, Adversarial)
    return built


NO_LABELS = torch.zeros(8, 0)


def reals(microbatches: int = 1, batch: int = 8) -> list[Reals]:
    images = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return unlabelled(images.split(batch // microbatches))


def unlabelled(microbatches: Sequence[Tensor]) -> list[Reals]:
    return [Reals(microbatch, torch.zeros(len(microbatch), 0)) for microbatch in microbatches]


def stepped(learner: Adversarial, steps: range) -> Adversarial:
    for step in steps:
        torch.manual_seed(step)
        learner.step(reals(), step)
    return learner


# ----------------------------------------------------------------------------------------------- numbers


def test_adam_is_corrected_where_a_regulariser_shares_it() -> None:
    group = new_learner(path_length_weight=2.0, r1_gamma=10.0).generator_adam.param_groups[0]
    assert group["lr"] == pytest.approx(0.0016)
    assert group["betas"] == (0.0, pytest.approx(0.9919919679, abs=1e-10))
    group = new_learner(path_length_weight=2.0, r1_gamma=10.0).discriminator_adam.param_groups[0]
    assert group["lr"] == pytest.approx(0.0018823529, abs=1e-10)
    assert group["betas"] == (0.0, pytest.approx(0.9905854573, abs=1e-10))


def test_the_generator_can_be_corrected_for_a_regulariser_that_is_left_out() -> None:
    group = new_learner(generator_correction=True, r1_gamma=0.0).generator_adam.param_groups[0]
    assert group["lr"] == pytest.approx(0.0016)
    assert group["betas"] == (0.0, pytest.approx(0.9919919679, abs=1e-10))
    group = new_learner(generator_correction=True, r1_gamma=0.0).discriminator_adam.param_groups[0]
    assert (group["lr"], group["betas"]) == (0.002, (0.0, 0.99))


def test_both_betas_are_corrected() -> None:
    adam = adversarial.lazy_adam([torch.nn.Parameter(torch.zeros(1))], 0.5, (0.25, 0.0625), 1)
    (group,) = adam.param_groups
    assert (group["lr"], group["betas"], group["eps"]) == (0.25, (0.5, 0.25), 1e-8)


def test_adam_is_not_corrected_where_nothing_is_regularised() -> None:
    learner = new_learner(path_length_weight=0.0, r1_gamma=0.0)
    for adam in (learner.generator_adam, learner.discriminator_adam):
        assert adam.param_groups[0]["lr"] == 0.002
        assert adam.param_groups[0]["betas"] == (0.0, 0.99)
        assert adam.param_groups[0]["eps"] == 1e-8


def test_the_moving_average_has_the_official_half_life() -> None:
    assert adversarial.average_beta(AdversarialSettings(), batch=32, seen=0) == pytest.approx(0.9977843871, abs=1e-10)


def test_the_ramp_up_shortens_the_half_life() -> None:
    settings = AdversarialSettings(ema_kimg=10, ema_rampup=0.05)
    assert adversarial.average_beta(settings, batch=32, seen=0) == 0.0
    assert adversarial.average_beta(settings, batch=32, seen=640) == pytest.approx(0.5)
    assert adversarial.average_beta(settings, batch=32, seen=10**9) == pytest.approx(0.9977843871, abs=1e-10)


# ---------------------------------------------------------------------------------------------- training


def test_regularisers_run_at_their_steps_only() -> None:
    learner = new_learner(path_length_weight=2.0, path_length_interval=2, r1_interval=3)
    names = [
        set(learner.step(reals(), step)) - {"generator", "discriminator", "real_score", "fake_score"}
        for step in range(4)
    ]
    assert names == [{"path_length", "r1"}, set(), {"path_length"}, {"r1"}]


def test_r1_is_its_weight_times_the_penalty() -> None:
    learner = new_learner(r1_gamma=6.0)
    images = reals()[0].images.requires_grad_()
    (gradient,) = torch.autograd.grad(learner.network.discriminator([images], NO_LABELS).sum(), images)
    expected = 6.0 / 2 * gradient.square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(learner._regularise_discriminator(reals()), expected)


def test_r1_steps_down_the_weighted_penalty() -> None:
    learner = new_learner(r1_gamma=6.0, r1_interval=16)
    learner._regularise_discriminator(reals())
    images = reals()[0].images.requires_grad_()
    fresh = new_learner(r1_gamma=6.0).network.discriminator
    (gradient,) = torch.autograd.grad(fresh([images], NO_LABELS).sum(), images, create_graph=True)
    (16 * 3.0 * gradient.square().sum(dim=(1, 2, 3)).mean()).backward()
    for moved, still in zip(learner.network.discriminator.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(moved.grad, still.grad)


def test_the_mean_path_length_moves_by_a_hundredth() -> None:
    learner = new_learner(path_length_weight=2.0)
    torch.manual_seed(3)
    _, w = learner._draw(NO_LABELS[:4])  # half of a batch of 8 is measured
    lengths = losses.path_lengths(learner.network.generator.synthesise(w), w)
    torch.manual_seed(3)
    torch.testing.assert_close(learner._regularise_generator(reals()), 0.01 * lengths.detach().mean())
    assert not learner.network.path_length_mean.requires_grad


def test_path_length_steps_down_the_weighted_distance_from_the_mean() -> None:
    learner = new_learner(path_length_weight=2.0, path_length_interval=4)
    fresh = new_learner(path_length_weight=2.0)
    torch.manual_seed(3)
    learner._regularise_generator(reals())
    torch.manual_seed(3)
    _, w = fresh._draw(NO_LABELS[:4])
    lengths = losses.path_lengths(fresh.network.generator.synthesise(w), w)
    (2.0 * 4 * (lengths - 0.01 * lengths.mean()).square().mean()).backward()
    for moved, still in zip(learner.network.generator.parameters(), fresh.network.generator.parameters(), strict=True):
        torch.testing.assert_close(moved.grad, still.grad)


def test_portions_make_the_same_discriminator_step_as_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = new_learner(), new_learner()
    for learner in (whole, parts):
        monkeypatch.setattr(learner.network.generator, "synthesise", lambda w: torch.zeros(len(w), 3, 8, 8))
    loss = whole._play_discriminator(reals(), 0)["discriminator"]
    torch.testing.assert_close(parts._play_discriminator(reals(microbatches=4), 0)["discriminator"], loss)
    for one, other in zip(
        whole.network.discriminator.parameters(), parts.network.discriminator.parameters(), strict=True
    ):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_step_of_either_network_moves_only_that_network() -> None:
    learner = new_learner()
    before = copy.deepcopy(learner.network.state_dict())
    learner._play_generator(reals(), 0)
    after = learner.network.state_dict()
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"generator"}
    assert not torch.equal(before["generator.w_average"], after["generator.w_average"])
    learner._play_discriminator(reals(), 0)
    again = learner.network.state_dict()
    assert all(torch.equal(after[name], again[name]) for name in after if not name.startswith("discriminator."))


def test_the_sampler_follows_the_generator() -> None:
    learner = new_learner(ema_kimg=0.008)  # half-life: one batch
    before = learner.network.sampler.paint.weight.clone()
    stepped(learner, range(1))
    torch.testing.assert_close(learner.sampler.paint.weight, (before + learner.network.generator.paint.weight) / 2)
    assert torch.equal(learner.sampler.w_average, learner.network.generator.w_average)
    assert not any(p.requires_grad for p in learner.sampler.parameters())


def test_the_ramp_up_counts_the_images_before_a_step() -> None:
    """Before the first there are none, so that the average is the generator; then 8, a half-life of one batch."""
    learner = stepped(new_learner(ema_rampup=1.0), range(1))
    before = learner.network.generator.paint.weight.detach().clone()
    assert torch.equal(learner.sampler.paint.weight, before)
    stepped(learner, range(1, 2))
    after = learner.network.generator.paint.weight
    assert not torch.equal(after, before)
    torch.testing.assert_close(learner.sampler.paint.weight, (before + after) / 2)


def test_the_sampler_counts_the_images_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = new_learner(ema_kimg=0.016)  # half-life: a batch of 8 images on each of two ranks
    before = learner.network.sampler.paint.weight.clone()
    monkeypatch.setattr(distribution, "ranks", lambda: 2)
    monkeypatch.setattr(distribution, "average", lambda tensors: None)
    stepped(learner, range(1))
    torch.testing.assert_close(learner.sampler.paint.weight, (before + learner.network.generator.paint.weight) / 2)


def test_component_mixing_takes_later_components_from_another_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = new_learner(style_mixing=0.0, component_mixing=1.0)
    draws = torch.randn(2, 8, 3, 5, 4)  # 3 layers, 5 components
    monkeypatch.setattr(learner.network.generator, "map", lambda z, labels: draws.flatten(0, 1))
    w, mixed = learner._draw(NO_LABELS)
    assert torch.equal(w, draws[0])
    from_other = (mixed == draws[1]).all(dim=3).all(dim=1)
    assert torch.equal(from_other, from_other[:1].expand_as(from_other))
    assert from_other[0].tolist() == sorted(from_other[0].tolist())
    assert 0 < from_other[0].sum() < 5
    assert torch.equal(mixed[:, :, 0], draws[0][:, :, 0])


def test_style_mixing_takes_later_layers_from_another_draw() -> None:
    never, always = new_learner(style_mixing=0.0), new_learner(style_mixing=1.0)
    assert torch.equal(*never._draw(NO_LABELS))
    w, mixed = always._draw(NO_LABELS)
    assert torch.equal(mixed[:, 0], w[:, 0])
    assert not torch.isclose(mixed[:, 1], w[:, 1]).any()


def test_values_of_a_latent_are_never_mixed() -> None:
    """Without components the last dimension is the values of a latent."""
    w, other = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    assert adversarial.mixed_behind(w, other, 2, 1.0) is w
    assert not torch.equal(adversarial.mixed_behind(w, other, 1, 1.0), w)


def test_images_of_mixed_latents_are_judged_and_their_paths_regularised(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, seen = new_learner(path_length_weight=2.0), []
    generator = learner.network.generator
    synthesise = generator.synthesise
    w = generator.map(generator.latents(8), NO_LABELS).detach()
    monkeypatch.setattr(learner, "_draw", lambda labels: (w[: len(labels)], w[: len(labels)] + 1))
    monkeypatch.setattr(generator, "synthesise", lambda w: seen.append(w) or synthesise(w))
    learner._generate(NO_LABELS)
    learner._path_length_loss(*reals()[0])
    learner._generator_loss(*reals()[0])
    assert [torch.equal(found, w[: len(found)] + 1) for found in seen] == [True] * 3
    assert [len(found) for found in seen] == [8, 4, 8]  # path lengths of half of the batch


def test_neither_network_is_differentiated_for_the_step_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, learned = new_learner(), []
    discriminator, score = learner.network.discriminator, learner._score

    def watched(images: Sequence[Tensor], labels: Tensor) -> Tensor:
        learned.append({parameter.requires_grad for parameter in discriminator.parameters()})
        return score(images, labels)

    monkeypatch.setattr(learner, "_score", watched)
    learner._generator_loss(*reals()[0])
    assert learned == [{False}]
    assert not any(images.requires_grad for images in learner._generate(NO_LABELS))
    learner._discriminator_loss(*reals()[0])
    assert learned[1:] == [{True}] * 2


def test_penalised_points_are_elsewhere_between_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, points = new_learner(loss="wgan", gradient_penalty=10.0), []
    monkeypatch.setattr(losses, "gradient_penalty", lambda scores, images: points.append(images) or scores.sum())
    shape = (8, 3, 8, 8)
    learner._gradient_penalty(torch.zeros(shape), NO_LABELS, [torch.ones(shape)])
    shares = points[0][0].detach().flatten(1)
    assert torch.equal(shares, shares[:, :1].expand_as(shares))
    assert len(shares[:, 0].unique()) == 8
    assert 0 <= shares.min() < shares.max() <= 1


def test_noise_of_samples_is_a_function_of_the_seed_that_leaves_no_trace() -> None:
    before = torch.get_rng_state()
    with adversarial.noise_from(3, torch.device("cpu")):
        drawn = torch.rand(4)
    assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(mix(3, "noise"))))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("is_training", [False, True])
def test_evaluation_gives_back_the_mode(is_training: bool) -> None:
    network = torch.nn.Linear(1, 1).train(is_training)
    with adversarial.evaluating(network):
        assert not network.training
    assert network.training == is_training


def test_activations_of_both_networks_are_limited() -> None:
    settings = {"channel_base": 64, "channel_max": 8, "latent_size": 8, "mapping_layers": 1}
    network = build(tiny_spec(kind="stylegan2", activation_clamp=4.0, **settings)).network
    for part in (network.generator, network.discriminator):
        limits = [layer.clamp for layer in part.modules() if isinstance(layer, Clamped)]
        assert limits
        assert None not in limits


def test_gradient_penalty_is_part_of_the_discriminators_loss() -> None:
    none, some = new_learner(loss="wgan"), new_learner(loss="wgan", gradient_penalty=10.0)
    values = []
    for learner in (none, some):
        torch.manual_seed(0)
        values.append(learner._play_discriminator(reals(), 0)["discriminator"])
    assert values[1] > values[0] + 1  # gradients are far from 1 long


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_every_loss_trains_both_networks(loss: str) -> None:
    learner = new_learner(loss=loss)
    before = copy.deepcopy(learner.network.state_dict())
    stepped(learner, range(1))
    after = learner.network.state_dict()
    assert not torch.equal(before["generator.paint.weight"], after["generator.paint.weight"])
    assert not torch.equal(before["discriminator.layers.1.weight"], after["discriminator.layers.1.weight"])


def test_both_kinds_of_images_are_shown_changed() -> None:
    """DiffAugment cuts squares out, so what is shown differs from what was made, also where R1 looks."""
    plain, changed = new_learner(), new_learner(augmentation={"kind": "diffaugment", "policy": ["cutout"]})
    images, labels = reals()[0]
    torch.manual_seed(0)
    assert plain._score([images], labels).equal(plain.network.discriminator([images], labels))
    assert not changed._score([images], labels).allclose(changed.network.discriminator([images], labels))
    (slopes,) = torch.autograd.grad(changed._score([images.requires_grad_()], labels).sum(), images)
    assert (slopes == 0).float().mean() > 0.1  # the discriminator does not see what is cut out


def test_adaptive_augmentation_follows_the_scores_and_is_continued() -> None:
    settings = {"augmentation": {"kind": "ada", "kimg": 0.1, "interval": 2}}
    learner = new_learner(**settings)
    torch.nn.init.constant_(learner.network.discriminator.layers[-1].bias, 100.0)  # all scores are positive
    stepped(learner, range(3))
    scalars = learner.step(reals(), 3)
    assert scalars["augmentation_probability"].item() == pytest.approx(2 * 2 * 8 / 100)
    twin = new_learner(**settings)
    twin.load(copy.deepcopy(learner.save()))
    assert same(stepped(twin, range(4, 7)).save(), stepped(learner, range(4, 7)).save())


def test_augmentation_is_adapted_by_the_images_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, adapted = new_learner(augmentation={"kind": "ada", "kimg": 0.1, "interval": 2}), []
    monkeypatch.setattr(distribution, "ranks", lambda: 3)
    monkeypatch.setattr(distribution, "average", lambda tensors: None)
    monkeypatch.setattr(
        learner.network.augmentation, "adapt", lambda scores, step, batch: adapted.append((len(scores), step, batch))
    )
    learner._play_discriminator(reals(), 5)
    assert adapted == [(8, 5, 24)]


def test_losses_fall_on_a_toy() -> None:
    """A discriminator that stays ahead of fakes of the wrong colour, and a generator that learns to be accepted."""
    learner = new_learner(
        r1_gamma=1.0, ema_kimg=0.05, generator_learning_rate=0.01, discriminator_learning_rate=0.01, style_mixing=0.0
    )
    grey = unlabelled([torch.full((16, 3, 8, 8), 0.8)])
    distance = {}
    for step in range(200):
        torch.manual_seed(step)
        learner.step(grey, step)
        if step in (0, 199):
            images = learner.sample(torch.zeros(64, 0), range(64))
            distance[step] = (images.mean() - 0.8).abs().item()
    assert distance[0] > 0.5
    assert distance[199] < 0.25


# ---------------------------------------------------------------------------------------------- sampling


def test_sampling_is_a_function_of_the_generator_and_leaves_no_trace() -> None:
    learner = stepped(new_learner(), range(2))
    learner.network.train()
    torch.manual_seed(5)
    expected_draw = torch.rand(())
    torch.manual_seed(5)
    one = learner.sample(NO_LABELS[:3], range(7, 7 + 3))
    assert torch.equal(torch.rand(()), expected_draw)
    two = learner.sample(NO_LABELS[:3], range(7, 7 + 3))
    assert torch.equal(one, two)  # noise included
    assert not torch.equal(one, learner.sample(NO_LABELS[:3], range(8, 8 + 3)))
    assert one.shape == (3, 3, 8, 8)
    assert not one.requires_grad
    assert learner.sampler.training


def test_truncation_by_zero_leaves_the_noise_only() -> None:
    learner = stepped(new_learner(), range(2))
    with torch.no_grad():
        learner.sampler.noise_strength.zero_()
    images = learner.sample(NO_LABELS[:4], range(4), truncation=0.0)
    torch.testing.assert_close(images[1:], images[:1].expand(3, -1, -1, -1))
    assert learner.sample(NO_LABELS[:4], range(4)).std(dim=0).mean() > 0.01


def test_the_mean_of_w_moves_once_a_step_by_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the microbatches, and by nothing that is drawn for mixing, regularisers or the discriminator."""
    learner = new_learner(style_mixing=1.0, path_length_weight=2.0)
    generator = learner.network.generator
    mapped, tracked = [], []
    make, track = generator.map, generator.track

    def watched(z: Tensor, labels: Tensor) -> Tensor:
        mapped.append(make(z, labels))
        return mapped[-1]

    monkeypatch.setattr(generator, "map", watched)
    monkeypatch.setattr(generator, "track", lambda w, step: (tracked.append((w, step)), track(w, step)))
    learner.step(reals(microbatches=2), 0)
    ((w, step),) = tracked
    assert step == 0
    assert torch.equal(w, torch.cat([mapped[0].chunk(2)[0], mapped[1].chunk(2)[0]]))  # the other halves are for mixing
    assert len(mapped) > 2
    torch.testing.assert_close(generator.w_average, w.detach().flatten(end_dim=-2).mean(dim=0))


@pytest.mark.parametrize("steps", [1, 3])
def test_the_average_of_w_is_a_mean_of_w_after_short_runs(steps: int) -> None:
    learner = stepped(new_learner(), range(steps))
    w = learner.network.generator.map(learner.network.generator.latents(4096), torch.zeros(4096, 0))
    spread = w.flatten(end_dim=-2).std(dim=0)
    assert ((learner.sampler.w_average - w.flatten(end_dim=-2).mean(dim=0)).abs() < spread).all()
    assert learner.sampler.w_average.abs().max() > 0.1 * spread.min()


def test_means_of_classes_are_of_the_same_4096_latents_512_at_a_time() -> None:
    asked, labels = [], []

    def map_(z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        asked.append(z)
        labels.append(label)
        return torch.stack([z, 3 * z], dim=1)

    sampler: Any = SimpleNamespace(w_average=torch.zeros(3), latent_shape=(3,), map=map_)
    found = adversarial.class_mean(sampler, torch.tensor([0.0, 1.0]))
    assert [len(z) for z in asked] == [512] * 8
    assert all(label.equal(torch.tensor([[0.0, 1.0]]).expand(512, 2)) for label in labels)
    expected = torch.randn(4096, 3, generator=torch.Generator().manual_seed(0))
    assert torch.cat(asked).equal(expected)
    torch.testing.assert_close(found, 2 * expected.mean(dim=0))


def test_means_of_classes_are_those_of_many_latents_and_of_the_present_weights() -> None:
    spec = Spec.model_validate(
        {
            "image": {"height": 8, "width": 8, "classes": 2},
            "mirror": False,
            "model": {"kind": "stylegan2", "channel_base": 64, "channel_max": 8, "latent_size": 8, "mapping_layers": 2},
            "training": {"kimg": 0.04, "batch": 4, "snapshots": 1},
            "seed": 0,
        }
    )
    learner = build(spec)
    assert isinstance(learner, Adversarial)
    label = torch.eye(2)
    before = learner.sample(label, [0, 1], truncation=0.0)
    torch.manual_seed(3)
    expected = torch.stack([learner.sampler.map(torch.randn(40_000, 8), one.expand(40_000, 2))[:, 0] for one in label])
    found = torch.stack([adversarial.class_mean(learner.sampler, one) for one in label])
    assert adversarial.class_mean(learner.sampler, label[1]).equal(found[1])
    error = 1.1 * expected.std(dim=1) / adversarial.CLASS_LATENTS**0.5
    assert ((found - expected.mean(dim=1)).abs() < 4.5 * error).all()
    assert learner.sample(label, [5, 6], truncation=0.0).equal(before)

    torch.manual_seed(0)
    learner.step([Reals(reals(batch=4)[0].images, label[[0, 1, 1, 0]])], 0)
    stepped_once = learner.sample(label, [0, 1], truncation=0.0)
    assert not stepped_once.equal(before)
    other = build(spec)
    other.sample(label, [0, 1], truncation=0.0)
    other.load(learner.save())
    assert other.sample(label, [0, 1], truncation=0.0).equal(stepped_once)


# -------------------------------------------------------------------------------------------- continuing


@pytest.mark.slow
def test_continues_where_it_stopped() -> None:
    settings = {"path_length_weight": 2.0, "r1_interval": 4}
    whole = stepped(new_learner(**settings), range(10))
    first = stepped(new_learner(**settings), range(6))
    second = build(tiny_spec(seed=9, adversarial=settings))
    second.load(copy.deepcopy(first.save()))
    assert same(second.save(), first.save())
    assert same(stepped(second, range(6, 10)).save(), whole.save())


def test_state_of_before_the_first_step_is_taken() -> None:
    first, second = new_learner(), build(tiny_spec(seed=9))
    second.load(copy.deepcopy(first.save()))
    assert same(second.save(), first.save())


def test_state_of_another_network_is_refused() -> None:
    wider = build(tiny_spec(latent_size=6))
    with pytest.raises(
        CheckpointError,
        match=r"the network's state .* mis-shaped: generator.*\[6\] instead of \[4\]",
    ):
        new_learner().load(wider.save())


def test_state_without_a_part_is_refused() -> None:
    state = new_learner().save()
    del state["generator_adam"], state["network"]["discriminator.layers.1.bias"]
    with pytest.raises(CheckpointError, match="the training state does not fit the model; missing: generator_adam"):
        new_learner().load(state)
    state = new_learner().save()
    state["network"]["generator.more"] = state["network"].pop("discriminator.layers.1.bias")
    with pytest.raises(CheckpointError, match=r"missing: discriminator\.layers\.1\.bias; not known: generator\.more"):
        new_learner().load(state)


def test_optimisers_of_other_parameters_are_refused() -> None:
    state = stepped(new_learner(), range(1)).save()
    state["generator_adam"]["state"][2]["exp_avg"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"the generator's optimiser .* parameter 2 \[3\] instead of"):
        new_learner().load(state)
    state = stepped(new_learner(), range(1)).save()
    state["discriminator_adam"]["param_groups"][0]["params"].pop()
    with pytest.raises(CheckpointError, match=r"the discriminator's optimiser .* missing: moments of parameter 3"):
        new_learner().load(state)
