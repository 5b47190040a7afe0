#!/usr/bin/env bash
# PyTorch's own operations skip gradients that nobody asked for: of a convolution whose
# image alone is named in torch.autograd.grad or backward(inputs=...), the backward pass
# computes no gradient of the weight. An operation written as torch.autograd.Function has
# ctx.needs_input_grad, and one would guess that it says the same. It does not: it says
# which arguments require a gradient at all, whoever asks. So a penalty of gradients with
# respect to images (R1) and a generator's update through its discriminator silently pay
# for gradients of all weights, here two convolutions instead of one. They have to be
# switched off by hand: requires_grad_(False) for the network that is not updated, and a
# flag of one's own around torch.autograd.grad. Seen with torch 2.13.0 (CPU), Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > look.py <<'PY'
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

seen = []


class Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=1)

    @staticmethod
    def backward(ctx, grad):
        seen.append(list(ctx.needs_input_grad))
        x, weight = ctx.saved_tensors
        return torch.nn.grad.conv2d_input(x.shape, weight, grad, padding=1), None


class Masks(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "convolution_backward" in function.__name__:
            seen.append(args[-1][:2])
        return function(*args, **(kwargs or {}))


x = torch.randn(1, 2, 8, 8, requires_grad=True)
weight = torch.randn(3, 2, 3, 3, requires_grad=True)
own = lambda: torch.autograd.grad(F.conv2d(x, weight, padding=1).sum(), x)
written = lambda: torch.autograd.grad(Convolution.apply(x, weight).sum(), x)
named = lambda: Convolution.apply(x, weight).sum().backward(inputs=[x])
print("torch", torch.__version__)
for name, work, expected in (
    ("conv2d, grad(y, x)", own, [True, False]),
    ("autograd.Function, grad(y, x)", written, [True, True]),
    ("autograd.Function, backward(inputs=[x])", named, [True, True]),
):
    seen.clear()
    with Masks():
        work()
    print(f"{name:42} gradients of image and weight: {seen[0]}")
    if seen[0] != expected:
        raise SystemExit(f"Changed: {name} gives {seen[0]}, expected {expected}.")
PY
venv/bin/python look.py
