"""Every control of the page changes what it says; Streamlit's own test program takes the place of the browser."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="needs the extra demo")

from streamlit.testing.v1 import AppTest

from ganformer.demo import app, server, studio
from ganformer.demo.studio import Studio
from ganformer.report import pretrained
from ganformer.training.loop import train
from tests.training.tiny_runs import NAMES, tiny_spec, write_pack

ROOT = Path(__file__).resolve().parents[2]
Open = Callable[..., AppTest]

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Provide a function that opens the page with a pretrained model first."""

    def open_(name: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["app.py", "1", str(ROOT / "pretrained" / f"scenes-{name}")])
        page = AppTest.from_file(str(server.APP), default_timeout=60)
        return page.run()

    return open_


def command(page: AppTest) -> str:
    assert not page.exception
    return str(page.code[0].value)


def state(page: AppTest) -> Any:
    return page.session_state


def caption(page: AppTest) -> str:
    return str(page.caption[0].value)


def test_the_page_begins_with_seed_0_of_the_run_that_was_given(opened: Open) -> None:
    page = opened("kgan")
    run = page.selectbox(key="weights").value
    assert run == str(ROOT / "pretrained" / "scenes-kgan")
    assert command(page) == f"ganformer generate --weights {run} --seed 0 --images-num 1 --truncation-psi 0.7"
    assert "pretrained/scenes-duplex" in page.selectbox(key="weights").options


def test_seed_and_truncation(opened: Open) -> None:
    page = opened("stylegan2")
    page.number_input(key="seed").set_value(12).run()
    page.slider(key="truncation").set_value(0.4).run()
    assert command(page).endswith("--seed 12 --images-num 1 --truncation-psi 0.4")


def test_without_any_run_the_page_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "1"])
    monkeypatch.setattr(pretrained, "places", list)
    page = AppTest.from_file(str(server.APP), default_timeout=60).run()
    assert not page.exception
    assert [error.value for error in page.error] == [
        "There is no run to show; give one with `ganformer demo --weights RUN`."
    ]
    assert not page.sidebar.children


def test_another_run_begins_anew(opened: Open) -> None:
    page = opened("kgan")
    page.multiselect(key="chosen").set_value([1]).run()
    page.button(key="remove").click().run()
    assert "--absent 1" in command(page)
    page.selectbox(key="weights").set_value("pretrained/scenes-duplex").run()
    assert "--absent" not in command(page)
    assert len(state(page).sources) == 9


def test_edits_of_components(opened: Open) -> None:
    page = opened("kgan")
    page.multiselect(key="chosen").set_value([0, 2]).run()
    page.number_input(key="donor").set_value(77).run()
    page.button(key="swap").click().run()
    assert state(page).sources == [77, 0, 77, 0]
    assert caption(page) == "latents come from seeds 77, 0, 77, 0"
    page.multiselect(key="chosen").set_value([1]).run()
    page.button(key="resample").click().run()
    first = state(page).sources[1]
    assert first == app.FIRST_DRAWN + 1
    page.button(key="resample").click().run()
    assert state(page).sources[1] == first + 1
    page.button(key="lock").click().run()
    page.number_input(key="seed").set_value(3).run()
    assert state(page).sources == [3, first + 1, 3, 3]
    assert "locked: component 1" in caption(page)
    page.button(key="unlock").click().run()
    page.number_input(key="seed").set_value(5).run()
    assert state(page).sources == [5, 5, 5, 5]
    page.button(key="remove").click().run()
    assert "removed: 1" in caption(page)
    assert command(page).endswith("--latents latents.npz --absent 1")
    page.button(key="restore").click().run()
    assert "removed" not in caption(page)
    assert "--seed 5" in command(page)


def test_one_component_has_to_stay(opened: Open) -> None:
    page = opened("kgan")
    page.multiselect(key="chosen").set_value([0, 1, 2, 3]).run()
    page.button(key="remove").click().run()
    assert [warning.value for warning in page.warning] == ["One component has to stay."]
    assert state(page).absent == set()


