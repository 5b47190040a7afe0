"""What a number may be called."""

# Where the field's name is not the key with the number of images.
FIELD = {
    "fd": "fid{count}",
    "fd_bias": "fid{count}_bias",
    "fd_infinity": "fid_infinity",
    "rfd": "rfid{count}",
}


def label(key: str, extractor: str, images: int) -> str:
    """The name of the value `key` measured with an extractor on `images` generated images.

    With the Inception network of 2015 that is the field's name with the number of images: `fid50k`, `kid50k`; with the
    uncertainty's ending behind it: `kid50k_std`. What is extrapolated to infinitely many has no number: `fid_infinity`.
    Any other features give other numbers, so their names tell the extractor: `fd_random_vgg16`,
    `fd_infinity_random_vgg16`; they are never called FID.
    """
    if extractor != "inception-2015":
        return f"{key}_{extractor.replace('-', '_')}"
    count = str(images) if images % 1000 else f"{images // 1000}k"
    value = key.removesuffix("_std")
    return FIELD.get(value, f"{value}{{count}}").format(count=count) + key[len(value) :]
