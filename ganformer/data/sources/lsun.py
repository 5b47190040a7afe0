"""LSUN: photos of scenes and objects by category (Yu et al. 2015, Construction of a large-scale image dataset)."""

from pathlib import Path
from typing import Literal, NamedTuple

from ganformer.config import ImageSpec, Source
from ganformer.data.fetching.catalogue import Catalogued, Edition, Published, open_images
from ganformer.data.fetching.download import Remote
from ganformer.data.sources import lmdb

ROOT = "http://dl.yf.io/lsun"
LICENCE = (
    "Licence: its publishers name none (https://www.yf.io/p/lsun). The photos come from the web and belong to whoever "
    "took them; do not take it for granted that you may pass them on or use them commercially."
)


class Category(NamedTuple):
    """The archive of a category, and the number of images in it."""

    path: str
    size: int
    sha256: str
    images: int

    @property
    def edition(self) -> Edition:
        """Facts about the edition."""
        name = self.path.rpartition("/")[2]
        remote = Remote(name, (f"{ROOT}/{self.path}",), size=self.size, sha256=self.sha256)
        return Edition(counts=(self.images,), files=(remote,), is_unpacked=True)

    def environment(self, place: Path) -> Path:
        """Return the LMDB environment that was unpacked there."""
        inner = place / Path(self.path).stem
        return inner if inner.is_dir() else place


