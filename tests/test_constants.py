"""Constants that results depend on, with which records and publications are comparable, and limits."""

import hashlib
import json
from dataclasses import asdict, is_dataclass
from importlib import import_module

import pytest

RESULTS = {
    "analysis.chi_square": {"AREAS": 10, "RARE": 0.01, "RESAMPLES": 200, "SEED": 0},
    "analysis.copies": {"RESAMPLES": 200, "SEED": 0},
    "analysis.dci": {"MAX_EQUAL_SHARE": 0.95, "HALVINGS": 5, "SEED": 0, "MIN_IMAGES": 40}
    | {"TREES": 100, "DEPTH": 3, "RATE": 0.1, "BINS": 32},
    "analysis.segments": {"MIN_CLASS_IMAGES": 2, "SHIFTS": 5, "RESAMPLES": 200, "SEED": 0},
    "config.training": {"AUTO_GAMMA": 0.0002},
    "config.path_length": {"PAIRS": 50_000, "EPSILON": 1e-4, "OUTLIERS": 1.0},
    "data.images": {"BACKGROUND": (255, 255, 255, 255)},
    "metrics.measures.density_coverage": {"NEIGHBOURS": 5},
    "metrics.measures.frechet_error": {"GROUPS": 10},
    "metrics.measures.frechet_infinity": {"POINTS": 15, "SEED": 0},
    "metrics.measures.inception_score": {"SPLITS": 10},
    "metrics.measures.kid": {"SUBSETS": 100, "SIZE": 1000, "SEED": 2020},
    "metrics.measures.precision_recall": {"NEIGHBOURS": 3},
    "metrics.foreign": {"ROUNDING": 1e-5},
    "metrics.neighbours": {"SAFE": (1e-12, 1e15), "TINY": 1e-37},
    "metrics.order": {"SEED": 2020},
    "metrics.path_length": {"SIDE": 256},
    "models.ganformer.positions": {"WAVELENGTH_RATIO": 10000.0},
    "models.sagan.self_attention": {"REDUCTION": 8},
    "models.vqgan.autoencoder": {"EPSILON": 1e-6},
    "models.vqgan.discriminator": {"MAX_WIDENING": 8, "SLOPE": 0.2},
    "models.vqgan.learner": {"MAX_ADVERSARIAL_WEIGHT": 1e4, "EPSILON": 1e-4, "SHARES_DECAY": 0.95},
    "models.vqgan.settings": {"LATEST_START": 90.0},
    "models.vqgan.transformer": {"DEVIATION": 0.02},
    "nn.discriminator": {"GROUP": 4},
    "nn.interfaces": {"AVERAGE_BETA": 0.995},
    "nn.layers": {"EPSILON": 1e-8},
    "perceptual.distance": {"EPSILON": 1e-10, "CONVOLUTIONS": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)},
    "perceptual.vgg16": {"BLOCKS": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))}
    | {"MEAN": (0.485, 0.456, 0.406), "STD": (0.229, 0.224, 0.225)},
    "scenes.parser": {"SCALE": 4.0, "GRID": 32, "INNER": 4, "SPREAD": 0.7, "NUMBERS_WEIGHT": 2.0, "PIXELS_WEIGHT": 4.0}
    | {"WARM_UP": 0.1, "THRESHOLD": 0.35, "HORIZON": -0.05, "REACH": 1 / 16},
    "scenes.renderer": {"GRID": 3, "SPREAD": 0.373, "BEVEL": 0.12, "GROUND": (0.60, 0.59, 0.575)}
    | {"BACKDROP": (0.25, 0.25, 0.255), "FILL_LIGHT": (-0.66, -0.55, 0.51), "BACK_LIGHT": (0.25, 0.86, 0.44)},
    "scenes.source": {
        "COLOURS": {  # CLEVR's
            "gray": (87, 87, 87),
            "red": (173, 35, 35),
            "blue": (42, 75, 215),
            "green": (29, 105, 20),
            "brown": (129, 74, 25),
            "purple": (129, 38, 192),
            "cyan": (41, 208, 208),
            "yellow": (255, 238, 51),
        },
    }
    | {"SIZES": {"large": 0.75, "small": 0.42}, "GAP": 0.3, "VISIBLE": 0.4, "TRIES": 48},
    "training.adversarial": {"PATH_LENGTH_DECAY": 0.01, "PATH_LENGTH_SHRINK": 2, "CLASS_LATENTS": 4096},
    "training.losses": {"DRIFT": 0.001},
}