def test_the_global_latent_is_swapped_but_not_removed(opened: Open) -> None:
    page = opened("duplex")
    page.multiselect(key="chosen").set_value([8]).run()
    page.button(key="remove").click().run()
    assert state(page).absent == set()
    page.button(key="swap").click().run()
    assert state(page).sources == [0] * 8 + [4]


def test_two_saved_pictures_and_the_way_between(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened("stylegan2")
    assert "Save two pictures" in page.caption[0].value
    page.button(key="save-A").click().run()
    page.number_input(key="seed").set_value(9).run()
    page.button(key="save-B").click().run()
    saved = dict(state(page).saved)
    made: list[Any] = []
    seen = Studio.seen
    monkeypatch.setattr(Studio, "seen", lambda self, w, absent=(): made.append(w) or seen(self, w, absent))
    page.toggle(key="between").set_value(True).run()
    page.slider(key="part").set_value(0.25).run()
    assert not page.exception
    assert np.allclose(made[-1], 0.75 * saved["A"] + 0.25 * saved["B"], atol=1e-6)
    assert np.allclose(made[-2], saved["A"])
    assert command(page).endswith("/scenes-stylegan2 --latents latents.npz")
    page.toggle(key="between").set_value(False).run()
    assert "--seed 9" in command(page)


def test_attention_is_laid_over_the_picture(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened("duplex")
    laid: list[Any] = []
    overlay = Studio.overlay
    monkeypatch.setattr(Studio, "overlay", lambda self, *given: laid.append(given[1:]) or overlay(self, *given))
    page.selectbox(key="layer").set_value("layer 1, 8×8").run()
    page.slider(key="alpha").set_value(0.3).run()
    assert not page.exception
    assert [alpha for _, alpha in laid] == [0.6, 0.3]
    assert laid[0][0].shape == (32, 32)


def test_a_model_of_codes(opened: Open) -> None:
    page = opened("vqgan")
    page.number_input(key="seed").set_value(2).run()
    assert command(page).endswith("--seed 2 --images-num 1 --truncation-psi 0.7")
    assert not page.multiselect


def test_an_uploaded_picture_is_found(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened("stylegan2")
    assert page.button(key="project").disabled
    monkeypatch.setitem(studio.PROJECTION, "steps", 3)
    from ganformer.demo.studio import as_png

    content = as_png(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    page.file_uploader(key="file").set_value(("mine.png", content, "image/png")).run()
    page.button(key="project").click().run()
    assert not page.exception
    assert state(page).sources == ["upload"]
    assert "--latents latents.npz" in command(page)
    page.file_uploader(key="file").set_value(("mine.png", b"no picture", "image/png")).run()
    page.button(key="project").click().run()
    assert "is no picture that can be read" in page.error[0].value


@pytest.mark.parametrize(("name", "count"), [("kgan", 3), ("stylegan2", 2), ("vqgan", 1)])
def test_a_picture_and_what_it_was_made_of_can_be_downloaded(opened: Open, name: str, count: int) -> None:
    titles = ["Download the picture", "Download its latents", "Download its masks"]
    assert [button.proto.label for button in opened(name).get("download_button")] == titles[:count]


def test_boxes_of_selections() -> None:
    assert app.box_of({"x": [0.25, 0.5], "y": [0.9, 0.8]}) == pytest.approx((0.25, 0.1, 0.5, 0.2))
    assert app.box_of({}) is None
    assert app.box_of({"x": [0, 1]}) is None


def test_a_run_in_training_is_shown_at_its_newest_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    spec = tiny_spec(2, kind="stylegan2", channel_base=64, channel_max=8, latent_size=16, mapping_layers=1)
    train(spec, write_pack(tmp_path / "pack", 40), out, names=NAMES, threads=1, gpus=0)
    finished = app.version(out)
    (out / "run.json").unlink()
    assert app.version(out) == "checkpoint-00000002.pt" != finished
    monkeypatch.setattr(sys, "argv", ["app.py", "1", str(out)])
    page = AppTest.from_file(str(server.APP), default_timeout=60).run()
    assert command(page) == f"ganformer generate --weights {out} --seed 0 --images-num 1 --truncation-psi 0.7"
