"""Export a generator as an ONNX graph, which onnxruntime and other programs run without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveInt

from ganformer.config.export import ProgramExport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ganformer.analysis.explorer import Explorer


class Config(ProgramExport):
    """ONNX: a graph for a fixed or any number of images, run by onnxruntime."""

    kind: Literal["onnx"] = "onnx"

    batch: PositiveInt | None = None
    """Number of images that the graph makes at once; None: any number."""


def write(settings: Config, opened: Explorer, path: Path) -> Sequence[str]:
    """Write the graph to `path`, after comparing its images, made by onnxruntime, with the model's."""
    import json

    import torch

    from ganformer import artifacts
    from ganformer.analysis import program

    _require()
    made = program.program(opened, settings.truncation_mean)
    number = torch.export.Dim("n")
    example = made.example(settings.batch or program.EXAMPLES)
    with program.silent(), artifacts.atomic(path) as temporary:
        graph = torch.onnx.export(
            made,
            example,
            input_names=list(made.inputs),
            output_names=[program.IMAGES],
            dynamic_shapes=None if settings.batch else [{0: number} if x.ndim else None for x in example],
            dynamo=True,
            verbose=False,
        )
        assert graph is not None
        for name, value in program.facts(opened).items():
            graph.model.metadata_props[f"ganformer.{name}"] = value if isinstance(value, str) else json.dumps(value)
        graph.save(str(temporary))
        worst = program.check(made, _run_by_onnxruntime(temporary), settings.batch, str(path))
    count = "any number of images" if settings.batch is None else f"{settings.batch} at a time"
    return [f"takes {', '.join(made.inputs)} of {count}", f"differs from the model by {worst:.1g} at most"]


def _require() -> None:
    """Raise ConfigError if a package is missing."""
    import importlib.util

    from ganformer.errors import ConfigError

    needed = ("onnx", "onnxscript", "onnxruntime")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"export onnx: needs the packages {', '.join(needed)}; {', '.join(missing)} cannot be imported: install "
            "them with pip install 'ganformer[onnx]'"
        )


def _run_by_onnxruntime(path: Path) -> Any:
    """Return a function that runs the graph."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        given = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, given)[0])

    return run
