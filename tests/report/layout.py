"""Layout of a figure as numbers and words, and the layouts that the figures are to have, in the folder `layouts`.

After a change that is meant, `GANFORMER_NEW_LAYOUTS=1 pytest tests/report` writes them anew; look at the figures, too.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

FOLDER = Path(__file__).resolve().parent / "layouts"


def check(name: str, figure: Figure) -> None:
    """Raise AssertionError if the figure has another layout than the file of this name."""
    file, found = FOLDER / f"{name}.json", json.loads(json.dumps(_figure(figure)))
    if os.environ.get("GANFORMER_NEW_LAYOUTS"):
        file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert found == json.loads(file.read_text(encoding="utf-8"))


def _figure(figure: Figure) -> dict[str, Any]:
    engine = figure.get_layout_engine()
    return {
        "inches": _round(figure.get_size_inches()),
        "dpi": figure.dpi,
        "engine": type(engine).__name__,
        "texts": [_text(text) for text in figure.texts],
        "legends": [_legend(legend) for legend in figure.legends],
        "axes": [_axes(axes, is_placed=engine is None) for axes in figure.axes],
    }


def _axes(axes: Axes, *, is_placed: bool) -> dict[str, Any]:
    legend = axes.get_legend()
    found = {
        # Where constrained layout puts axes depends on the release of matplotlib.
        "box": _round(axes.get_position().bounds) if is_placed else None,
        "on": axes.axison,
        "images": [image.get_size() for image in axes.images],
        "limits": [_round(axes.get_xlim()), _round(axes.get_ylim())],
        "scales": [axes.get_xscale(), axes.get_yscale()],
        "spines": [name for name, spine in axes.spines.items() if spine.get_visible()],
        "titles": [_text(axes.title), _text(axes._left_title)],
        "ticks": [_ticks(axis) for axis in (axes.xaxis, axes.yaxis)],
        "texts": [_text(text) for text in axes.texts],
        "lines": [_line(line) for line in axes.lines],
        "collections": [_collection(collection) for collection in axes.collections],
        "patches": [_patch(patch) for patch in axes.patches],
    }
    return found | ({"legend": _legend(legend)} if legend is not None else {})


def _ticks(axis: Any) -> dict[str, Any]:
    tick = axis.get_major_ticks(1)[0]
    return {
        "size": _round([tick.label1.get_size()]),
        "rotation": tick.label1.get_rotation(),
        "length": tick._size,
        "grid": bool(tick.gridline.get_visible()),
        "labels": [text.get_text() for text in axis.get_majorticklabels()],
        "label": _text(axis.label),
    }


def _text(text: Text) -> list[Any]:
    place = _round(text.get_position()) if text.get_text() else []
    style = [text.get_size(), text.get_weight(), to_hex(text.get_color()), text.get_rotation(), text.zorder]
    return [text.get_text(), place, text.get_ha(), text.get_va(), *style]


def _line(line: Line2D) -> dict[str, Any]:
    return {
        "x": _round(line.get_xdata()),
        "y": _round(line.get_ydata()),
        "style": [to_hex(line.get_color()), line.get_linewidth(), str(line._dash_pattern), line.get_alpha()],
        "marker": [str(line.get_marker()), line.get_markersize(), line.get_markeredgewidth()],
        "order": line.zorder,
    }


def _collection(collection: Collection) -> dict[str, Any]:
    colours = np.vstack([collection.get_facecolor(), collection.get_edgecolor()])
    return {
        "kind": type(collection).__name__,
        "paths": [_round(path.vertices) for path in collection.get_paths()],
        "colours": [to_hex(colour, keep_alpha=True) for colour in colours],
        "widths": _round(np.atleast_1d(collection.get_linewidth())),
        "order": collection.zorder,
    }


def _patch(patch: Patch) -> list[Any]:
    style = [to_hex(patch.get_facecolor(), keep_alpha=True), patch.get_linewidth(), patch.zorder]
    return [type(patch).__name__, _round(patch.get_path().transformed(patch.get_patch_transform()).vertices), *style]


def _legend(legend: Legend) -> dict[str, Any]:
    return {
        "texts": [[text.get_text(), text.get_size()] for text in legend.get_texts()],
        "columns": legend._ncols,
        "frame": legend.get_frame_on(),
        "place": str(legend._get_loc()),
        "outside": legend._outside_loc,
        "handles": [_handle(handle) for handle in legend.legend_handles],
    }


def _handle(handle: Any) -> list[Any]:
    if isinstance(handle, Line2D):
        return ["line", to_hex(handle.get_color()), handle.get_linewidth(), str(handle.get_marker())]
    return ["patch", to_hex(handle.get_facecolor())] if isinstance(handle, Patch) else [type(handle).__name__]


def _round(numbers: Iterable[Any]) -> list[Any]:
    return np.asarray(numbers, float).round(4).tolist()
