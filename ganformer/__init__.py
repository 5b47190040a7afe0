"""Generative Adversarial Transformers and everything they are compared with, as one reproducible workflow.

>>> import ganformer
>>> run = ganformer.load_run("results/runs/scenes/duplex/seed0")
>>> images = run.sample(seeds=range(16), truncation=0.7)  # uint8 [16, H, W, C]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganformer.api import Pack, Run, evaluate, load_pack, load_run, pack, train

__version__ = "0.2.0"
__all__ = ["Pack", "Run", "__version__", "evaluate", "load_pack", "load_run", "pack", "train"]


def __getattr__(name: str) -> Any:
    # On demand, since the API imports torch, which takes longer than all that the workflow plans.
    if name in __all__:
        from ganformer import api

        return getattr(api, name)
    raise AttributeError(f"module 'ganformer' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
