"""What can be watched while a run trains: log.jsonl, TensorBoard events, grids of samples. None is read back."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ganformer import artifacts
from ganformer.data.pictures import grid, save_picture
from ganformer.learning.samples import pixels


class Journal:
    """Writes `log.jsonl`, `tensorboard/{run}` and `samples/*.png` into the folder `out`.

    `run` tells runs of different settings apart that used the same folder. What was written of steps after `step`, the
    last finished one, is cut off, so that a resumed run has every step once. DataError where `out` cannot be written.
    """

    def __init__(self, out: Path, run: str, step: int) -> None:
        self.out, self.run = out, run
        log = out / "log.jsonl"
        if step == 0:
            for picture in (out / "samples").glob("*.png"):
                picture.unlink()
        artifacts.write_text(log, "".join(_kept(log, run, step)))
        self._log = log.open("a", encoding="utf-8", buffering=1)
        self._board = SummaryWriter(str(out / "tensorboard" / run), purge_step=step + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        self._board.close()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One line of `log.jsonl`, and a point in each of TensorBoard's curves."""
        self._log.write(json.dumps({"run": self.run, "step": step, **values}, allow_nan=False) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def show(self, tag: str, file: str, step: int, images: Tensor) -> None:
        """Images [N, C, H, W] in [-1, 1] under `tag` in TensorBoard, and as `samples/{file}.png`."""
        picture = grid(pixels(images))
        save_picture(self.out / "samples" / f"{file}.png", picture)
        self._board.add_image(tag, picture, step, dataformats="HWC")


def _kept(log: Path, run: str, step: int) -> Iterator[str]:
    """Lines of this run up to `step`; a line that a killed process left half-written goes too."""
    if not log.exists():
        return
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            record: Any = json.loads(line)
        except ValueError:
            continue
        if record.get("run") == run and record["step"] <= step:
            yield line
