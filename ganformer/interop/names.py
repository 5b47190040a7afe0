"""Names of network parts in the official code: one naming that all readers translate into.

It is that of GANformer's PyTorch code, but for two things: what is called `biasAct.bias` there is `bias`, as in
StyleGAN2-ADA, and the layers of a mapping network are numbered, `l0`, `l1` … to the last one, whether that is
called `out_layer` or not; the one that labels enter is `entrance` and has no number.
"""

import re
from collections.abc import Callable, Sequence

Rule = tuple[str, str | Callable[[re.Match[str]], str]]

_LAYER: Sequence[Rule] = (
    (r"(?<=\.)convolution\.(convolution\.)?(?=weight$|affine\.)", ""),
    (r"(?<=\.)noise\.", "noise_"),
    (r"noise_constant$", "noise_const"),
)

_ATTENTION: Sequence[Rule] = (
    (r"(?<=\.)attention\.", "transformer."),
    (r"(?<=\.)queries\.", "to_queries."),
    (r"(?<=\.)query_positions\.", "from_pos_map."),
    (r"(?<=\.)keys\.", "to_keys."),
    (r"(?<=\.)key_positions\.", "to_pos_map."),
    (r"(?<=\.)values\.", "to_values."),
    (r"(?<=\.)importance$", "att_weight"),
    (r"(?<=\.)gates\.image\.", "from_gate_attention."),
    (r"(?<=\.)gates\.component\.", "to_gate_attention."),
    (r"(?<=_gate_attention\.)content\.", "gate."),
    (r"(?<=_gate_attention\.)place\.", "gate_pos."),
)

_MAPPING: Sequence[Rule] = (
    (r"^w_average$", "mapping.w_avg"),
    (r"^positions$", "pos"),
    (r"^(global_)?mapping\.entrance\.embedding\.", "mapping.embed."),
    (r"^(global_)?mapping\.(?=entrance\.layer\.|steps\.)", "mapping.global_mlp."),
    (r"^local_mapping\.", "mapping.mlp."),
    (r"(?<=\.)entrance\.layer\.", "entrance."),
    (r"(?<=\.)attentions\.(\d+)\.", r"sa\1."),
    (r"(?<=\.)steps\.(\d+)\.layers\.(\d)\.", r"l\1.fc\2."),
    (r"(?<=\.)steps\.(\d+)\.layer\.", r"l\1."),
)


def generator(name: str, width: int) -> str:
    """Return the official name of a value of a sampler, for images `width` pixels wide."""
    ladder: Sequence[Rule] = (
        (r"^synthesis\.stem\.constant$", "synthesis.b4.const"),
        (r"^synthesis\.stem\.layer\.", "synthesis.b4.conv1."),
        (r"^synthesis\.blocks\.(\d+)\.first\.", lambda found: f"synthesis.b{8 << int(found[1])}.conv0."),
        (r"^synthesis\.blocks\.(\d+)\.second\.", lambda found: f"synthesis.b{8 << int(found[1])}.conv1."),
        (r"^synthesis\.blocks\.(\d+)\.shortcut\.0\.", lambda found: f"synthesis.b{8 << int(found[1])}.skip."),
        (r"^synthesis\.coarse_colours\.(\d+)\.colours\.", lambda found: f"synthesis.b{4 << int(found[1])}.torgb."),
        (r"^synthesis\.colours\.colours\.", f"synthesis.b{width}.torgb."),
        (r"^synthesis\.colours\.convolution\.", f"synthesis.b{width}.conv_last."),
    )
    return _renamed(name, [*_MAPPING, *ladder, *_LAYER, *_ATTENTION])


def discriminator(name: str, width: int) -> str:
    """Return the official name of a value of a discriminator, for images `width` pixels wide."""
    ladder: Sequence[Rule] = (
        (r"^from_colours\.", f"b{width}.fromrgb."),
        (r"^from_coarse_colours\.(\d+)\.", lambda found: f"b{width >> (int(found[1]) + 1)}.fromrgb."),
        (r"^blocks\.(\d+)\.first\.", lambda found: f"b{width >> int(found[1])}.conv0."),
        (r"^blocks\.(\d+)\.second\.", lambda found: f"b{width >> int(found[1])}.conv1."),
        (r"^blocks\.(\d+)\.shortcut\.1\.", lambda found: f"b{width >> int(found[1])}.skip."),
        (r"^epilogue\.convolution\.", "b4.conv."),
        (r"^epilogue\.hidden\.", "b4.fc."),
        (r"^epilogue\.head\.layer\.", "b4.out."),
        (r"^epilogue\.head\.embedding\.", "mapping.embed."),
        (r"^epilogue\.head\.steps\.(\d+)\.layer\.", r"mapping.l\1."),
    )
    return _renamed(name, [*ladder, *_LAYER])


def _renamed(name: str, rules: Sequence[Rule]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
