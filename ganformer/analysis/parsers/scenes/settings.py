"""Settings of what reads built-in scenes."""

from collections.abc import Iterable
from copy import copy
from typing import Any, Literal

from pydantic import create_model
from pydantic.fields import FieldInfo

from ganformer.config import Dataset, Parsing, docstrings
from ganformer.errors import ConfigError
from ganformer.scenes.parser_settings import Settings

FROM_DATASET = {"image", "min_objects", "max_objects"}


class _OfScenes(Parsing):
    kind: Literal["scenes"] = "scenes"

    def problems(self, dataset: Dataset) -> Iterable[str]:
        """Return one where the data set is of something else."""
        try:
            Settings.of(dataset)
        except ConfigError as error:
            yield str(error)


def _described(name: str, field: FieldInfo) -> FieldInfo:
    field = copy(field)
    field.description = docstrings(Settings).get(name)
    return field


_learning: dict[str, Any] = {
    name: (field.annotation, _described(name, field))
    for name, field in Settings.model_fields.items()
    if name not in FROM_DATASET
}
# Made of the network's settings, so that no default and no check is written twice.
Config = create_model(
    "Config",
    __base__=_OfScenes,
    __doc__="A small network reads built-in scenes. It learns from scenes of its own, rendered in the images' shape.",
    **_learning,
)
