"""Films have the pictures in their order, enlarged with hard pixels."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from ganformer.data import film
from ganformer.data.film import write_film
from ganformer.errors import DataError

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


@pytest.fixture
def frames() -> np.ndarray:
    """Three pictures of 3×5 pixels, each of one colour with a black corner."""
    pictures = np.broadcast_to(COLOURS[:, None, None], (3, 3, 5, 3)).copy()
    pictures[:, 0, 0] = 0
    return pictures


def test_a_gif_has_every_picture(frames: np.ndarray, tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.b", frames, "gif", rate=10)
    assert path == tmp_path / "a.b.gif"
    with Image.open(path) as opened:
        found = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(opened)]
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(opened)]
        assert opened.info["loop"] == 0
    assert durations == [100, 100, 100]
    factor = 86  # 3 × 86 is the first multiple of 3 that is at least 256
    assert np.array_equal(np.stack(found), frames.repeat(factor, 1).repeat(factor, 2))
    assert [each.name for each in tmp_path.iterdir()] == ["a.b.gif"]


def test_the_usual_rate_is_in_hundredths(frames: np.ndarray, tmp_path: Path) -> None:
    with Image.open(write_film(tmp_path / "a", frames, "gif")) as opened:
        assert opened.info["duration"] == 40
    with Image.open(write_film(tmp_path / "b", frames, "gif", rate=1000)) as opened:
        assert opened.info["duration"] == 20


def test_large_pictures_are_not_enlarged(tmp_path: Path) -> None:
    with Image.open(write_film(tmp_path / "a", np.zeros((2, 256, 300, 3), np.uint8), "gif")) as opened:
        assert opened.size == (300, 256)


def test_without_ffmpeg_there_is_a_gif(
    frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(film.shutil, "which", lambda name: None)
    assert write_film(tmp_path / "a", frames) == tmp_path / "a.gif"
    said = f"{tmp_path / 'a.mp4'}: there is no ffmpeg on the PATH, so {tmp_path / 'a.gif'} is written instead\n"
    assert capsys.readouterr().out == said


def _stand_in(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program that does `body` in the place of ffmpeg."""
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_ffmpeg_is_given_even_sides_and_every_byte(
    frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stand_in(tmp_path, f'echo "$@" > {tmp_path}/words; for last; do :; done; cat > "$last"', monkeypatch)
    path = write_film(tmp_path / "a", frames.repeat(2, 1)[:, :5], rate=12.5)  # 5×5 pixels, 52 times as large
    words = (tmp_path / "words").read_text().split()
    assert words[words.index("-s") + 1] == "260x260"
    assert words[words.index("-r") + 1] == "12.5"
    assert words[words.index("-pix_fmt") + 1] == "rgb24"
    assert len(path.read_bytes()) == 3 * 260 * 260 * 3
    odd = write_film(tmp_path / "b", np.full((1, 257, 259, 3), 7, np.uint8))
    words = (tmp_path / "words").read_text().split()
    assert words[words.index("-s") + 1] == "260x258"
    assert set(odd.read_bytes()) == {7}


def test_what_ffmpeg_says_is_the_error(frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(tmp_path, "cat > /dev/null; echo first >&2; echo no such codec >&2; exit 3", monkeypatch)
    with pytest.raises(
        DataError, match=r"a\.mp4: ffmpeg cannot write it \(no such codec\); ask for a gif, or mend ffmpeg"
    ):
        write_film(tmp_path / "a", frames)
    assert not list(tmp_path.glob("*a*"))


def test_ffmpeg_that_says_nothing(frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(tmp_path, "cat > /dev/null; exit 3", monkeypatch)
    with pytest.raises(DataError, match=r"ffmpeg cannot write it \(status 3\)"):
        write_film(tmp_path / "a", frames)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_real_mp4_has_every_picture(frames: np.ndarray, tmp_path: Path) -> None:
    path = write_film(tmp_path / "a", frames, rate=5)
    call = ["ffmpeg", "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(call, capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.uint8).reshape(-1, 258, 430, 3)
    assert len(found) == 15  # 25 a second, five of each
    assert np.abs(found[2::5, 200, 300].astype(int) - COLOURS).max() < 40  # chroma is coded with loss
