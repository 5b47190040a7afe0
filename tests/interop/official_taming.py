"""Taming Transformers' networks, written anew over weights under the official names, for tests to compare with."""

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


# ------------------------------------------------------------------------------------------------- their weights


def conv(state: State, name: str, inputs: int, outputs: int, size: int = 3) -> None:
    state[f"{name}.weight"] = torch.randn(outputs, inputs, size, size) / (inputs * size**2) ** 0.5
    state[f"{name}.bias"] = torch.randn(outputs) / 4


def norm(state: State, name: str, channels: int) -> None:
    state[f"{name}.weight"], state[f"{name}.bias"] = 1 + torch.randn(channels) / 4, torch.randn(channels) / 4


def linear(state: State, name: str, inputs: int, outputs: int) -> None:
    state[f"{name}.weight"], state[f"{name}.bias"] = torch.randn(outputs, inputs) / inputs**0.5, torch.randn(outputs)


def residual(state: State, name: str, inputs: int, outputs: int) -> None:
    norm(state, f"{name}.norm1", inputs)
    conv(state, f"{name}.conv1", inputs, outputs)
    norm(state, f"{name}.norm2", outputs)
    conv(state, f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        conv(state, f"{name}.nin_shortcut", inputs, outputs, 1)


def attention(state: State, name: str, channels: int) -> None:
    norm(state, f"{name}.norm", channels)
    for part in ("q", "k", "v", "proj_out"):
        conv(state, f"{name}.{part}", channels, channels, 1)


def middle(state: State, name: str, channels: int) -> None:
    residual(state, f"{name}.mid.block_1", channels, channels)
    attention(state, f"{name}.mid.attn_1", channels)
    residual(state, f"{name}.mid.block_2", channels, channels)


def first_stage(
    widths: list[int], blocks: int, attends: set[int], latent: int, codes: int, size: int, colours: int = 3
) -> State:
    """Return a first stage whose level i has widths[i] features and attention where i is in `attends`."""
    state: State = {}
    conv(state, "encoder.conv_in", colours, widths[0])
    conv(state, "decoder.conv_in", latent, widths[-1])
    for half, order in (("encoder", range(len(widths))), ("decoder", range(len(widths) - 1, -1, -1))):
        level, more = ("down", 0) if half == "encoder" else ("up", 1)
        inputs = widths[order[0]]
        for i in order:
            for j in range(blocks + more):
                residual(state, f"{half}.{level}.{i}.block.{j}", inputs, widths[i])
                inputs = widths[i]
                if i in attends:
                    attention(state, f"{half}.{level}.{i}.attn.{j}", inputs)
            if i != order[-1]:
                conv(state, f"{half}.{level}.{i}.{level}sample.conv", inputs, inputs)
        middle(state, half, widths[-1])
        norm(state, f"{half}.norm_out", widths[-1] if half == "encoder" else widths[0])
    conv(state, "encoder.conv_out", widths[-1], latent)
    conv(state, "decoder.conv_out", widths[0], colours)
    conv(state, "quant_conv", latent, size, 1)
    conv(state, "post_quant_conv", size, latent, 1)
    state["quantize.embedding.weight"] = torch.randn(codes, size)
    return state


def gumbel(state: State) -> State:
    """Return the same with a codebook that is chosen from by scores."""
    state = dict(state)
    codebook = state.pop("quantize.embedding.weight")
    conv(state, "quantize.proj", codebook.shape[1], len(codebook), 1)
    return {**state, "quantize.embed.weight": codebook}


def discriminator(channels: int, layers: int, colours: int = 3) -> State:
    """Return a discriminator of patches, under the names within it."""
    state: State = {}
    conv(state, "main.0", colours, channels, 4)
    inputs, place = channels, 2
    for i in range(1, layers + 1):
        outputs = channels * min(2**i, 8)
        conv(state, f"main.{place}", inputs, outputs, 4)
        del state[f"main.{place}.bias"]
        norm(state, f"main.{place + 1}", outputs)
        state[f"main.{place + 1}.running_mean"] = torch.randn(outputs) / 4
        state[f"main.{place + 1}.running_var"] = torch.rand(outputs) + 0.5
        state[f"main.{place + 1}.num_batches_tracked"] = torch.tensor(7)
        inputs, place = outputs, place + 3
    conv(state, f"main.{place}", inputs, 1, 4)
    return state


def transformer(tokens: int, places: int, layers: int, width: int) -> State:
    """Return a transformer, under the names within it."""
    state = {"tok_emb.weight": torch.randn(tokens, width), "pos_emb": torch.randn(1, places, width)}
    for i in range(layers):
        for part in ("ln1", "ln2"):
            norm(state, f"blocks.{i}.{part}", width)
        for part in ("key", "query", "value", "proj"):
            linear(state, f"blocks.{i}.attn.{part}", width, width)
        state[f"blocks.{i}.attn.mask"] = torch.ones(places, places).tril()[None, None]
        linear(state, f"blocks.{i}.mlp.0", width, 4 * width)
        linear(state, f"blocks.{i}.mlp.2", 4 * width, width)
    norm(state, "ln_f", width)
    state["head.weight"] = torch.randn(tokens, width) / width**0.5
    return state


# ----------------------------------------------------------------------------------------------- what they compute


def convolved(state: State, name: str, x: Tensor, stride: int = 1, pad: int = 0) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride, pad)


