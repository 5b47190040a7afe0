"""The demo is served on this machine alone, and works in a real browser without any other machine."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganformer.demo import server
from ganformer.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
KGAN = ROOT / "pretrained" / "scenes-kgan"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_call_of_streamlit() -> None:
    call = server.call([Path("a"), Path("b")], 8123, 3, is_headless=True)
    assert call[:4] == [sys.executable, "-m", "streamlit", "run"]
    assert Path(call[4]) == Path(server.__file__).with_name("app.py")
    options = dict(zip(call[5:-4:2], call[6:-4:2], strict=True))
    assert options == {
        "--server.address": "127.0.0.1",
        "--server.port": "8123",
        "--server.headless": "true",
        "--server.fileWatcherType": "none",
        "--browser.gatherUsageStats": "false",
        "--client.toolbarMode": "minimal",
    }
    assert call[-4:] == ["--", "3", "a", "b"]
    assert "false" in server.call([], 8123, 1, is_headless=False)


def test_runs_are_looked_for_before_anything_is_served(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(server.subprocess, "run", lambda *given, **more: calls.append((given, more)))
    port = free_port()
    server.serve([KGAN / "run.json"], port, 2, is_headless=True)
    (((call,), more),) = calls
    assert call == server.call([KGAN], port, 2, is_headless=True)
    assert more == {"check": False}
    assert capsys.readouterr().out == f"demo: http://127.0.0.1:{port}; end it with Ctrl-C\n"
    monkeypatch.setattr(server, "is_unfinished", lambda path: path == Path("in training"))
    server.serve([Path("in training")], port, 2, is_headless=True)
    assert calls.pop()[0][0][-1] == "in training"
    with pytest.raises(ConfigError, match=r"absent: there is no run\.json here; name the folder of a finished or"):
        server.serve([Path("absent")], port, 2, is_headless=True)
    assert len(calls) == 1


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: name)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"--port {port}: cannot be used \(Address already in use\); choose another"
        ):
            server.serve([], port, 2, is_headless=True)


def test_without_streamlit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"needs Streamlit, which is not installed; in the clone: pip install -e '\.\[demo\]'"
    ):
        server.serve([], free_port(), 1, is_headless=True)


# ----------------------------------------------------------------------------------------------- browser


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """Provide a browser that shows the demo of k-GAN's pretrained weights."""
    pytest.importorskip("streamlit", reason="needs the extra demo")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    quiet = [
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-quic",
        "no-first-run",
    ]
    for word in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "window-size=1400,1400",
        f"user-data-dir={tmp_path}/c",
        *quiet,
    ):
        options.add_argument(f"--{word}")
    port = free_port()
    words = ["demo", "--port", str(port), "--no-browser", "--weights", str(KGAN)]
    running = subprocess.Popen([sys.executable, "-m", "ganformer", *words], cwd=tmp_path, start_new_session=True)
    try:
        wait_for(lambda: reachable(port), 60)
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            browser.get(f"http://127.0.0.1:{port}")
            yield browser
        finally:
            browser.quit()
    finally:
        subprocess.run(["pkill", "-g", str(running.pid)], check=False)
        running.wait(30)


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Any, seconds: float = 60) -> Any:
    """Return the first true result of a condition; AssertionError if there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError("not in time")


@pytest.mark.slow
def test_the_demo_in_a_browser(page: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def text() -> str:
        return str(page.find_element(By.TAG_NAME, "body").text)

    def button(title: str) -> Any:
        return wait_for(lambda: page.find_elements(By.XPATH, f"//button[normalize-space(.)='{title}']"))[0]

    def picture() -> Any:
        return wait_for(
            lambda: page.find_elements(
                By.CSS_SELECTOR, "[data-testid='stVegaLiteChart'] canvas, [data-testid='stVegaLiteChart'] svg.marks"
            )
        )[0]

    wait_for(lambda: "--seed 0 --images-num 1" in text())
    before = wait_for(lambda: picture().screenshot_as_png)
    seed = page.find_element(By.CSS_SELECTOR, "input[aria-label='Seed']")
    seed.send_keys(Keys.CONTROL, "a")
    seed.send_keys("7", Keys.ENTER)
    wait_for(lambda: "--seed 7 --images-num 1" in text())
    wait_for(lambda: picture().screenshot_as_png != before)
    # A box is drawn over the picture: the component that is strongest there can be chosen, and removed.
    ActionChains(page).move_to_element_with_offset(picture(), -60, -60).click_and_hold().move_by_offset(
        80, 70
    ).release().perform()
    wait_for(lambda: "is the strongest" in text())
    button("Choose it").click()
    wait_for(lambda: not button("Remove").get_attribute("disabled"))
    button("Remove").click()
    wait_for(lambda: "--latents latents.npz --absent" in text())
    button("Restore all").click()
    wait_for(lambda: "--absent" not in text())
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "mine.png")
    page.find_element(By.CSS_SELECTOR, "input[type='file']").send_keys(str(tmp_path / "mine.png"))
    wait_for(lambda: not button("Find its latents").get_attribute("disabled"))
    page.save_screenshot(str(tmp_path / "page.png"))
    loaded = page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    assert [name for name in loaded if not name.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []
