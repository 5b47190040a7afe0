"""Names of values: when a number may be called FID."""

from collections.abc import Mapping
from typing import Any

from ganformer.config.path_length import EPSILON, OUTLIERS, PAIRS
from ganformer.perceptual.distance import PUBLISHED

# Where the field's name is not the key with the number of images.
FIELD = {
    "fd": "fid{count}",
    "fd_bias": "fid{count}_bias",
    "fd_infinity": "fid_infinity",
    "rfd": "rfid{count}",
}
# The same with spatial features, where the field has a name for it.
SPATIAL = {name: f"s{FIELD[name]}" for name in ("fd", "fd_bias", "fd_infinity")} | {"sfd": "sfid{count}"}


def label(key: str, extractor: Mapping[str, Any], images: int | None, *, mirrored: bool = False) -> str:
    """Return the name of the value `key` measured with an extractor of these settings on `images` generated images.

    With the Inception network of 2015 that is the field's name with the number of images: `fid50k`, `kid50k`; with the
    uncertainty's ending behind it: `kid50k_std`. Values extrapolated to infinitely many have no number: `fid_infinity`.
    Its spatial features make other numbers of the same kind: `sfid50k`; values that nobody else measures with them say
    so, `kid50k_spatial`. Images resized as Parmar et al. do it give other numbers: `clean_fid50k`, and so do those that
    are resized as in pytorch-fid: `fid50k_pytorch`. Any other features do, too, so their names have the extractor:
    `fd_random_vgg16`, `fd_infinity_random_vgg16`; they are never called FID. Nor is a distance of statistics of an
    unknown number of images (None). Against real images and their mirror images, `mirrored`, numbers differ, too:
    `mirrored_fid50k`.
    """
    kind, is_spatial = extractor["kind"], extractor.get("features") == "spatial"
    before = ("mirrored_" if mirrored else "") + ("clean_" if extractor.get("resize") == "clean" else "")
    behind = "_pytorch" * (extractor.get("resize") == "pytorch-fid")
    if kind != "inception-2015" or images is None:
        return f"{before}{key}_{kind.replace('-', '_')}{'_spatial' * is_spatial}{behind}"
    value = key.removesuffix("_std")
    name = FIELD.get(value, f"{value}{{count}}")
    if is_spatial:
        name = SPATIAL.get(value, f"{name}_spatial")
    return before + name.format(count=_count(images)) + behind + key[len(value) :]


def path_label(key: str, settings: Mapping[str, Any]) -> str:
    """Return the name of the path length `key` (`ppl_w_end`, `ppl_w_end_std`) measured with these settings.

    Measured as StyleGAN2 does, with the published LPIPS, its name is NVIDIA's: `ppl_wend` of faces cut out of images,
    `ppl2_wend` of whole images, if there are other than 50,000 pairs with their number: `ppl2_wend5k`. Otherwise the
    key stays, and the name has the network, `ppl_w_end_random_vgg16`, since no published number compares with it.
    """
    value = key.removesuffix("_std")
    network, ending = settings["network"], key[len(value) :]
    is_protocol = (settings["epsilon"], settings["outliers"]) == (EPSILON, OUTLIERS)
    if not is_protocol or not PUBLISHED.items() <= network.items():
        return f"{key}_{network['kind'].replace('-', '_')}"
    _, space, sampling = value.split("_")
    count = "" if settings["images"] == PAIRS else _count(settings["images"])
    return f"{'ppl' if settings['crop'] else 'ppl2'}_{space}{sampling}{count}{ending}"


def _count(images: int) -> str:
    return str(images) if images % 1000 else f"{images // 1000}k"
