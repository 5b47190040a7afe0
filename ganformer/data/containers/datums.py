"""Datums of Caffe: records of an LMDB with a picture, encoded or as numbers, and its label."""

import io
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, message_factory, text_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ganformer.config import ImageSpec
from ganformer.data import decoding
from ganformer.data.decoding import UnreadableImageError
from ganformer.data.images import Picture, read_array, read_image

# From caffe.proto.
_SCHEMA = """
name: "ganformer/datum.proto" package: "ganformer" syntax: "proto2"
message_type { name: "Datum"
  field { name: "channels" number: 1 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "height" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "width" number: 3 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "data" number: 4 label: LABEL_OPTIONAL type: TYPE_BYTES }
  field { name: "label" number: 5 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "float_data" number: 6 label: LABEL_REPEATED type: TYPE_FLOAT }
  field { name: "encoded" number: 7 label: LABEL_OPTIONAL type: TYPE_BOOL } }
"""

Colours = Literal["BGR", "RGB"]


class Datum(NamedTuple):
    """Content of a record: an encoded picture, or numbers uint8 or float32 [C, H, W]; and its label."""

    content: bytes | NDArray[Any]
    label: int | None

    def picture(self, image: ImageSpec, limits: decoding.Limits | None, colours: Colours | None) -> Picture:
        """Return the picture, prepared; `colours`: order of three channels of numbers, which the record does not state.

        Raises UnreadableImageError if it cannot be read, or where `colours` is missing.
        """
        if isinstance(self.content, bytes):
            return read_image(io.BytesIO(self.content), image, limits)
        planes = self.content
        if len(planes) == 3 and colours is None:
            raise UnreadableImageError(
                "is a Caffe Datum of three channels, which does not tell their order; set colours: BGR, which Caffe's "
                "own tools write, or colours: RGB"
            )
        upright = planes[::-1] if len(planes) == 3 and colours == "BGR" else planes
        return read_array(upright.transpose(1, 2, 0), image, limits)


def parse(value: bytes) -> Datum | None:
    """Read a record; None if it is none."""
    try:
        message = _datum().FromString(value)
    except DecodeError:
        return None
    label = message.label if message.HasField("label") else None
    if decoding.recognise(message.data[: decoding.START]):
        return Datum(message.data, label)
    shape = (message.channels, message.height, message.width)
    for content in (np.frombuffer(message.data, np.uint8), np.array(message.float_data, np.float32)):
        if content.size and min(shape) > 0 and content.size == np.prod(shape, dtype=object):
            return Datum(content.reshape(shape), label)
    return None


@cache
def _datum() -> Any:
    """Return the message `Datum`."""
    file = text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto())
    return message_factory.GetMessages([file])["ganformer.Datum"]
