"""What a number may be called."""

FID = {"fd": "fid{count}", "rfd": "rfid{count}", "is": "is{count}", "is_std": "is{count}_std"}


def label(key: str, extractor: str, images: int) -> str:
    """The name of the value `key` measured with an extractor on `images` generated images.

    With the Inception network of 2015 that is the field's name with the number of images: `fid50k`, `is50k`. Any other
    features give other numbers, so their names tell the extractor: `fd_random_vgg16`; they are never called FID.
    """
    if extractor != "inception-2015":
        return f"{key}_{extractor.replace('-', '_')}"
    count = str(images) if images % 1000 else f"{images // 1000}k"
    return FID.get(key, f"{key}{{count}}").format(count=count)
