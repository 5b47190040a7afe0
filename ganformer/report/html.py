"""Pieces of HTML. Text is escaped here; void elements are closed, so that the page is well-formed XML as well."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganformer.report.table import Column, groups


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of terms and their values, all plain text."""
    return "".join(f"<div><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>" for term, value in pairs)


def picture(png: bytes, alt: str, style: str = "") -> str:
    """An image that lies in the page itself, with its size, so that nothing moves while it is read."""
    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
    name = f' class="{style}"' if style else ""
    data = base64.b64encode(png).decode("ascii")
    return f'<img{name} src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="{escape(alt)}" />'


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels [H, W, 3] as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def block(content: Mapping[str, Any]) -> str:
    """A block of a table as `table.write` left it in JSON: heading, columns, rows, notes."""
    columns = [Column(**column) for column in content["columns"]]
    starts = _starts(columns)
    caption = f"<caption>{escape(content['heading'])}</caption>" if content["heading"] else ""
    rows = "".join(f"<tr>{''.join(_cells(row, columns, starts))}</tr>" for row in content["rows"])
    notes = "".join(f'<p class="small">{escape(note)}</p>' for note in content["notes"])
    head = f"<thead>{_group_row(columns)}<tr>{''.join(_headings(columns, starts))}</tr></thead>"
    return f'<div class="scroll" tabindex="0"><table>{caption}{head}<tbody>{rows}</tbody></table></div>{notes}'


def _starts(columns: Sequence[Column]) -> set[int]:
    """Columns that begin a group."""
    found, start = set(), 0
    for group, width in groups(columns):
        if group:
            found.add(start)
        start += width
    return found


def _group_row(columns: Sequence[Column]) -> str:
    if not any(column.group for column in columns):
        return ""
    cells = [
        f'<th class="group first" scope="colgroup" colspan="{width}">{escape(group)}</th>'
        if group
        else "<td></td>" * width
        for group, width in groups(columns)
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _headings(columns: Sequence[Column], starts: set[int]) -> Iterable[str]:
    for i, column in enumerate(columns):
        yield f'<th scope="col"{_classes(column, i in starts)}>{escape(column.title)}</th>'


def _cells(row: Sequence[Mapping[str, Any]], columns: Sequence[Column], starts: set[int]) -> Iterable[str]:
    for i, (cell, column) in enumerate(zip(row, columns, strict=True)):
        text = escape(cell["text"])
        if i == 0:
            yield f'<th scope="row">{text}</th>'
        else:
            yield f"<td{_classes(column, i in starts)}>{f'<strong>{text}</strong>' if cell['is_best'] else text}</td>"


def _classes(column: Column, starts_group: bool) -> str:
    names = [name for name, holds in (("number", column.is_number), ("first", starts_group)) if holds]
    return f' class="{" ".join(names)}"' if names else ""
