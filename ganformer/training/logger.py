"""Logs of a training to watch: log.jsonl, TensorBoard events, grids of samples, Weights & Biases. None is read back."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ganformer import artifacts
from ganformer.data.pictures import grid, save_picture
from ganformer.records.run import LOG_FILE, STATE
from ganformer.training.samples import pixels
from ganformer.training.wandb_run import WandbRun


class RunLogger:
    """Writes `log.jsonl`, `tensorboard/{run}` and `samples/*.png` into the folder `out`.

    `run` distinguishes runs of different settings in the same folder. Lines of steps after `step`, the last
    finished one, are cut off, so that a resumed run has every step once. `wandb`: where the same goes, too. DataError
    if `out` cannot be written.
    """

    def __init__(self, out: Path, run: str, step: int, wandb: WandbRun | None = None) -> None:
        self.out, self.run, self._wandb = out, run, wandb
        if step == 0:
            for picture in (*(out / "samples").glob("kimg*.png"), out / "samples/reals.png"):
                picture.unlink(missing_ok=True)
        log = bring_back(out, run, step)
        self._log = log.open("a", encoding="utf-8", buffering=1)
        self._board = SummaryWriter(str(out / "tensorboard" / run), purge_step=step + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        self._board.close()
        if self._wandb is not None:
            self._wandb.close(failed=error is not None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write one line of `log.jsonl`, and a point in each of the curves elsewhere."""
        self._log.write(json.dumps({"run": self.run, "step": step, **values}, allow_nan=False) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(step, values)

    def show(self, tag: str, file: str, step: int, images: Tensor) -> None:
        """Write images [N, C, H, W] in [-1, 1] under `tag` in TensorBoard, and as `samples/{file}.png`."""
        picture, path = grid(pixels(images)), self.out / "samples" / f"{file}.png"
        save_picture(path, picture)
        self._board.add_image(tag, picture, step, dataformats="HWC")
        if self._wandb is not None:
            self._wandb.show(tag, step, path)


def bring_back(out: Path, run: str, step: int) -> Path:
    """Restore `log.jsonl` in `out` for this run up to `step`, and return its path.

    Lines of another run that used the folder before move to the state of that run, and back when it is trained again. A
    line that a killed process left half-written is dropped.
    """
    log, lines = out / LOG_FILE, dict[str, list[str]]()
    for name, _, line in _read(log):
        lines.setdefault(name, []).append(line)
    for name in lines.keys() - {run}:
        artifacts.write_text(_aside(out, name), "".join(lines[name]))
    found = _read(log if run in lines else _aside(out, run))
    artifacts.write_text(log, "".join(line for name, at, line in found if name == run and at <= step))
    return log


def _aside(out: Path, run: str) -> Path:
    return out / STATE / run / LOG_FILE


def _read(log: Path) -> list[tuple[str, int, str]]:
    """Return run, step and text of every whole line of a log; none if there is no file."""
    if not log.exists():
        return []
    found = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            record: Any = json.loads(line)
            found.append((str(record["run"]), int(record["step"]), line))
        except (ValueError, TypeError, KeyError):
            continue
    return found
