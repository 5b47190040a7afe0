"""LaTeX of any text that the classes and fonts of every installation can set, and its width.

Nothing is assumed but `article` and its fonts (OT1, Computer Modern). Characters that these lack are shown by their
number, as [U+4E2D], so that no name of a class or a model stops a document.
"""

import re
import unicodedata

BREAK = "\u200b"
"""Characters after which a line may be broken within a word."""

# Characters by their commands in mathematics.
_MATHEMATICAL = """
α alpha β beta γ gamma δ delta ε varepsilon ϵ epsilon ζ zeta η eta θ theta ϑ vartheta ι iota κ kappa λ lambda μ mu µ mu
ν nu ξ xi π pi ϖ varpi ρ rho ϱ varrho σ sigma ς varsigma τ tau υ upsilon φ varphi ϕ phi χ chi ψ psi ω omega
Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega
± pm ∓ mp × times ÷ div · cdot ⋅ cdot ∘ circ ∗ ast ⊕ oplus ⊗ otimes ⊙ odot ∑ sum ∏ prod ∫ int ∂ partial ∇ nabla
∞ infty √ surd ℓ ell ∈ in ∋ ni ⊂ subset ⊆ subseteq ∪ cup ∩ cap ∅ emptyset ∀ forall ∃ exists ¬ neg ∧ wedge ∨ vee
≤ leq ≥ geq ≠ neq ≈ approx ≡ equiv ∼ sim ≃ simeq ≅ cong ∝ propto ≪ ll ≫ gg « ll » gg ⊥ perp ∥ parallel ∣ mid ∠ angle
← leftarrow → rightarrow ↑ uparrow ↓ downarrow ↔ leftrightarrow ↕ updownarrow ↗ nearrow ↘ searrow ↙ swarrow ↖ nwarrow
⇐ Leftarrow ⇒ Rightarrow ⇔ Leftrightarrow ↦ mapsto • bullet ★ star △ triangle ⋯ cdots
♠ spadesuit ♥ heartsuit ♦ diamondsuit ♣ clubsuit ♭ flat ♮ natural ♯ sharp
"""
_ALIKE = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))  # Greek letters that look as Latin ones

