"""A writer of TFRecords that is independent of the reader: it spells out the wire format and has a CRC of its own."""

import struct


def crc32c(data):
    """Return bit by bit, as RFC 3720 has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32)


def field(number, content):
    """Return a field of bytes of a protocol buffer."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value):
    parts = []
    while value > 127:
        parts.append(value % 128 | 128)
        value >>= 7
    return bytes([*parts, value])


def entry(key, feature):
    return field(1, field(1, key) + field(2, feature))


def example(pixels, shape=None):
    """Return a `tf.train.Example` of an image [C, H, W]."""
    numbers = b"".join(varint(side) for side in (pixels.shape if shape is None else shape))
    shape_entry = entry(b"shape", field(3, field(1, numbers)))
    return field(1, entry(b"data", field(1, field(1, pixels.tobytes()))) + shape_entry)


def framed(data):
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(framed, records)))
    return path


def write_records(path, images):
    """Return a file of images uint8 [C, H, W] in the official layout."""
    return write(path, map(example, images))
