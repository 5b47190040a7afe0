"""GPUs that torch believes in, in this process; CUDA_VISIBLE_DEVICES hides and orders them as it does real ones."""

import os
from types import SimpleNamespace

import torch

from ganformer import devices


def pretend(setattr_, count, uuids=None):
    """Patch torch by `setattr_`. GPUs are called by their index, the start of `GPU-<uuid>`, or `MIG-<uuid>`."""
    uuids = uuids or [f"{index:08}-0000" for index in range(count)]

    def seen():
        if "CUDA_VISIBLE_DEVICES" not in os.environ:
            return list(range(count))
        found = []
        for word in os.environ["CUDA_VISIBLE_DEVICES"].split(","):
            named = [index for index, uuid in enumerate(uuids) if f"GPU-{uuid}".startswith(word or "none")]
            if word.startswith("MIG-"):
                found.append(0)  # a part has the UUID of its GPU, the first one
            elif word.isdecimal() and int(word) < count:
                found.append(int(word))
            elif len(named) == 1:
                found += named
            else:
                break
        return found

    setattr_(torch.version, "cuda", "13.0")
    setattr_(torch.cuda, "device_count", lambda: len(seen()))
    setattr_(torch.cuda, "is_available", lambda: bool(seen()))
    setattr_(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[seen()[index]]))
    setattr_(devices, "_try", lambda device: None)
