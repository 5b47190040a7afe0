"""Films of the samples of a training."""

import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganformer.analysis.timelapse import film, pictures_of
from ganformer.errors import ConfigError, DataError

COLOURS = [(255, 0, 0), (0, 200, 0), (0, 0, 90), (250, 250, 10)]


def picture(colour: tuple[int, ...], size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Return a picture of one colour with a white square in its upper left corner."""
    made = Image.new("RGB", size, colour)
    made.paste((255, 255, 255), (0, 0, 4, 4))
    return made


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Provide a run with four pictures, whose names do not sort as their numbers do, and other files."""
    (tmp_path / "run" / "samples").mkdir(parents=True)
    for name, colour in zip(
        ("kimg000002.500", "kimg000010.000", "kimg099999.000", "kimg1000000.000"), COLOURS, strict=True
    ):
        picture(colour).save(tmp_path / "run" / "samples" / f"{name}.png")
    picture((1, 2, 3)).save(tmp_path / "run" / "samples" / "reals.png")
    picture((1, 2, 3)).save(tmp_path / "run" / "samples" / "kimg-mine.png")
    return tmp_path / "run"


def frames(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Return the frames of a GIF as RGB, and their durations in milliseconds."""
    with Image.open(path) as gif:
        shown = []
        for number in range(gif.n_frames):
            gif.seek(number)
            shown.append((np.asarray(gif.convert("RGB")), gif.info["duration"]))
    return [each for each, _ in shown], [duration for _, duration in shown]


def test_a_gif_shows_the_pictures_in_their_order(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(run, tmp_path / "film.gif", seconds=2)
    shown, durations = frames(tmp_path / "film.gif")
    assert len(shown) == 4
    for frame, colour in zip(shown, COLOURS, strict=True):
        assert (frame == np.asarray(picture(colour))).all()
    assert durations == [500] * 4
    assert capsys.readouterr().out == f"{tmp_path / 'film.gif'}: 4 pictures of 40×20 pixels, 2 s\n"


def test_frames_are_not_shorter_than_programs_show_them(run: Path, tmp_path: Path) -> None:
    film(run, tmp_path / "film.gif", seconds=0.01)
    assert frames(tmp_path / "film.gif")[1] == [20] * 4


def test_labels_are_in_the_lower_left_corner(run: Path, tmp_path: Path) -> None:
    for path in pictures_of(run):
        picture(COLOURS[0], (160, 80)).save(path)
    film(run, tmp_path / "film.gif", is_labelled=True)
    shown, _ = frames(tmp_path / "film.gif")
    plain = np.asarray(picture(COLOURS[0], (160, 80)))
    different = [(frame != plain).any(axis=2) for frame in shown]
    for each in different:
        rows, columns = each.nonzero()
        assert rows.min() > 60
        assert columns.min() == 0
        assert columns.max() < 110
    assert len({each.tobytes() for each in shown}) == 4  # each has a number of its own


def test_grey_pictures_and_such_with_opacity(run: Path, tmp_path: Path) -> None:
    first, second, *others = pictures_of(run)
    for path in others:
        path.unlink()
    Image.new("L", (40, 20), 77).save(first)
    Image.new("RGBA", (40, 20), (10, 20, 30, 0)).save(second)
    film(run / "run.json", tmp_path / "film.gif")
    shown, durations = frames(tmp_path / "film.gif")
    assert [np.unique(frame).tolist() for frame in shown] == [[77], [255]]
    assert durations == [5000, 5000]


def test_a_run_without_pictures_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "empty"):
        (tmp_path / "empty" / "samples").mkdir(parents=True, exist_ok=True)
        message = f"{folder / 'samples'}: has no pictures kimg….png; name the folder of a run"
        with pytest.raises(DataError, match=f"^{re.escape(message)} that was trained here, past its first snapshot$"):
            film(folder, tmp_path / "film.gif")
    with pytest.raises(DataError, match="gone: is not there; name the folder of a run that was trained here"):
        film(tmp_path / "gone", tmp_path / "film.gif")
    assert not (tmp_path / "film.gif").exists()


@pytest.mark.parametrize("name", ["film.avi", "film"])
def test_other_films_are_refused(run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: a film is a \.gif or \.mp4 file; name one$"):
        film(run, tmp_path / name)


def test_pictures_of_several_sizes_are_refused(run: Path, tmp_path: Path) -> None:
    picture(COLOURS[0], (8, 8)).save(pictures_of(run)[0])
    with pytest.raises(
        DataError, match="samples: the pictures are of several sizes, as of several runs; remove others"
    ):
        film(run, tmp_path / "film.gif")


def test_a_damaged_picture_is_named(run: Path, tmp_path: Path) -> None:
    path = pictures_of(run)[1]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=rf"{path.name}: is not a whole picture \(.+\); remove it"):
        film(run, tmp_path / "film.gif")


# ----------------------------------------------------------------------------------------------------- mp4


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the folder of a stand-in for ffmpeg, which notes its arguments and writes what it reads."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "ffmpeg"
    script.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/words"\nfor last; do :; done\nexec /bin/cat > "$last"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    return folder


def test_mp4_is_written_by_ffmpeg(run: Path, tmp_path: Path, program: Path) -> None:
    film(run, tmp_path / "film.mp4", seconds=2)
    words = (program / "words").read_text().split()
    assert [words[number + 1] for number, word in enumerate(words) if word == "-r"] == ["2", "25"]
    content = np.frombuffer((tmp_path / "film.mp4").read_bytes(), np.uint8).reshape(4, 20, 40, 3)
    assert (content[-1] == np.asarray(picture(COLOURS[-1]))).all()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_the_real_ffmpeg_understands_it(run: Path, tmp_path: Path) -> None:
    for path in pictures_of(run):
        picture(COLOURS[0], (41, 21)).save(path)  # odd, which H.264 is not
    film(run, tmp_path / "film.mp4", seconds=0.4)
    assert (tmp_path / "film.mp4").read_bytes()[4:8] == b"ftyp"


def test_a_failure_of_ffmpeg_is_told(run: Path, tmp_path: Path, program: Path) -> None:
    (program / "ffmpeg").write_text('#!/bin/sh\ncat > /dev/null\necho "Unknown encoder" >&2\nexit 1\n')
    with pytest.raises(DataError, match=r"film\.mp4: ffmpeg cannot write it \(Unknown encoder\); ask for a gif"):
        film(run, tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()


def test_without_ffmpeg_there_is_no_mp4(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    message = r"film\.mp4: ffmpeg, which writes mp4, is not installed; install it, or name a \.gif file"
    with pytest.raises(ConfigError, match=message):
        film(run, tmp_path / "film.mp4")
