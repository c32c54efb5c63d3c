"""Long names that are cut where they stay different."""

from __future__ import annotations

from collections.abc import Sequence

from runs.plots.style import plain


def told_apart(names: Sequence[str], width: int) -> list[str]:
    """Names cut to `width` characters: at their ends, or where that would make two the same in their middles.

    >>> told_apart(["momentum, cosine", "momentum, constant"], 12), told_apart(["momentum, cosine", "sgd"], 12)
    (['moment…osine', 'moment…stant'], ['momentum, c…', 'sgd'])
    """
    cut = [plain(name, width) for name in names]
    if len({*cut}) == len({*names}):
        return cut
    half = width // 2
    return [plain(n if len(n) <= width else f"{n[:half]}…{n[half + 1 - width :]}", width) for n in names]


def short_path(path: str, width: int) -> str:
    """A layer's path in about `width` characters; every part keeps its ends, where names of layers differ.

    >>> short_path("TransformerBlock_0/SelfAttention_0/query", 30)
    'Tran…ck_0/Self…on_0/query'
    """
    parts = path.split("/")
    each = max(5, width // len(parts) - 1)
    return plain(path if len(path) <= width else "/".join(_cut(part, each) for part in parts), 2 * width)


def _cut(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    last = (width - 1) // 2
    return f"{text[: width - 1 - last]}…{text[len(text) - last :]}"