def swish_normed(state: State, name: str, x: Tensor) -> Tensor:
    y = normed(state, name, x)
    return y * torch.sigmoid(y)


def normed(state: State, name: str, x: Tensor) -> Tensor:
    grouped = x.unflatten(1, (32, -1)).flatten(2)
    mean, variance = grouped.mean(dim=2, keepdim=True), grouped.var(dim=2, keepdim=True, unbiased=False)
    y = ((grouped - mean) / (variance + 1e-6).sqrt()).reshape(x.shape)
    return y * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]


def resnet_block(state: State, name: str, x: Tensor) -> Tensor:
    h = convolved(state, f"{name}.conv1", swish_normed(state, f"{name}.norm1", x), pad=1)
    h = convolved(state, f"{name}.conv2", swish_normed(state, f"{name}.norm2", h), pad=1)
    return h + (convolved(state, f"{name}.nin_shortcut", x) if f"{name}.nin_shortcut.weight" in state else x)


def attention_block(state: State, name: str, x: Tensor) -> Tensor:
    h = normed(state, f"{name}.norm", x)
    q, k, v = (convolved(state, f"{name}.{part}", h).flatten(2) for part in "qkv")
    weights = torch.einsum("bci,bcj->bij", q, k).div(q.shape[1] ** 0.5).softmax(dim=2)
    return x + convolved(state, f"{name}.proj_out", torch.einsum("bcj,bij->bci", v, weights).reshape(x.shape))


def level(state: State, name: str, x: Tensor) -> Tensor:
    j = 0
    while f"{name}.block.{j}.norm1.weight" in state:
        x = resnet_block(state, f"{name}.block.{j}", x)
        if f"{name}.attn.{j}.norm.weight" in state:
            x = attention_block(state, f"{name}.attn.{j}", x)
        j += 1
    return x


def through_middle(state: State, name: str, x: Tensor) -> Tensor:
    x = resnet_block(state, f"{name}.mid.block_1", x)
    return resnet_block(state, f"{name}.mid.block_2", attention_block(state, f"{name}.mid.attn_1", x))


