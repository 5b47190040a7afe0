"""A projection finds the latents of a generated picture again, goes on where it was stopped, and says what is wrong."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganformer import config
from ganformer.analysis import explorer, projection
from ganformer.analysis.explorer import Explorer
from ganformer.analysis.projection import Search, Target, correlation, find, project, targets
from ganformer.config import Looking
from ganformer.config.projection import Projection
from ganformer.errors import ConfigError, DataError, TrainingError
from ganformer.nn.layers import Noise
from ganformer.perceptual import distance
from ganformer.perceptual.settings import RandomNetwork
from ganformer.records.npz import LatentsFile, Projected
from ganformer.training.samples import normalise
from tests.analysis.untrained import open_untrained
from tests.pictures import on_white

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"distance": {"kind": "random-vgg16", "channels": 4}}


def wanted(run: Explorer, seed: int) -> Target:
    """Return the picture of a seed, at ψ 1."""
    with explorer.looking(run, 1):
        return Target(f"seed{seed}", explorer.coloured(run.samples([seed]))[0], "0" * 64)


def search(run: Explorer, target: Target, **settings: Any) -> Search:
    chosen = Projection.model_validate(SMALL | settings)
    with explorer.looking(run, 1):
        network = distance.load(chosen.distance, run.device, "d")
        return Search(run, chosen, target, network, projection.spread_of(run, chosen.label))


def run_to_end(run: Explorer, begun: Search, steps: int | None = None) -> None:
    with explorer.looking(run, 1), torch.enable_grad():
        for _ in range(begun.settings.steps if steps is None else steps):
            begun.step()


@pytest.mark.parametrize("name", ["stylegan2", "duplex", "kgan"])
def test_a_result_is_as_near_as_the_best_start_or_nearer(name: str) -> None:
    run = open_untrained(name)
    target = wanted(run, 11)
    begun = search(run, target, steps=20, candidates=32)
    with explorer.looking(run, 1):
        first = begun.measure(begun.images(begun.w))
    run_to_end(run, begun)
    with explorer.looking(run, 1):
        found = begun.found()
        assert found.distance <= float(first.min())
        assert found.distance == min(found.distances)
        assert len(found.distances) == 4
        assert np.array_equal(run.pictures(found.w[None])[0], found.picture)
    assert found.w.shape == run.mean().shape[1:]
    assert torch.equal(found.w, found.w[:1].expand_as(found.w))  # one w for all layers


@pytest.mark.slow
@pytest.mark.parametrize("model", ["stylegan2", "duplex"])
def test_a_generated_picture_is_found(model: str) -> None:
    """The picture of a trained model is found again, to a few of 255 levels on average; other pictures are 20 apart."""
    run = explorer.opened(ROOT / "pretrained" / f"scenes-{model}")
    target = wanted(run, 11)
    begun = search(run, target, steps=100, candidates=64, starts=2, distance={"kind": "random-vgg16", "channels": 8})
    with explorer.looking(run, 1):
        first = float(begun.measure(begun.images(begun.w)).min())
    run_to_end(run, begun)
    with explorer.looking(run, 1):
        found = begun.found()
    assert found.distance < 0.1 * first
    assert np.abs(found.picture.astype(int) - target.pixels).mean() < 5


def test_a_w_for_each_layer_comes_nearer() -> None:
    run = open_untrained("stylegan2")
    target = Target("x", np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8), "0" * 64)
    found = {}
    for space in ("w", "layers"):
        begun = search(run, target, steps=60, space=space, starts=1, candidates=0)
        run_to_end(run, begun)
        with explorer.looking(run, 1):
            found[space] = begun.found()
    assert found["layers"].distance < found["w"].distance
    assert not torch.equal(found["layers"].w[0], found["layers"].w[-1])


def test_the_first_start_is_the_mean_and_the_others_are_the_nearest_candidates() -> None:
    run = open_untrained("stylegan2")
    begun = search(run, wanted(run, 3), starts=3, candidates=40)
    with explorer.looking(run, 1):
        z = torch.randn(4096, 16, generator=torch.Generator().manual_seed(0))
        w = run.generator.map(z, torch.zeros(4096, 0))[:, 0]
        torch.testing.assert_close(begun.w[0, 0], w.mean(dim=0), atol=1e-5, rtol=1e-4)
        assert begun.deviation == pytest.approx(float((w - w.mean(dim=0)).norm(dim=1).square().mean().sqrt()), rel=1e-4)
        seeds = torch.randint(2**31, (40,), generator=torch.Generator().manual_seed(0)).tolist()
        drawn = run.generator.map(*run.drawn(seeds))
        nearest = begun.measure(begun.images(drawn)).argsort(stable=True)[:2]
        torch.testing.assert_close(begun.w[1:, 0], drawn[nearest, 0])


def test_without_candidates_all_starts_are_the_mean() -> None:
    run = open_untrained("gan")
    begun = search(run, wanted(run, 3), starts=3, candidates=0)
    assert torch.equal(begun.w, begun.w[:1].expand_as(begun.w))
    few = search(run, wanted(run, 3), starts=4, candidates=1)
    assert torch.equal(few.w[0], few.w[2])
    assert torch.equal(few.w[0], few.w[3])
    assert not torch.equal(few.w[0], few.w[1])


@pytest.mark.parametrize(
    ("progress", "rate"), [(0.0, 0.0), (0.025, 0.5), (0.05, 1.0), (0.75, 1.0), (0.875, 0.5), (1.0, 0.0)]
)
def test_the_learning_rate_rises_and_falls(progress: float, rate: float) -> None:
    assert projection._rate(progress) == pytest.approx(rate)


def test_exploration_ends_after_three_quarters_of_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_untrained("stylegan2")
    begun = search(run, wanted(run, 3), starts=1, candidates=0, steps=8, learning_rate=1e-9)
    seen: list[torch.Tensor] = []
    images = begun.images
    monkeypatch.setattr(begun, "images", lambda w: seen.append(w.detach().clone()) or images(w))
    run_to_end(run, begun)
    moved = [float((w - begun.w.detach()).norm() / begun.w[0].numel() ** 0.5) for w in seen]
    for step, found in enumerate(moved):
        expected = begun.deviation * 0.05 * max(0.0, 1 - step / 8 / 0.75) ** 2
        assert found == pytest.approx(expected, rel=0.6, abs=1e-6), step
    assert moved[6:] == pytest.approx([0, 0], abs=1e-6)


def test_optimised_noise_comes_nearer_and_stays_normal() -> None:
    run = open_untrained("stylegan2")
    target = Target("x", np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8), "0" * 64)
    plain, noisy = (
        search(run, target, steps=40, starts=2, candidates=0, noise=noise, noise_weight=1.0)
        for noise in ("constant", "optimised")
    )
    layers = [part for part in run.generator.modules() if isinstance(part, Noise)]
    before = [layer.constant.clone() for layer in layers]
    for begun in (plain, noisy):
        run_to_end(run, begun)
    with explorer.looking(run, 1):
        found = noisy.found()
    for noise, layer, constant in zip(found.noises, layers, before, strict=True):
        assert noise.shape == constant.shape
        assert abs(float(noise.mean())) < 1e-5
        assert float(noise.square().mean()) == pytest.approx(1, abs=1e-4)
        assert not torch.equal(noise, constant)
        assert torch.equal(layer.constant, constant)  # those of the model are as they were


def test_correlation_of_noise() -> None:
    flat = torch.ones(1, 1, 16, 16)
    torch.testing.assert_close(correlation(flat), torch.tensor([4.0]))  # two directions, 16 and 8 pixels
    stripes = torch.ones(1, 1, 8, 8)
    stripes[..., ::2] = -1
    torch.testing.assert_close(correlation(stripes), torch.tensor([2.0]))  # −1 squared, and 1
    two = torch.cat([torch.zeros(1, 1, 8, 8), stripes])
    torch.testing.assert_close(correlation(two), torch.tensor([0.0, 2.0]))


def test_pixels_can_be_measured_as_well() -> None:
    run = open_untrained("gan")
    target = wanted(run, 3)
    plain, mixed = search(run, target), search(run, target, pixel_weight=3)
    with explorer.looking(run, 1):
        images = plain.images(plain.w)
        apart = (images - plain.target).square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(mixed.measure(images), plain.measure(images) + 3 * apart)


def test_the_distance_is_that_of_the_pair() -> None:
    network = distance.load(RandomNetwork(channels=4), torch.device("cpu"), "d")
    run = open_untrained("gan")
    begun = search(run, wanted(run, 3))
    with explorer.looking(run, 1):
        images = begun.images(begun.w)
        torch.testing.assert_close(begun.measure(images), network.each(images, begun.target.expand_as(images)))


def test_pictures_with_opacity_are_compared_on_white() -> None:
    run = open_untrained("gan", colours=4)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    begun = search(run, Target("picture", pixels, "0" * 64))
    expected = normalise(torch.from_numpy(on_white(pixels, axis=-1))).permute(2, 0, 1)[None]
    torch.testing.assert_close(begun.target, expected, rtol=0, atol=0.51 / 127.5)
    with explorer.looking(run, 1):
        found, made = begun.images(begun.w), run.generator.synthesise(begun.w.expand(-1, begun.layers, -1))
    opacity = (made[:, 3:] + 1) / 2
    torch.testing.assert_close(found, made[:, :3] * opacity + 1 - opacity)


# ------------------------------------------------------------------------------------------------- files


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Provide a folder with two pictures of 16×16 pixels, and a text."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("b", "a"):
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "readme.txt").write_text("text")
    (folder / "._a.png").write_bytes(b"of another system")
    return folder


def quick(**settings: Any) -> Projection:
    return Projection.model_validate(SMALL | {"steps": 6, "starts": 2, "candidates": 4} | settings)


def test_files_of_a_projection(runs: dict[str, Path], pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    project(quick(noise="optimised"), runs["duplex"], [pictures], out, film="gif")
    names = ["found/a.gif", "found/a.png", "found/b.gif", "found/b.png", "latents.npz", "projected.png"]
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == names
    facts, arrays = Projected.read(out / "latents.npz")
    assert facts.names == ["a", "b"]
    assert facts.projection["steps"] == 6
    assert arrays["starts"].shape == (2, 2)
    assert np.array_equal(arrays["distances"], arrays["starts"].min(axis=1))
    for number, name in enumerate(facts.names):
        assert np.array_equal(arrays["targets"][number], np.asarray(Image.open(pictures / f"{name}.png")))
        assert np.array_equal(arrays["pictures"][number], np.asarray(Image.open(out / "found" / f"{name}.png")))
    with Image.open(out / "found" / "a.gif") as film:
        assert film.n_frames == 7
        assert film.size == (2 * 256, 256)
    assert arrays["noise_0"].shape == (2, 1, 4, 4)
    assert LatentsFile.read(out / "latents.npz")[0].names == ["a", "b"]


def test_projected_pictures_can_be_looked_at(runs: dict[str, Path], pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    project(quick(), runs["duplex"], [pictures / "a.png", pictures / "b.png"], out, film="gif")
    settings = config.parse(
        Looking, {"look": {"kind": "interpolation", "latents": out / "latents.npz", "steps": 1}}, "l"
    )
    from ganformer.analysis.looking import take

    view = take(settings.look, explorer.opened(runs["duplex"]))
    assert view.rows == ["a to b"]
    assert np.array_equal(view.cells[0, 0], np.asarray(Image.open(out / "found" / "a.png")))


def test_a_search_that_was_stopped_goes_on_to_the_same_result(
    runs: dict[str, Path], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = quick(noise="optimised")
    project(settings, runs["stylegan2"], [pictures], tmp_path / "whole", film="gif")
    step, count = Search.step, 0

    def stopped(self: Search) -> None:
        nonlocal count
        step(self)
        count += 1
        if count in (3, 8):  # within the first picture, and within the second
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Search, "step", stopped)
    for at in (3, 2):
        with pytest.raises(TrainingError, match=f"stopped by SIGTERM at step {at}; run again to resume"):
            project(settings, runs["stylegan2"], [pictures], tmp_path / "parts", film="gif")
        assert [path.name for path in (tmp_path / "parts").iterdir()] == ["state.pt"]
    project(settings, runs["stylegan2"], [pictures], tmp_path / "parts", film="gif")
    assert count == 12  # no step was done twice
    files = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.*")]
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes(), file
    assert not (tmp_path / "parts" / "state.pt").exists()


def test_the_state_of_another_call_is_not_continued(runs: dict[str, Path], pictures: Path, tmp_path: Path) -> None:
    run = explorer.opened(runs["stylegan2"])
    chosen = targets([pictures / "a.png"], run)
    tmp_path.joinpath("out").mkdir()
    first = find(run, quick(), chosen, tmp_path / "out", 1)
    again = find(run, quick(), chosen, tmp_path / "out", 1)
    assert [each.distance for each in again] == [each.distance for each in first]
    other = find(run, quick(seed=1), chosen, tmp_path / "out", 1)
    assert other[0].distance != first[0].distance


def test_the_same_call_again_is_the_same_and_another_one_is_refused(
    runs: dict[str, Path], pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    project(quick(), runs["stylegan2"], [pictures], out, film="gif")
    before = {path.name: path.read_bytes() for path in out.rglob("*.*")}
    project(quick(), runs["stylegan2"], [pictures], out, film="gif")
    assert {path.name: path.read_bytes() for path in out.rglob("*.*")} == before
    message = r"out: holds a projection of other pictures, settings or weights; choose another folder"
    for settings, chosen in ((quick(seed=2), pictures), (quick(), pictures / "a.png")):
        with pytest.raises(ConfigError, match=message):
            project(settings, runs["stylegan2"], [chosen], out, film="gif")
    with pytest.raises(ConfigError, match=r"pictures: has a\.png, which no projection wrote; choose a new or an empty"):
        project(quick(), runs["stylegan2"], [pictures], pictures)


def test_pictures_that_are_none(runs: dict[str, Path], pictures: Path, tmp_path: Path) -> None:
    run = explorer.opened(runs["stylegan2"])
    with pytest.raises(DataError, match=r"readme\.txt: is no picture that can be read \(.*\); name another one"):
        targets([pictures / "readme.txt"], run)
    with pytest.raises(
        DataError,
        match=r"gone\.png: cannot be read \(No such file or directory\); name a picture or a folder of them",
    ):
        targets([pictures / "gone.png"], run)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: has no pictures \(.*\.png.*\); name another folder"):
        targets([tmp_path / "empty"], run)
    with pytest.raises(DataError, match="a: two pictures have this name; rename one, or project them into two folders"):
        targets([pictures, pictures / "a.png"], run)


def test_pictures_of_another_size_are_cropped_and_resized(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.zeros((32, 40, 3), np.uint8)
    pixels[:, 4:36] = 200  # the middle is of one colour
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    (found,) = targets([tmp_path / "wide.png"], explorer.opened(runs["stylegan2"]))
    assert found.name == "wide"
    assert (found.pixels == 200).all()
    assert found.pixels.shape == (16, 16, 3)
    assert capsys.readouterr().out == f"{tmp_path}/wide.png: 40×32 pixels, cropped and resized to 16×16\n"


def test_a_model_without_latents(pictures: Path) -> None:
    run = open_untrained("vqgan")
    with pytest.raises(
        ConfigError, match=r"models of kind 'vqgan' have no latents that are mapped; take a run of gan or"
    ):
        find(run, quick(), [], None, 1)


@pytest.mark.parametrize("text", ["random-vgg16", '{"kind": "random-vgg16", "channels": 64}'])
def test_the_distance_is_named_or_written_as_json(text: str) -> None:
    assert Projection.model_validate({"distance": text}).distance == RandomNetwork()


def test_an_unknown_distance() -> None:
    with pytest.raises(ConfigError, match="distance: kind 'lpips' is unknown; allowed: random-vgg16, vgg16"):
        config.parse(Projection, {"distance": "lpips"}, "project")
