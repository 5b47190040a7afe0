"""Disentanglement of latents by properties of images: DCI (Eastwood & Williams 2018; the paper, table 3).

The paper (section 4.3) measures 1,000 generated images: the "area size of each semantic class", read by a segmentor, is
predicted from the latents. It follows "the protocol" of Wu et al. 2020 (StyleSpace), whose code fits boosted trees to
half of the images and tests them on the other half. The importance of each latent d for each property f makes a matrix
R [D, F]. The paper's own code has none of this; open details are here:

- Codes: all numbers of the latents w that steer the first layer, side by side, so that models with one latent and with
  many have the same kind of codes (with a row for each whole latent, StyleGAN2 would have a single one).
- Factors: visible pixels in an image of each value that an attribute of objects can have: in built-in scenes of each
  shape, colour, size and material, 15 in all, elsewhere of each class. Factors that are the same in more than
  `MAX_EQUAL_SHARE` of the images are left out, as StyleSpace leaves out rare ones.
- Predictors: regression, since areas are numbers (StyleSpace classifies its attributes), by trees like its own: 100 of
  depth 3, learning rate 0.1, least squares, importance by the squared error that splits on a code take away, with sum 1
  over the codes. These are the defaults of scikit-learn's gradient boosting, which disentanglement_lib's DCI uses, too.
  On purpose, codes are put into 32 bins first: without bins, scikit-learn's `GradientBoostingRegressor` takes 9 times
  as long for 1,000 images with 64 codes and 6 times with 512. Its disentanglement and completeness are 0.01 to 0.05
  higher where factors depend on codes, since bins blur where a factor changes; compare only numbers of the same trees.
- Disentanglement: 1 − H(code's row of R) in base F, the mean over codes weighted by their sums. Completeness: 1 −
  H(factor's column) in base D, weighted likewise (Eastwood & Williams, section 2).
- Modularity: Ridgeway & Mozer 2018, eq. 2, with R in place of mutual information, which would need bins of its own.
- Informativeness and informativeness′: part of the variance that is predicted, R², at least 0, the mean over factors,
  in the half that the trees were fitted to and in the other one. The paper does not say what the prime means, but
  StyleSpace's code gives these two, and every prime that is printed is the smaller number.
- Everything is the mean over `HALVINGS` random halvings, drawn with seed 0; the deviation over them is `…_std`.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from ganformer import devices
from ganformer.analysis import readers
from ganformer.errors import ConfigError, DataError
from ganformer.metrics.evaluate import computing
from ganformer.metrics.sets import Generated
from ganformer.nn.interfaces import Generator
from ganformer.records.metrics import plain_values
from ganformer.training import checkpoint
from ganformer.training.adversarial import evaluating
from ganformer.training.samples import batches, draw_labels, latents

# N images, D codes, F factors, J nodes of a level

Array = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
Record = Sequence[Mapping[str, Any]]  # the objects of a scene: `visible_pixels`, and attributes by their names

MAX_EQUAL_SHARE = 0.95  # of the images, with the same value of a factor
HALVINGS = 5
SEED = 0
MIN_IMAGES = 40  # images
TREES, DEPTH, RATE, BINS = 100, 3, 0.1, 32


def measure_run(images: int, run: Path, parser: Path, out: Path, *, threads: int, gpus: int) -> None:
    """Measure DCI on `images` images of a run, of seeds from 0 on; write a file like `metrics.json`: values `dci_…`.

    `run`: its run.json; `parser`: the parser.json of one that was made for these images. Raises ConfigError if
    the model has no latents to look at, and what `dci` does.
    """
    started = time.monotonic()
    learner, record = checkpoint.restore(run)
    generator = learner.sampling_generator
    if generator is None:
        kind = record.kind
        raise ConfigError(f"{run}: models of kind '{kind}' have no latents w; take a run of a model that plays a game")
    made = Generated(learner, record, run, None, range(images))
    reader = readers.load(parser)
    origin = readers.origin(reader, record, {"images": images})
    if origin.is_measured(out):
        return
    device = devices.acquire(gpus)
    with computing(threads):
        records = reader.read(made, device)
        codes = _codes(generator, record.data.label_counts, made.seeds)
    values = {f"dci_{name}": value for name, value in dci(codes, areas(records, reader.attributes)).items()}
    hardware = devices.describe(device, threads)
    seconds = time.monotonic() - started
    origin.measured(plain_values(values), seconds=seconds, hardware=hardware).write(out)


def _codes(generator: Generator, label_counts: Sequence[int], seeds: Sequence[int]) -> Array:
    """Return the latents w [N, D] that steer the first layer for images of these seeds."""
    device = generator.w_average.device
    codes = []
    with evaluating(generator):
        for batch in batches(seeds):
            z, labels = latents(generator.latent_shape, batch), draw_labels(label_counts, batch)
            codes.append(generator.map(z.to(device), labels.to(device))[:, 0].flatten(1).double().cpu().numpy())
    return np.concatenate(codes)


def areas(records: Sequence[Record], attributes: Mapping[str, Sequence[str]]) -> Array:
    """Return visible pixels [N, F] of the objects with each value of each attribute, in the order of `attributes`."""
    factors = [(name, value) for name, values in attributes.items() for value in values]
    return np.array(
        [
            [sum(thing["visible_pixels"] for thing in record if thing[name] == value) for name, value in factors]
            for record in records
        ],
        np.float64,
    )


def dci(codes: Array, factors: Array) -> dict[str, float]:
    """Return `disentanglement`, `modularity`, `completeness`, `informativeness` and `informativeness_prime`, in [0, 1].

    Each with its standard deviation, `…_std`. Of codes [N, D] and factors [N, F]. Raises DataError for fewer than 40
    images, numbers that are not finite, fewer than two codes, or fewer than two factors that differ between images.
    """
    _check(codes, factors)
    varied = factors[:, [_most_common(factor) <= MAX_EQUAL_SHARE for factor in factors.T]]
    if varied.shape[1] < 2:
        raise DataError(
            f"disentanglement: {varied.shape[1]} of {factors.shape[1]} factors differ between the images, and 2 are "
            "needed; a model whose images are all alike cannot be measured"
        )
    random = np.random.default_rng(SEED)
    halvings = [np.array_split(random.permutation(len(codes)), 2) for _ in range(HALVINGS)]
    measured = [_measure(codes, varied, *halves) for halves in halvings]
    values: dict[str, float] = {}
    for name in measured[0]:
        each = [one[name] for one in measured]
        values |= {name: float(np.mean(each)), f"{name}_std": float(np.std(each, ddof=1))}
    return values


def _check(codes: Array, factors: Array) -> None:
    if len(codes) != len(factors):
        raise DataError(f"disentanglement: there are codes of {len(codes)} images, but factors of {len(factors)}")
    if len(codes) < MIN_IMAGES:
        raise DataError(
            f"disentanglement: {len(codes)} images are too few; take at least {MIN_IMAGES}, the paper has 1,000"
        )
    if codes.shape[1] < 2:
        raise DataError(f"disentanglement: needs at least 2 codes, there are {codes.shape[1]}")
    if not (np.isfinite(codes).all() and np.isfinite(factors).all()):
        raise DataError("disentanglement: codes or factors are not finite, so the training diverged; train again")


def _most_common(factor: Array) -> float:
    """Return the part of the images with the most common value."""
    return float(np.unique(factor, return_counts=True)[1].max() / len(factor))


def _measure(codes: Array, factors: Array, fitted: Integers, held_out: Integers) -> dict[str, float]:
    found = [boost(codes[fitted], factor[fitted], codes[held_out], factor[held_out]) for factor in factors.T]
    importances = np.stack([one.importances for one in found], axis=1)
    return {
        "disentanglement": disentanglement(importances),
        "modularity": modularity(importances),
        "completeness": completeness(importances),
        "informativeness": float(np.mean([one.fitted for one in found])),
        "informativeness_prime": float(np.mean([one.held_out for one in found])),
    }


# ------------------------------------------------------------------------------------ from importances [D, F]


def disentanglement(importances: Array) -> float:
    """Return 1 − entropy of each code's row, weighted by its sum: its importance for one factor only; 0 of zeros."""
    rows = importances.sum(axis=1)
    return float(rows @ (1 - _entropies(importances)) / rows.sum()) if rows.any() else 0.0


