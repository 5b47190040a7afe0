"""Untrained models, opened to be looked into."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ganformer.analysis.explorer import Explorer
from ganformer.config import Spec
from ganformer.nn.layers import Noise
from ganformer.training.checkpoint import build
from tests.run_records import run_record
from tests.variants import OWN

IMAGE = {"height": 16, "width": 16}
TINY = {"channel_base": 64, "channel_max": 8, "latent_size": 16, "mapping_layers": 2}
MODELS: dict[str, dict[str, Any]] = {
    "stylegan2": {"kind": "stylegan2", **TINY},
    "gan": {"kind": "gan", **TINY},
    "duplex": {"kind": "ganformer", "attention": "duplex", "components": 4, "heads": 2, **TINY},
    "kgan": {"kind": "kgan", "components": 2, "merge_resolution": 8, **TINY},
    "msggan": {"kind": "msggan", "channel_base": 64, "channel_max": 8, "latent_size": 16},
    "vqgan": {"kind": "vqgan", **OWN["vqgan"]},
}
Open = Callable[..., Explorer]


def open_untrained(name: str, counts: tuple[int, ...] = (), colours: int = 3, **settings: Any) -> Explorer:
    """Open an untrained model, with noise that is seen.

    `counts`: images of each class; `colours`: channels of its images; `settings`: of the model.
    """
    image = {**IMAGE, "classes": len(counts), "channels": colours}
    training = {"kimg": 1, "batch": 4, "snapshots": 1}
    raw = {"image": image, "mirror": False, "model": MODELS[name] | settings, "training": training, "seed": 1}
    spec = Spec.model_validate(raw)
    learner = build(spec)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        for part in learner.sampler.modules():
            if isinstance(part, Noise):
                part.strength.fill_(0.3)
    if learner.sampling_generator is not None:
        learner.sampling_generator.w_average.normal_(generator=torch.Generator().manual_seed(2))
    record = run_record({"spec": spec.model_dump(mode="json"), "data": {"label_counts": list(counts)}})
    return Explorer(Path("run.json"), record, learner, torch.device("cpu"))
