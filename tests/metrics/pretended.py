"""A device that computes on the CPU and refuses what a GPU would: operands of two devices, arrays of its tensors."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map_only

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")
ARRAYS = (torch.Tensor.numpy, torch.Tensor.__array__)


def device_of(tensor: Tensor) -> torch.device:
    return getattr(tensor, "pretended", CPU)


class PretendedGpu(TorchFunctionMode):
    """Context in which tensors are on `GPU` if they were made there or moved there; `seen`: functions called on it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", str(function))
        if function == torch.Tensor.device.__get__:
            return device_of(args[0])
        operands = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
        devices = {device_of(each) for each in operands if each.ndim} or {device_of(each) for each in operands}
        if len(devices) > 1:
            raise AssertionError(f"{name}: operands are on {' and '.join(sorted(map(str, devices)))}")
        (device,) = devices or {CPU}
        if device == GPU and function in ARRAYS:
            raise TypeError(f"{name}: can't convert a tensor on {GPU} to numpy")
        wanted = kwargs.pop("device", None)
        if function is torch.Tensor.cpu:
            wanted = CPU
        if function is torch.Tensor.to:
            wanted = next((each for each in args if isinstance(each, torch.device)), wanted)
            args = tuple(each for each in args if not isinstance(each, torch.device))
            if len(args) == 1 and not kwargs:
                function, args = torch.Tensor.clone, args
        device = device if wanted is None else torch.device(wanted)
        result = function(*args, **kwargs)
        if device == GPU:
            self.seen.add(name)
        in_place = function is torch.Tensor.__setitem__
        return result if in_place else tree_map_only(Tensor, lambda each: self._on(device, each), result)

    @staticmethod
    def _on(device: torch.device, tensor: Tensor) -> Tensor:
        tensor.pretended = device  # type: ignore[attr-defined]
        return tensor