def completeness(importances: Array) -> float:
    """Return `disentanglement` with factors and codes exchanged: the importance of one code only for each factor."""
    return disentanglement(importances.T)


def modularity(importances: Array) -> float:
    """Return the mean over codes of 1 − Σ R² beside the row's largest / (largest R² (F − 1)); 0 without any."""
    squares = importances**2
    largest = squares.max(axis=1)
    beside = (squares.sum(axis=1) - largest) / (np.where(largest, largest, 1) * (squares.shape[1] - 1))
    return float(np.where(largest, 1 - beside, 0).mean())


def _entropies(rows: Array) -> Array:
    """Return entropies to base F of rows [D, F] that are scaled to sum to 1; 0 of zeros."""
    parts = rows / np.where(rows.any(axis=1), rows.sum(axis=1), 1)[:, None]
    entropies: Array = -xlogy(parts, parts).sum(axis=1) / np.log(rows.shape[1])
    return entropies


# --------------------------------------------------------------------------------------------- boosted trees


class Boosted(NamedTuple):
    """Fit of boosted trees to the codes."""

    importances: Array
    """[D], with sum 1, or zeros where nothing could be split."""
    fitted: float
    """R², at least 0, of the images that the trees were fitted to."""
    held_out: float
    """R², at least 0, of other images."""


