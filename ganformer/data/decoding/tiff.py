"""TIFF, 6.0 and Big.

Tags and compressed pieces are read by tifffile and imagecodecs; the meaning is decided here. Pillow guesses it from few
tags, and reads planes of 16 bits as if they had 8.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import tifffile
from tifffile import TiffPage
from tifffile.tifffile import imagej_description_metadata

from ganformer.data.decoding import tiff_colours, tiff_directories, tiff_samples
from ganformer.data.decoding.picture import Decoded, Limits, UnreadableImageError, check_size, upright, upright_size
from ganformer.data.decoding.tiff_directories import Directory

EXTRA = "samples of no stated meaning"

_DNG_VERSION, _IMAGE_DEPTH, _ORIENTATION = 50706, 32997, 274


def decode(file: IO[bytes], limits: Limits | None, page: int | None) -> Decoded:
    """Decode picture number `page` of `tiff_directories.pictures`; None if there is only one."""
    pictures, left_out = tiff_directories.pictures(file)
    with _opened(file, _chosen(pictures, page)) as chosen:
        return _decoded(chosen, {} if page else left_out, limits)  # said once of a file, not of each of its pictures


def size(file: IO[bytes], page: int | None) -> tuple[int, int]:
    """Return width and height of what `decode` returns."""
    pictures, _ = tiff_directories.pictures(file)
    with _opened(file, _chosen(pictures, page)) as chosen:
        check_size(chosen.imagewidth, chosen.imagelength)
        return upright_size(chosen.imagewidth, chosen.imagelength, _number(chosen, _ORIENTATION, 1))


def _chosen(pictures: list[Directory], page: int | None) -> Directory:
    if page is None and len(pictures) > 1:
        raise UnreadableImageError(f"holds {len(pictures)} pictures, where one is to be named by its number")
    if page is not None and not 0 <= page < len(pictures):
        raise UnreadableImageError(f"holds {len(pictures)} pictures, so there is no number {page}, counted from 0")
    return pictures[page or 0]


@contextmanager
def _opened(file: IO[bytes], directory: Directory) -> Iterator[TiffPage]:
    """Yield all tags of a directory."""
    file.seek(0)
    tifffile.logger().setLevel(logging.CRITICAL + 1)  # its warnings are errors here, or do not matter
    try:
        # Without a name it would ask the file for its own, which not all have.
        with tifffile.TiffFile(file, name="picture", _multifile=False) as tiff:
            _check_stack(tiff.pages.first)
            page = tiff.pages.get(directory.number)
            if directory.below is not None and page.pages is not None:
                page = page.pages.get(directory.below)
            if not isinstance(page, TiffPage) or not page.tags:
                raise UnreadableImageError("is a damaged TIFF: a directory has no tags that can be read")
            yield page
    except tifffile.TiffFileError as error:
        raise UnreadableImageError(f"is a truncated or damaged TIFF: {error}") from error


def _check_stack(first: TiffPage) -> None:
    """Refuse stacks of ImageJ above 4 GB, of which all but the first picture have no directory."""
    stated = imagej_description_metadata(first.description).get("images", 1) if first.is_imagej else 1
    if stated > 1 and len(first.parent.pages) == 1:
        raise UnreadableImageError(f"holds {stated} pictures of ImageJ behind one directory; save each of its own")


def _decoded(page: TiffPage, left_out: dict[str, int], limits: Limits | None) -> Decoded:
    check_size(page.imagewidth, page.imagelength)
    if _DNG_VERSION in page.tags or _DNG_VERSION in page.parent.pages.first.tags:
        raise UnreadableImageError("is camera raw (DNG), a format that is not read; convert it, e.g. to PNG")
    if _number(page, _IMAGE_DEPTH, 1) != 1:
        raise UnreadableImageError("is a volume (its tag ImageDepth is not 1), which is not one picture")
    meaning = tiff_colours.meaning_of(page)
    samples = tiff_samples.read(page)
    colours, opacity = tiff_colours.separated(page, meaning, samples)
    unknown = samples.shape[2] - meaning.channels - (opacity is not None)
    if unknown:
        left_out = left_out | {EXTRA: unknown}
    picture = tiff_colours.picture(page, meaning, colours, opacity, limits)
    return Decoded(upright(picture, _number(page, _ORIENTATION, 1)), left_out=left_out)


def _number(page: TiffPage, tag: int, default: int) -> int:
    value = page.tags.valueof(tag, default)
    return value if isinstance(value, int) else default
