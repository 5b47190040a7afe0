"""Built-in scenes, read by a small network that learns from scenes of the same kind (`ganformer.scenes.parser`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganformer import artifacts
from ganformer.config import Dataset, Parsing
from ganformer.errors import UserError
from ganformer.records.parser import PARSER_FILE, SceneParserSubject
from ganformer.scenes import parser
from ganformer.scenes.parser import Parser
from ganformer.scenes.parser_settings import Settings


class Reader(Parser):
    """Network that names properties of objects."""

    attributes = parser.ATTRIBUTES
    paired = ("shape", "colour")

    @property
    def about(self) -> Mapping[str, Any]:
        """Kind and settings."""
        return {"kind": "scenes", **self.settings.model_dump(mode="json")}


def prepare(config: Parsing, dataset: Dataset, out: Path, *, threads: int, gpus: int) -> None:
    """Train the network, and measures it. Raises ConfigError for other data sets and what `train` does."""
    settings = Settings.of(dataset, **config.model_dump(exclude={"kind"}))
    path = out / PARSER_FILE
    origin = SceneParserSubject(kind=config.kind, settings=settings.model_dump(mode="json"))
    if artifacts.is_kept(path, artifacts.read_existing(path) if _is_whole(path) else None, origin.content()):
        return
    parser.train(settings, threads=threads, gpus=gpus).save(out, config.kind)


def _is_whole(path: Path) -> bool:
    try:
        load(path)
    except UserError:
        return False
    return True


def load(path: Path) -> Reader:
    """Return the trained network, on the CPU. CheckpointError if its files do not fit."""
    return Reader.load(path)
