"""Small pictures and containers made by computation, laid out as the real ones in the folder `shared`.

Tests that read real files also run on these, so that a checkout without that folder tests as much. The files have the
names, kinds and faults of the real ones and share no pixel with them.
"""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import lmdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

from tests.data.decoding.picture_writers import chunk, exif, png, profile

ORIENTATION = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
EXIF = b"Exif\0\0"
BOMB = 2**21  # bytes of a text that is inflated; Pillow refuses more than 2^20

# Facts of README.md in github.com/dorarad/gansformer at 3a9efa4545, and of tests/test_fid_score.py in
# github.com/mseitzer/pytorch-fid at b9c18118d0.
PUBLISHED = """\
paper,table,dataset,resolution,model,metric,value
GANformer,catalogue of data sets,FFHQ,256,all,r1_gamma,10,
GANformer,catalogue of data sets,FFHQ,256,all,dataset_images,70000,
GANformer,catalogue of data sets,CLEVR,256,all,r1_gamma,40,
GANformer,catalogue of data sets,CLEVR,256,all,dataset_images,100015,
GANformer,catalogue of data sets,Cityscapes,256,all,r1_gamma,20,
GANformer,catalogue of data sets,Cityscapes,256,all,dataset_images,24998,
Evaluation reference,"pytorch-fid unit test: N(0,I) vs N(1,I), d=2048",analytic,,moments only,FID,2048,
"""


def on_white(images: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """Return images of 1 or 4 channels along an axis in three: grey repeated, opacity over white, rounded."""
    if images.shape[axis] == 1:
        return np.concatenate([images] * 3, axis)
    colours, opacity = np.split(images / 255, [3], axis)
    return np.rint(255 * (colours * opacity + 1 - opacity)).astype(np.uint8)


def write_all(folder: Path) -> Path:
    """Write all pictures, containers and published numbers into an empty folder and return it."""
    data = folder / "data"
    for name, write in FOLDERS.items():
        (data / name).mkdir(parents=True)
        write(data / name)
    (folder / "reference").mkdir()
    (folder / "reference" / "published_results.csv").write_text(PUBLISHED)
    return folder


# --------------------------------------------------------------------------------------------------------- pictures


def scene(width: int, height: int, seed: int = 0, objects: int = 4) -> Image.Image:
    """Return a picture of discs and boxes with sharp edges before a background whose four corners differ."""
    random = np.random.default_rng(seed)
    x, y = np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]
    corners = random.permutation([20, 100, 170, 240])[:3]
    background = np.stack([0 * x + 0 * y + corners[0], 40 + 160 * x + 0 * y, 200 - 160 * y + 0 * x], axis=2)
    image = Image.fromarray(background.astype(np.uint8))
    draw, side = ImageDraw.Draw(image), min(width, height)
    for number in range(objects):
        radius = side * random.uniform(0.08, 0.2)
        left, top = random.uniform(0, 1, 2) * (width, height)
        shape = draw.ellipse if number % 2 else draw.rectangle
        shape((left - radius, top - radius, left + radius, top + radius), tuple(random.integers(0, 256, 3).tolist()))
    return image


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Return noise [height, width, channels]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def opaque(image: Image.Image) -> Image.Image:
    return image.convert("RGBA")  # with an opacity of 255 everywhere


def fading(image: Image.Image) -> Image.Image:
    """Return the picture with opacity from none at its left to full at its right."""
    opacity = np.broadcast_to(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, image.width))
    image = image.convert("RGB")
    image.putalpha(Image.fromarray(np.ascontiguousarray(opacity)))
    return image


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def write_food_thumbs(folder: Path) -> None:
    """Write photographs of many sizes, three of them twice."""
    (folder / "images").mkdir()
    (folder / "ATTRIBUTION.tsv").write_text("file\tlicence\n")
    for number in range(21):
        size = (40, 40 - number) if number % 2 else (40 - number, 40)
        content = encoded(scene(*size, seed=number), "jpeg")
        for copy in (number, 100 + number) if number < 3 else (number,):
            (folder / "images" / f"{copy:07d}.jpg").write_bytes(content)


def write_nlvr(folder: Path) -> None:
    """Write wide pictures of three grey boxes with small shapes in them, each with an opacity that is full."""
    for number in range(24):
        image = Image.new("RGB", (400, 100), (255, 255, 255))
        for box in range(3):
            image.paste((211, 211, 211), (150 * box, 0, 150 * box + 100, 100))
            shapes = scene(100, 100, 3 * number + box).crop((20, 20, 60, 60))
            image.paste(shapes.quantize(4).convert("RGB"), (150 * box + 30, 10 + 2 * number))
        opaque(image).save(folder / f"{number}-0.png")


def write_clevr_samples(folder: Path) -> None:
    """Write renderings of 3:2, each with an opacity that is full."""
    for number in range(16):
        opaque(scene(96, 64, seed=number)).save(folder / f"CLEVR_train_{3 * number:06d}.png")


