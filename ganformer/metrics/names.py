"""What a number may be called."""

from collections.abc import Mapping
from typing import Any

# Where the field's name is not the key with the number of images.
FIELD = {
    "fd": "fid{count}",
    "fd_bias": "fid{count}_bias",
    "fd_infinity": "fid_infinity",
    "rfd": "rfid{count}",
}


def label(key: str, extractor: Mapping[str, Any], images: int | None) -> str:
    """The name of the value `key` measured with an extractor of these settings on `images` generated images.

    With the Inception network of 2015 that is the field's name with the number of images: `fid50k`, `kid50k`; with the
    uncertainty's ending behind it: `kid50k_std`. What is extrapolated to infinitely many has no number: `fid_infinity`.
    Images resized as Parmar et al. do it give other numbers: `clean_fid50k`. Any other features do, too, so their names
    tell the extractor: `fd_random_vgg16`, `fd_infinity_random_vgg16`; they are never called FID. Nor is a distance of
    statistics that do not tell the number of images (None).
    """
    kind = extractor["kind"]
    clean = "clean_" if extractor.get("resize") == "clean" else ""
    if kind != "inception-2015" or images is None:
        return f"{clean}{key}_{kind.replace('-', '_')}"
    count = str(images) if images % 1000 else f"{images // 1000}k"
    value = key.removesuffix("_std")
    return clean + FIELD.get(value, f"{value}{{count}}").format(count=count) + key[len(value) :]