SYMBOLS = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # behind the end of a line it would be its option
    "]": "{]}",
    "*": "{*}",
    "\u00a0": "~",
    "\u00ad": r"\-",
    "\u2009": r"\,",
    "\u202f": r"\,",
    BREAK: r"\allowbreak{}",
    **{character: f"$\\{name}$" for character, name in re.findall(r"(\S) (\S+)", _MATHEMATICAL)},
    **_ALIKE,
    "−": "$-$",
    "′": "$'$",
    "″": "$''$",
    "°": r"$^\circ$",
    **{character: f"$^{digit}$" for character, digit in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-", strict=True)},
    **{character: f"$_{digit}$" for character, digit in zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True)},
    "¼": r"$\frac14$",
    "½": r"$\frac12$",
    "¾": r"$\frac34$",
    "‐": "-",
    "‑": r"\mbox{-}",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "©": r"\copyright{}",
    "£": r"\pounds{}",
    "¡": "!`",
    "¿": "?`",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
}
_ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0308\u0304\u0307\u0306\u030c\u030b\u030a", "`'^~\"=.uvHr", strict=True))
_ACCENTS_BELOW = dict(zip("\u0327\u0323\u0331", "cdb", strict=True))


def escaped(text: str) -> str:
    """Return text as LaTeX; line breaks and tabs become spaces."""
    pieces: list[str] = []
    for character in _composed(text):
        piece, last = _one(character), pieces[-1][-1] if pieces else ""
        if piece[0] in "-'`" and (piece[0] == last or (piece[0] == "`" and last in ("?", "!"))):
            pieces.append("{}")  # else both became one dash, quotation mark or ¿
        pieces.append(piece)
    return "".join(pieces)


def _composed(text: str) -> str:
    spaced = "".join(" " if character.isspace() and character not in SYMBOLS else character for character in text)
    return unicodedata.normalize("NFC", spaced)


def _one(character: str) -> str:
    if character in SYMBOLS:
        return SYMBOLS[character]
    if " " <= character <= "~":
        return character
    return _accented(character) or "".join(map(_one, _number(character)))


def _accented(character: str) -> str | None:
    """Return the LaTeX of a Latin letter with one accent; None for other characters."""
    base, *marks = list(unicodedata.normalize("NFD", character))
    if len(marks) != 1 or not (base.isascii() and base.isalpha()):
        return None
    if accent := _ACCENTS.get(marks[0]):
        return f"\\{accent}{{\\{base}}}" if base in "ij" else f"\\{accent}{{{base}}}"
    if accent := _ACCENTS_BELOW.get(marks[0]):
        return f"\\{accent}{{{base}}}"
    return None


def _number(character: str) -> str:
    return f"[U+{ord(character):04X}]"


# ------------------------------------------------------------------------------------------------- widths

_WIDTHS = {  # points of 10 pt Computer Modern, as pdfTeX gives them, rounded up
    2.8: "',.:;[]`il|\u2009\u202f",
    2.9: "!′",
    3.4: "fj-‐‑ \u00a0",
    3.7: "_I",
    4.0: "()trs",
    4.5: "cez†‡¹²³",
    5.0: '$"*/0123456789\\^ago{}~↓↑–',
    5.3: "?Jqkvxy",
    5.6: "Sbdhnpu",
    6.6: "ZLFα",
    7.1: "EPB",
    7.6: "CTwRAHNUVXY",
    7.8: "D&+<=>@KOQ±×−≈Ψ",
    8.4: "G#%m",
    9.2: "M",
    10.3: "W",
    0.0: f"{BREAK}\u00ad",
}
_WIDTH = {character: width for width, characters in _WIDTHS.items() for character in characters}
MAX_CHARACTER_WIDTH = 13.4  # width of the widest character that is not listed, the dots of an ellipsis
BOLD = 1.22  # at most so many times as wide
_PUNCTUATION = re.compile(r"(?<=[/._:@=+])(?=\w)|(?<=\w)(?=[(])")


def width(text: str, *, bold: bool = False) -> float:
    """Return an upper bound of the width of `escaped(text)`, in points, at 10 pt."""
    return sum(map(_width, _composed(text))) * (BOLD if bold else 1.0)


def _width(character: str) -> float:
    if character in _WIDTH:
        return _WIDTH[character]
    if character in SYMBOLS:
        return MAX_CHARACTER_WIDTH
    if _accented(character):
        return _width(unicodedata.normalize("NFD", character)[0])
    return sum(map(_width, _number(character)))


def breakable(text: str, limit: float) -> str:
    """Return `text` with breaks in words wider than `limit` points: behind punctuation, or anywhere."""
    return " ".join(_broken(word, limit) if width(word) > limit else word for word in text.split(" "))


def _broken(word: str, limit: float) -> str:
    pieces = []
    for piece in _PUNCTUATION.split(_composed(word)):
        start = 0
        for end in range(1, len(piece) + 1):
            if end - start > 1 and width(piece[start:end]) > limit:
                pieces.append(piece[start : end - 1])
                start = end - 1
        pieces.append(piece[start:])
    return BREAK.join(pieces)


def lines(text: str, limit: float) -> list[str]:
    """Return `text` in lines of at most `limit` points, or its widest word; arrows stay with the word before them."""
    first, *others = re.split(f"([ {BREAK}])", re.sub(r" (?=[↓↑])", "\u00a0", text))
    found = [first]
    limit = max(limit, *map(width, [first, *others[1::2]]))
    for gap, word in zip(others[::2], others[1::2], strict=True):
        if width(f"{found[-1]}{gap}{word}") <= limit:
            found[-1] += f"{gap}{word}"
        else:
            found.append(word)
    return found