def write_coco(folder: Path) -> None:
    """Write a photograph larger than what networks see, a high one and a grey one."""
    (folder / "images").mkdir()
    (folder / "ATTRIBUTION.tsv").write_text("file\tlicence\n")
    for number, size in enumerate([(420, 310), (60, 91), (80, 60)]):
        image = scene(*size, seed=number, objects=8)
        (image.convert("L") if number == 2 else image).save(folder / "images" / f"{number:012d}.jpg")


# ------------------------------------------------------------------------------------------------------ odd pictures


def write_odd_images(folder: Path) -> None:
    """Write pictures of rare kinds, and ten that are damaged, cut off or larger than any picture."""
    for name, content in {**jpegs(), **pngs(), **damaged_pngs(), **animated(), **others()}.items():
        (folder / name).write_bytes(content)


def upright() -> Image.Image:
    """Return the picture that several of the odd ones show in another encoding."""
    return scene(128, 128, seed=7)


def jpegs() -> dict[str, bytes]:
    resource = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", 0x0404, 0, 4) + b"made"
    block = b"\xff\xed" + struct.pack(">H", len(resource) + 2) + resource
    of_32_entries = EXIF + b"MM\0*" + struct.pack(">IHHHI", 8, 32, 0x0106, 3, 1)  # and ends in the first
    progressive = encoded(scene(100, 100), "jpeg", progressive=True)
    found = {
        "hopper.jpg": encoded(upright(), "jpeg", quality=90),
        "hopper_gray.jpg": encoded(upright().convert("L"), "jpeg"),
        "pil_sample_cmyk.jpg": encoded(scene(100, 100).convert("CMYK"), "jpeg"),
        "app13-multiple.jpg": encoded(scene(64, 40), "jpeg", progressive=True, extra=block + block),
        "flower2.jpg": encoded(scene(75, 56), "jpeg", icc_profile=profile(1.8)),
        "hopper_bad_exif.jpg": encoded(upright().convert("L"), "jpeg", exif=of_32_entries),
        "jfif_unit_cm.jpg": encoded(Image.new("L", (1, 1), 90), "jpeg", dpi=(1, 2)).replace(
            b"JFIF\0\1\1\1", b"JFIF\0\1\1\2"
        ),
        "truncated_jpeg.jpg": progressive[: len(progressive) // 2],
    }
    for orientation, turn in ORIENTATION.items():
        found[f"hopper_orientation_{orientation}.jpg"] = encoded(
            upright().transpose(turn), "jpeg", quality=90, exif=EXIF + exif(orientation)
        )
    return found


def pngs() -> dict[str, bytes]:
    small = scene(64, 64, seed=3)
    levels = np.asarray(small.convert("L"))
    by_index = small.quantize(32)
    facts = PngImagePlugin.PngInfo()
    body = exif(3)
    facts.add_text("Raw profile type exif", f"\nexif\n{len(body):8}\n{body.hex()}\n", zip=True)
    palette = (b"PLTE", bytes(by_index.getpalette()))
    opacities = (b"tRNS", bytes(range(0, 256, 8)))
    return {
        "1_trns.png": encoded(small.convert("1"), "png", transparency=255),
        "i_trns.png": encoded(Image.fromarray(levels.astype(np.uint16) * 257), "png", transparency=255),
        "l_trns.png": encoded(small.convert("L"), "png", transparency=int(levels[0, 0])),
        "p_trns_single.png": encoded(by_index, "png", transparency=3),
        "pil123p.png": png(np.asarray(by_index)[:, :, None], colour=3, chunks=[palette, opacities], is_interlaced=True),
        "pil123rgba.png": png(np.asarray(fading(small)), colour=6, is_interlaced=True),
        "7x13.png": encoded(Image.fromarray(noise(7, 13)), "png"),
        "bw_gradient.png": encoded(Image.linear_gradient("L").rotate(90).crop((0, 0, 256, 10)), "png"),
        "uncompressed_la.png": encoded(fading(small).convert("LA"), "png", compress_level=0),
        "exif_imagemagick_orientation.png": encoded(small.rotate(180), "png", pnginfo=facts),
    }


def damaged_pngs() -> dict[str, bytes]:
    values = noise(32, 24)
    whole = png(values, colour=2)
    rows = zlib.compress(b"\x09" + bytes(3 * 32) * 24)  # the first row is filtered in a way that PNG does not have
    return {
        "truncated_image.png": whole[: len(whole) // 2],
        "broken.png": whole[:8] + noise(8, 9, 1).tobytes(),
        "broken_data_stream.png": whole[:33] + chunk(b"IDAT", rows) + chunk(b"IEND", b""),
        # PNG knows one method of compression, 0.
        "unknown_compression_method.png": png(
            values, colour=2, chunks=[(b"iCCP", b"made\0\1" + zlib.compress(profile(1.8)))]
        ),
        "png_decompression_dos.png": png(
            values, colour=2, chunks=[(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(BOMB)))]
        ),
    }


def animated() -> dict[str, bytes]:
    frames = [fading(scene(48, 32, seed=seed)) for seed in range(3)]
    whole = [frame.convert("RGB") for frame in frames]
    huge = b"," + struct.pack("<4HB", 0, 0, 65535, 65535, 0) + b"\2\2\x44\1\0;"
    by_index = scene(50, 40).quantize(16)
    return {
        "apng_delay.png": encoded(
            frames[0], "png", save_all=True, append_images=frames[1:], default_image=True, duration=[500, 1000]
        ),
        "dispose_bgnd.gif": encoded(whole[0], "gif", save_all=True, append_images=whole[1:], disposal=2, duration=9),
        "iss634.webp": encoded(frames[0], "webp", save_all=True, append_images=frames[1:], duration=9),
        "transparent.gif": encoded(by_index, "gif", transparency=2),
        "decompression_bomb.gif": b"GIF89a" + struct.pack("<HHBBB", 32, 32, 0xF1, 0, 0) + bytes(range(12)) + huge,
    }


def others() -> dict[str, bytes]:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(upright(), to_lab)
    del lab.info["icc_profile"]  # names the time at which it was made
    y, x = np.mgrid[:128, :128] / 128
    floats = (3 * np.sin(5 * x + 3 * y)).astype(np.float32)
    short = encoded(scene(127, 64).convert("1"), "bmp")
    return {
        "hopper.webp": encoded(upright(), "webp", quality=90),
        "transparent.webp": encoded(fading(scene(50, 40)), "webp"),
        "hopper_orientation_6.webp": encoded(
            upright().transpose(ORIENTATION[6]), "webp", quality=90, exif=EXIF + exif(6)
        ),
        "16bit.cropped.tif": encoded(Image.fromarray(noise(64, 64, 1)[:, :, 0].astype(np.uint16) * 257), "tiff"),
        "hopper.Lab.tif": encoded(lab, "tiff"),
        "tiff_strip_cmyk_jpeg.tif": encoded(scene(96, 96).convert("CMYK"), "tiff", compression="jpeg"),
        "10ct_32bit_128.tiff": encoded(Image.fromarray(floats), "tiff"),
        "bmp_b_reallybig.bmp": b"BM"
        + struct.pack("<IIIIiiHHIIiiII", 154, 0, 54, 40, 3_000_000, 2_000_000, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(100),
        "bmp_b_shortfile.bmp": short[:-3],
    }


# -------------------------------------------------------------------------------------------------------- containers


def write_containers(folder: Path) -> None:
    """Write LMDB environments, arrays and HDF5 files of images, and some of numbers that are none."""
    write_lmdb(folder / "demo.lmdb", {"baboon": encoded(scene(125, 120, seed=1), "png")})
    entries = {"num-samples": b"10"}
    for number in range(1, 11):
        size = (72, 78) if number == 10 else (25 + 9 * number, 25 - number // 2)
        entries[f"image-{number:09d}"] = encoded(scene(*size, seed=number), "jpeg")
        entries[f"label-{number:09d}"] = b"word"
    write_lmdb(folder / "imgs.lmdb", entries)
    cut = encoded(scene(80, 40), "jpeg")[:512]
    write_lmdb(folder / "broken.lmdb", {"image-000000001": cut, "label-000000001": b"word", "num-samples": b"1"})

    normal = np.random.default_rng(0).normal(0, 2, 8 * 3 * 10 * 10).astype(np.float32)
    (folder / "npy").mkdir()
    for name, size in (("0", (100, 100)), ("4", (150, 300))):
        np.save(folder / "npy" / f"{name}.npy", np.asarray(scene(*size)))
    np.save(folder / "npy" / "masked_conv2d_for_input.npy", normal[:768].reshape(1, 3, 16, 16))
    (folder / "h5").mkdir()
    with h5py.File(folder / "h5" / "solver_data.h5", "w") as file:
        file["data"], file["targets"] = normal.reshape(8, 3, 10, 10), normal[:8, None]
    with h5py.File(folder / "h5" / "sample_data_2_gzip.h5", "w") as file:
        file.create_dataset("data", data=normal[:2400].reshape(10, 8, 6, 5), compression="gzip")
        file.create_dataset("label", data=normal[:10, None], compression="gzip")


def write_lmdb(path: Path, entries: dict[str, bytes]) -> None:
    with lmdb.open(str(path), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value)


FOLDERS: dict[str, Callable[[Path], None]] = {
    "clevr_samples": write_clevr_samples,
    "coco_ccby": write_coco,
    "containers": write_containers,
    "food_thumbs": write_food_thumbs,
    "nlvr": write_nlvr,
    "odd_images": write_odd_images,
}
