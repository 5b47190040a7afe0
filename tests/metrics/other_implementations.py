"""Other implementations of the same networks and resizes, which tests compare with where they are installed."""

import importlib
import importlib.util
import warnings
from types import ModuleType

import pytest
import torch


def rival(module: str, package: str) -> ModuleType:
    """Return a module of a package that needs torchvision; skips the test where the package is not installed.

    Where torchvision lacks its compiled part, stand-ins for it let the import pass.
    """
    top = module.partition(".")[0]
    if importlib.util.find_spec(top) is None or importlib.util.find_spec("torchvision") is None:
        pytest.skip(f"{package} is not installed: pip install {package}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("torchvision")
        except RuntimeError:
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define("nms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
            library.define("qnms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        return importlib.import_module(module)