CATEGORIES = {
    "bedroom": Category(
        "scenes/bedroom_train_lmdb.zip",
        45_922_737_680,
        "a15644c2e7153106867f0adb3491fc41224102d1f01b24494fb47d9f5d1f174e",
        3_033_042,
    ),
    "bridge": Category(
        "scenes/bridge_train_lmdb.zip",
        16_478_644_518,
        "2701b2d421bbc4d8a5e9b0652ff7c3b57cd6495da8e0e85c39533275b5a925a3",
        818_687,
    ),
    "church-outdoor": Category(
        "scenes/church_outdoor_train_lmdb.zip",
        2_448_463_466,
        "91128ae026840ac0c5982b4445ab5fc4e092d6847cca76793b2b1a0815c2e74a",
        126_227,
    ),
    "classroom": Category(
        "scenes/classroom_train_lmdb.zip",
        3_279_497_022,
        "73a8a3e318819e1cc602f229673c3f51a68f3ece61e3764ce22df6abea4d0873",
        168_103,
    ),
    "conference-room": Category(
        "scenes/conference_room_train_lmdb.zip",
        4_048_461_633,
        "fa0a4cf72e7acfb103392eaf33640d5508a728e971f31877b01d64e1bde6068c",
        229_069,
    ),
    "dining-room": Category(
        "scenes/dining_room_train_lmdb.zip",
        11_592_966_936,
        "e4ee24c7c309360c3bf019123ce5bbf17434b2ba33abec2b0b07cfae715a52cb",
        657_571,
    ),
    "kitchen": Category(
        "scenes/kitchen_train_lmdb.zip",
        35_791_384_987,
        "b1993cf639aece5d207a27eb9ff872bcca9dff6472d8227a052c79d40ee753c4",
        2_212_277,
    ),
    "living-room": Category(
        "scenes/living_room_train_lmdb.zip",
        22_792_405_188,
        "bd2c52b812c80f73ce3062a221396d13a52b5cce2f813b4cdf61937651281d7a",
        1_315_802,
    ),
    "restaurant": Category(
        "scenes/restaurant_train_lmdb.zip",
        13_489_345_463,
        "11a0a924b960cd0900e9b7477d684fb338bd99cc5f72db1caac592e4f497e09a",
        626_331,
    ),
    "tower": Category(
        "scenes/tower_train_lmdb.zip",
        12_010_237_081,
        "440caec74c9641cb51fd235a5970c8e4931c3af875aeb044a8bcca956e106309",
        708_264,
    ),
    "airplane": Category(
        "objects/airplane.zip",
        36_208_964_204,
        "2ee81354d3e0dcad6951174b553a6de68723195ae8953eb263c54beb733cf62f",
        1_530_696,
    ),
    "bicycle": Category(
        "objects/bicycle.zip",
        138_765_790_182,
        "5e2054d3e7ffe53d39712441e4b9b88df2cb96189c33b458f2f7ecf3d2cafd48",
        3_347_211,
    ),
    "bird": Category(
        "objects/bird.zip",
        69_904_880_212,
        "efe761e1f6aea5908e22d86c52c3604800448ac954242e8a486c57cb46d5a40f",
        2_310_362,
    ),
    "boat": Category(
        "objects/boat.zip",
        91_971_666_516,
        "3fa0a500c17ac39b58914168d37011ff85e5cb5b5a609fb39b4fcdff87863f10",
        2_651_165,
    ),
    "bottle": Category(
        "objects/bottle.zip",
        68_353_217_120,
        "7458f010be9a3628e3a36cd51ce876ce6f7e137b7bbb3c89bf53875136118c32",
        3_202_760,
    ),
    "bus": Category(
        "objects/bus.zip",
        26_125_831_118,
        "75b97476fac8ff40ed7a9044845df61e750131912dd9d6575f82c98a07d7e5ec",
        695_891,
    ),
    "car": Category(
        "objects/car.zip",
        185_788_496_846,
        "e6bd5b23b461177b69a5abd1b301fc41dd1c8fd719f389daf2d10f8b1098ba43",
        5_520_756,
    ),
    "cat": Category(
        "objects/cat.zip",
        44_765_061_710,
        "cef7d1926d80f271ccfe2c55a610a1f9958eb2ac0bd188ddbe3cceb571eb9877",
        1_657_266,
    ),
    "chair": Category(
        "objects/chair.zip",
        124_332_798_554,
        "7760ee4ee832359373a4564411839f929007dbbb8f0e275e52d95fe89ffce66f",
        5_037_807,
    ),
    "cow": Category(
        "objects/cow.zip",
        16_039_812_046,
        "c6ed6cf1bcf96760b08ebaa61e216020ab96bec7f10a7bfc95afdacd59b2da25",
        377_379,
    ),
    "dining-table": Category(
        "objects/dining_table.zip",
        51_826_252_804,
        "4c40a17884c7180a8f75a7891fb51c7c2954a02fb32e0ca158d1c2e0b985637e",
        1_537_123,
    ),
    "dog": Category(
        "objects/dog.zip",
        155_606_131_278,
        "dab08a84ce3facb2ac7261f58c1eea7f070a6d118b82f9778b6a1cf56ed15db4",
        5_054_817,
    ),
    "horse": Category(
        "objects/horse.zip",
        73_864_289_242,
        "2ec7893f3308da7f68cc2bdb1e9a75cde7abf842628feea1c49c30006e9c3a1b",
        2_000_340,
    ),
    "motorbike": Category(
        "objects/motorbike.zip",
        44_948_708_338,
        "76cba2c366269bf86ce57ff496a229b0a237d1095e4bddeec02c9c6b9aa1b9a3",
        1_194_101,
    ),
    "person": Category(
        "objects/person.zip",
        511_754_125_920,
        "4f6c58c308dfde383d77a018eed37a14e328cd7115b40396a38e15db68b00520",
        18_890_816,
    ),
    "potted-plant": Category(
        "objects/potted_plant.zip",
        45_844_458_500,
        "98f723f17f256d7ad07018d19b4cb8d78ab17cedd994b49e5de366fec799d4d8",
        1_104_859,
    ),
    "sheep": Category(
        "objects/sheep.zip",
        19_063_172_058,
        "549234a3cb2608adddea405c0918c64b143ee5636a7d6426a90ccc870f0928d0",
        418_983,
    ),
    "sofa": Category(
        "objects/sofa.zip",
        60_484_209_620,
        "945c1a1a6106b57a47bda7287f223fcb95aa3fbd32fa7294d2a3741e4c143d95",
        2_365_870,
    ),
    "train": Category(
        "objects/train.zip",
        45_875_163_738,
        "da0d4a4c5dbccca62f7f813658c9987b1136fb64e4b733dddafd59b116ca6ec1",
        1_148_020,
    ),
    "tv-monitor": Category(
        "objects/tv-monitor.zip",
        49_065_810_936,
        "69601a18ceb2ad7f5806d5bfcbe0cece66c4e5a4eae8b18931468f7bee016eda",
        2_463_284,
    ),
}
"""The training images of scenes, and all of objects. Sizes, checksums and numbers of images: TensorFlow Datasets (lsun
3.1.0), number of persons: MMGeneration."""
EDITIONS = {name: category.edition for name, category in CATEGORIES.items()}


class Config(Catalogued):
    """The photos of one category: of a scene, as `church-outdoor`, or with an object, as `cat`."""

    kind: Literal["lsun"] = "lsun"

    title = "LSUN"
    home = "https://www.yf.io/p/lsun"
    licence = LICENCE
    editions = EDITIONS

    edition: Literal[
        "bedroom",
        "bridge",
        "church-outdoor",
        "classroom",
        "conference-room",
        "dining-room",
        "kitchen",
        "living-room",
        "restaurant",
        "tower",
        "airplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "dining-table",
        "dog",
        "horse",
        "motorbike",
        "person",
        "potted-plant",
        "sheep",
        "sofa",
        "train",
        "tv-monitor",
    ]
    """The category."""

    @property
    def container(self) -> Source:
        """The environment."""
        return lmdb.Config(kind="lmdb", path=CATEGORIES[self.edition].environment(self.place))


def open_source(config: Config, image: ImageSpec) -> Published:
    """Return the images; DataError if they are missing or incomplete."""
    return open_images(config, image)