LIMITS = {
    "analysis.generate": {"MAX_TRUNCATION": 1000.0, "MAX_SEED": 2**32 - 1},
    "data.containers.labels": {"MAX_LABEL": 2**31 - 1},
    "data.containers.zips": {"MAX_MEMBER_BYTES": 1 << 30},
    "data.fetching.download": {"ATTEMPTS": 6, "MAX_WAIT": 300.0, "TIMEOUT": (20.0, 60.0)},
    "data.dataset": {"MAX_READ_BYTES": 1 << 28},
    "data.info": {"SHEET_IMAGES": 64, "BATCH": 256},
    "data.pictures": {"COLUMNS": 8},
    "data.sources.archive": {"MAX_STREAMED_BYTES": 1 << 26},
    "data.sources.arrays": {"BATCH_ROWS": 1 << 16},
    "data.sources.hdf5": {"BATCH_ROWS": 1 << 16, "CHUNK_BYTES": 1 << 28},
    "data.sources.lmdb": {"MAX_LISTED_DATABASES": 20},
    "data.sources.parquet": {"ROWS": 16, "BUFFER": 1 << 20},
    "data.sources.tfrecords": {"BLOCK": 1 << 16},
    "data.sources.webdataset": {"MAX_SHARDS": 1_000_000},
    "interop.kinds": {"MAX_HEADER_BYTES": 100 << 20},
    "interop.options": {"MAX_INTEGER": 1 << 20},
    "interop.persistence": {"MAX_VALUE_LENGTH": 40},
    "interop.snapshot": {"MAX_LISTED_NAMES": 3, "MAX_NAME_LENGTH": 40},
    "interop.torch_file": {"LEGACY_PICKLES": 4},
    "interop.unpickler": {"TUPLES": 50_000, "STORAGE_PICKLES": 5, "MAX_NAME_LENGTH": 100},
    "metrics.batching": {"CPU_PIXELS": 1 << 19, "GPU_PIXELS": 1 << 23},
    "metrics.nearest": {"ROWS": 2048},
    "metrics.neighbours": {"TILE": 2048, "PAIRS": 64, "RANKS": 5, "HELD": 1 << 32, "SPARE": 4},
    "metrics.sets": {"MAX_LISTED_SHAPES": 3},
    "scenes.parser": {"BATCH": 64, "MAX_OBJECTS": 255},
    "scenes.source": {"ATTEMPTS": 500, "CHUNK_PIXELS": 1 << 17},
    "training.checkpoint": {"CHECKPOINTS_KEPT": 2},
    "training.diversity": {"WARNING": 0.2},
    "training.writer": {"LOG_STEPS": 10, "GRID_IMAGES": 32},
}


@pytest.mark.parametrize("module", sorted({*RESULTS, *LIMITS}))
def test_constants_stay(module: str) -> None:
    expected = {**RESULTS.get(module, {}), **LIMITS.get(module, {})}
    found = import_module(f"ganformer.{module}")
    assert {name: getattr(found, name) for name in expected} == expected


FACTS = {
    "data.sources.bedrooms": "0f5ae1b19196",
    "data.sources.celeba_hq": "1f90bbb66f68",
    "data.sources.cifar10": "e6fd77a313ff",
    "data.sources.cityscapes": "454b713e3409",
    "data.sources.clevr": "a54d68e3a7ab",
    "data.sources.ffhq": "09a0553d4173",
    "data.sources.flowers": "71f35c91ce40",
    "data.sources.lsun": "0706fb0d6b0b",
}
OTHER_FACTS = {
    ("config.drive", "FILES"): "8d787133888b",
    ("metrics.extractors.inception_2015.model", "published"): "41a58a680d88",
    ("metrics.extractors.vgg16.model", "published"): "7fa31851fe58",
    ("perceptual.distance", "PUBLISHED"): "827f06338087",
}


def fingerprint(facts: object) -> str:
    """Return the beginning of the sha256 of facts as JSON."""
    text = json.dumps(facts, default=lambda value: asdict(value) if is_dataclass(value) else list(value))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize("module", FACTS)
def test_facts_about_published_data_stay(module: str) -> None:
    """Addresses, sizes, checksums, counts and licences, which no other test can know: who corrects one says so here."""
    config = import_module(f"ganformer.{module}").Config
    names = ("title", "home", "licence", "classes", "crop_ratio", "r1_gamma", "editions")
    assert fingerprint({name: getattr(config, name) for name in names}) == FACTS[module]


@pytest.mark.parametrize(("module", "name"), OTHER_FACTS)
def test_facts_about_published_weights_stay(module: str, name: str) -> None:
    facts = getattr(import_module(f"ganformer.{module}"), name)
    assert fingerprint(facts() if callable(facts) else facts) == OTHER_FACTS[module, name]