def encode(state: State, images: Tensor, levels: int) -> Tensor:
    """Return what is quantised, behind quant_conv."""
    x = convolved(state, "encoder.conv_in", images, pad=1)
    for i in range(levels):
        x = level(state, f"encoder.down.{i}", x)
        if i < levels - 1:
            x = convolved(state, f"encoder.down.{i}.downsample.conv", F.pad(x, (0, 1, 0, 1)), stride=2)
    x = swish_normed(state, "encoder.norm_out", through_middle(state, "encoder", x))
    return convolved(state, "quant_conv", convolved(state, "encoder.conv_out", x, pad=1))


def codes_of(state: State, latents: Tensor) -> Tensor:
    """Return numbers [B, h, w]; of Gumbel's the most probable, which is what is drawn most often."""
    if "quantize.proj.weight" in state:
        return convolved(state, "quantize.proj", latents).argmax(dim=1)
    points = latents.permute(0, 2, 3, 1)
    return (points[..., None, :] - state["quantize.embedding.weight"]).square().sum(dim=-1).argmin(dim=-1)


def decode(state: State, codes: Tensor, levels: int) -> Tensor:
    codebook = state.get("quantize.embed.weight", state.get("quantize.embedding.weight"))
    assert codebook is not None
    x = convolved(state, "post_quant_conv", codebook[codes].permute(0, 3, 1, 2))
    x = through_middle(state, "decoder", convolved(state, "decoder.conv_in", x, pad=1))
    for i in range(levels - 1, -1, -1):
        x = level(state, f"decoder.up.{i}", x)
        if i:
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = convolved(state, f"decoder.up.{i}.upsample.conv", x, pad=1)
    return convolved(state, "decoder.conv_out", swish_normed(state, "decoder.norm_out", x), pad=1)


def patch_logits(state: State, images: Tensor) -> Tensor:
    """Return logits [B, 1, h, w] in evaluation."""
    places = sorted({int(name.split(".")[1]) for name, value in state.items() if value.ndim == 4})
    x = images
    for i, place in enumerate(places):
        x = convolved(state, f"main.{place}", x, stride=2 if i < len(places) - 2 else 1, pad=1)
        after = f"main.{place + 1}"
        if f"{after}.running_mean" in state:
            mean, variance = state[f"{after}.running_mean"], state[f"{after}.running_var"]
            scale = state[f"{after}.weight"] / (variance + 1e-5).sqrt()
            x = (x - mean[:, None, None]) * scale[:, None, None] + state[f"{after}.bias"][:, None, None]
        if place != places[-1]:
            x = torch.where(x > 0, x, 0.2 * x)
    return x


def next_logits(state: State, tokens: Tensor, heads: int) -> Tensor:
    """Return logits [B, N, tokens] of what follows each of the tokens [B, N]."""

    def apply(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def layer_norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    x = state["tok_emb.weight"][tokens] + state["pos_emb"][:, : tokens.shape[1]]
    i = 0
    while f"blocks.{i}.ln1.weight" in state:
        h = layer_norm(f"blocks.{i}.ln1", x)
        q, k, v = (
            apply(f"blocks.{i}.attn.{part}", h).unflatten(2, (heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(2, 3) / k.shape[-1] ** 0.5
        hidden = state[f"blocks.{i}.attn.mask"][:, :, : x.shape[1], : x.shape[1]] == 0
        attended = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1) @ v
        x = x + apply(f"blocks.{i}.attn.proj", attended.transpose(1, 2).flatten(2))
        x = x + apply(f"blocks.{i}.mlp.2", F.gelu(apply(f"blocks.{i}.mlp.0", layer_norm(f"blocks.{i}.ln2", x))))
        i += 1
    return layer_norm("ln_f", x) @ state["head.weight"].T


def likeliest(state: State, start: Tensor, count: int, heads: int) -> Tensor:
    """Return codes [B, count] behind start tokens [B], each the most probable one."""
    tokens = start[:, None]
    for _ in range(count):
        tokens = torch.cat([tokens, next_logits(state, tokens, heads)[:, -1:].argmax(dim=-1)], dim=1)
    return tokens[:, 1:]
