"""Buffers of a network that training changes; most are constants: filters, positions, the noise that samples have."""

from collections.abc import Iterator

from torch import Tensor, nn


class ChangedBuffers:
    """Buffers of `network` that were written or replaced since the last call, by name; the first call gives all.

    Told by the counter that torch keeps of writes to a tensor, so that no value is read from the device.
    """

    def __init__(self, network: nn.Module) -> None:
        # Modules with buffers, to look them up in each step without walking through the whole network.
        self._places = [
            (f"{path}.{name}" if path else name, module, name)
            for path, module in network.named_modules()
            for name in dict(module.named_buffers(recurse=False))
        ]
        # The tensors themselves: identities of tensors that are gone are given to new ones.
        self._seen: dict[str, tuple[Tensor, int]] = {}

    def __call__(self) -> Iterator[tuple[str, Tensor]]:
        seen = self._seen
        self.settle()
        for name, (buffer, writes) in self._seen.items():
            if name not in seen or seen[name][0] is not buffer or seen[name][1] != writes:
                yield name, buffer

    def settle(self) -> None:
        """Take the buffers as they are now for unchanged."""
        buffers = ((path, module._buffers[name]) for path, module, name in self._places)
        self._seen = {path: (buffer, buffer._version) for path, buffer in buffers if buffer is not None}
