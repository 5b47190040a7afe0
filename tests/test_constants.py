"""Constants that results depend on: with another value, what records and publications say is not comparable."""

from importlib import import_module

import pytest

RESULTS = {
    "analysis.chi_square": {"AREAS": 10, "RARE": 0.01, "RESAMPLES": 200, "SEED": 0},
    "analysis.copies": {"RESAMPLES": 200, "SEED": 0},
    "analysis.dci": {"MAX_EQUAL_SHARE": 0.95, "HALVINGS": 5, "SEED": 0, "MIN_IMAGES": 40}
    | {"TREES": 100, "DEPTH": 3, "RATE": 0.1, "BINS": 32},
    "analysis.segments": {"MIN_CLASS_IMAGES": 2, "SHIFTS": 5, "RESAMPLES": 200, "SEED": 0},
    "config.path_length": {"PAIRS": 50_000, "EPSILON": 1e-4, "OUTLIERS": 1.0},
    "data.images": {"BACKGROUND": (255, 255, 255, 255)},
    "metrics.measures.density_coverage": {"NEIGHBOURS": 5},
    "metrics.measures.frechet_error": {"GROUPS": 10},
    "metrics.measures.frechet_infinity": {"POINTS": 15, "SEED": 0},
    "metrics.measures.inception_score": {"SPLITS": 10},
    "metrics.measures.kid": {"SUBSETS": 100, "SIZE": 1000, "SEED": 2020},
    "metrics.measures.precision_recall": {"NEIGHBOURS": 3},
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
    "perceptual.distance": {"EPSILON": 1e-10},
    "perceptual.vgg16": {"MEAN": (0.485, 0.456, 0.406), "STD": (0.229, 0.224, 0.225)},
    "scenes.parser": {"SCALE": 4.0, "GRID": 32, "INNER": 4, "SPREAD": 0.7, "NUMBERS_WEIGHT": 2.0, "PIXELS_WEIGHT": 4.0}
    | {"WARM_UP": 0.1, "THRESHOLD": 0.35, "HORIZON": -0.05, "REACH": 1 / 16},
    "scenes.source": {"SIZES": {"large": 0.75, "small": 0.42}, "GAP": 0.3, "VISIBLE": 0.4, "TRIES": 48},
    "training.adversarial": {"PATH_LENGTH_DECAY": 0.01, "PATH_LENGTH_SHRINK": 2, "CLASS_LATENTS": 4096},
    "training.losses": {"DRIFT": 0.001},
}

LIMITS = {
    "analysis.generate": {"MAX_TRUNCATION": 1000.0, "MAX_SEED": 2**32 - 1},
    "data.containers.labels": {"MAX_LABEL": 2**31 - 1},
    "data.containers.zips": {"MAX_MEMBER_BYTES": 1 << 30},
    "data.fetching.download": {"ATTEMPTS": 6, "MAX_WAIT": 300.0, "TIMEOUT": (20.0, 60.0)},
    "data.sources.archive": {"MAX_STREAMED_BYTES": 1 << 26},
    "data.sources.webdataset": {"MAX_SHARDS": 1_000_000},
    "interop.kinds": {"MAX_HEADER_BYTES": 100 << 20},
    "interop.options": {"MAX_INTEGER": 1 << 20},
    "interop.unpickler": {"TUPLES": 50_000},
    "training.checkpoint": {"CHECKPOINTS_KEPT": 2},
    "training.writer": {"LOG_STEPS": 10, "GRID_IMAGES": 32},
}


@pytest.mark.parametrize("module", [*RESULTS, *LIMITS])
def test_constants_stay(module: str) -> None:
    expected = RESULTS.get(module) or LIMITS[module]
    found = import_module(f"ganformer.{module}")
    assert {name: getattr(found, name) for name in expected} == expected