def boost(codes: Array, factor: Array, other_codes: Array, other_factor: Array) -> Boosted:
    """Fit boosted regression trees (Friedman 2001) to codes [N, D] and a factor [N], and predict it for others."""
    edges = np.quantile(codes, np.arange(1, BINS) / BINS, axis=0)
    cells, other_cells = _binned(codes, edges), _binned(other_codes, edges)
    importances = np.zeros(codes.shape[1])
    prediction, other = np.full(len(factor), factor.mean()), np.full(len(other_factor), factor.mean())
    for _ in range(TREES):
        residual = factor - prediction
        leaf, other_leaf = _grow(cells, residual, other_cells, importances)
        sums, counts = (np.bincount(leaf, weights, 2**DEPTH) for weights in (residual, None))
        steps = RATE * sums / counts.clip(min=1)
        prediction += steps[leaf]
        other += steps[other_leaf]
    total = importances.sum()
    return Boosted(importances / (total or 1), _predicted(factor, prediction), _predicted(other_factor, other))


def _grow(cells: Integers, residual: Array, other_cells: Integers, importances: Array) -> tuple[Integers, Integers]:
    """Grow one tree, level by level; return the leaf of every image.

    Gains of splits are added to `importances`.
    """
    leaf, other_leaf = np.zeros(len(cells), np.int64), np.zeros(len(other_cells), np.int64)
    weights = np.repeat(residual, cells.shape[1])
    for level in range(DEPTH):
        gains = _gains(cells, weights, leaf, 2**level)
        cut = gains.argmax(axis=1)
        np.add.at(importances, cut // BINS, gains[np.arange(len(cut)), cut])
        leaf, other_leaf = _descend(cells, leaf, cut), _descend(other_cells, other_leaf, cut)
    return leaf, other_leaf


def _gains(cells: Integers, weights: Array, node: Integers, nodes: int) -> Array:
    """Return the gain [J, D · BINS] in squared error of splitting a node behind a cell; 0 if it splits nothing."""
    codes = cells.shape[1]
    places = (cells + node[:, None] * (codes * BINS)).ravel()
    left, count = (
        np.bincount(places, what, nodes * codes * BINS).reshape(nodes, codes, BINS).cumsum(axis=2)
        for what in (weights, None)
    )
    total, whole = left[..., -1:], count[..., -1:].clip(min=1)
    # (left² / count + right² / rest − total² / whole), brought together so that nothing cancels.
    gains = (left - count * (total / whole)) ** 2 / (count * (whole - count) / whole).clip(min=0.5)
    return np.where((count > 0) & (count < whole), gains, 0).reshape(nodes, -1)


def _descend(cells: Integers, node: Integers, cut: Integers) -> Integers:
    """Return the child of every image's node: left up to the node's cut, right behind it."""
    cut = cut[node]
    return 2 * node + (cells[np.arange(len(cells)), cut // BINS] > cut)


def _binned(codes: Array, edges: Array) -> Integers:
    """Return cells [N, D], code · BINS + bin between its edges [BINS − 1, D]; edges are in the bin below."""
    bins = [np.searchsorted(edge, code) for edge, code in zip(edges.T, codes.T, strict=True)]
    return np.stack(bins, axis=1) + np.arange(len(bins)) * BINS


def _predicted(factor: Array, prediction: Array) -> float:
    """Return R², at least 0; 0 of a factor that does not vary."""
    scatter = ((factor - factor.mean()) ** 2).sum()
    return max(0.0, float(1 - ((factor - prediction) ** 2).sum() / scatter)) if scatter > 0 else 0.0
