"""Which parameters are hidden matrices, and how they are matrices, told by the names along their path."""

from __future__ import annotations

import re

import jax

from optim.arguments import explain_arguments

# The words of a name: "MultiHeadDotProductAttention_0" is multi, head, dot, product, attention.
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
VECTORS = {"bias", "scale"}  # whatever their shape: DenseGeneral has biases of order 2
EMBEDDING = {"emb", "embed", "embeds", "embedder", "embedding", "embeddings", "wte", "wpe"}
TOKEN = {"token", "tokens"}
ATTENTION = {"attention", "attn", "mha", "multi", "multihead", "qkv"}
PROJECTIONS = {"query", "key", "value", "q", "k", "v", "qkv"}  # one axis in, heads and features out
PARTS = ATTENTION | {"block", "expert", "experts", "ffn", "layer", "layers", "mlp"}
HEAD = {"head", "heads", "lmhead"}
OUTPUT = {"output", "outputs"}
ALWAYS_OUTPUT = {"classifier", "logit", "logits", "readout", "unembed", "unembedding"}
GENERIC = {"conv", "dense", "fc", "general", "kernel", "layer", "linear", "proj", "projection", "weight"}


def path_name(path: tuple) -> str:
    """The names along a path of a tree, joined by slashes, as in "Dense_0/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def is_vector(path: str) -> bool:
    """Whether a parameter is a bias or a scale by its name, whatever its shape."""
    return bool(set(_words_along(path)[-1][-1:]) & VECTORS)


def input_axes(path: str, leaf: jax.Array | jax.ShapeDtypeStruct) -> int:
    """How many of the first axes of a kernel are its inputs; the others are its outputs.

    All but the last, as in (H, W, I, O) and in attention's `out` of (heads, features, O); one for its `query`,
    `key` and `value` of (I, heads, features).
    """
    stems = map(_stem, _words_along(path)[-2:])
    is_projection = any(len(stem) == 1 and stem[0] in PROJECTIONS for stem in stems)
    return 1 if is_projection and leaf.ndim == 3 else leaf.ndim - 1


@explain_arguments
def is_hidden_matrix(path: str, leaf: jax.Array | jax.ShapeDtypeStruct) -> bool:
    """Two dimensions or more, and no bias, no embedding, not the output layer of the network.

    Names are read by whole words. Embeddings are parameters and layers whose name ends so (`Embed_0`, `wte`,
    `pos_embedding`), and tokens. An output layer is a head, a readout, a classifier or logits; "output" as well
    unless it is that of a block, an MLP or an attention. The layers of attention, which has heads, are hidden.

    Args:
      path: names along the tree, as in "Dense_0/kernel".
      leaf: the parameter.

    >>> import jax.numpy as jnp
    >>> kernel = jnp.ones((4, 2, 2))
    >>> is_hidden_matrix("MultiHeadDotProductAttention_0/query/kernel", kernel)
    True
    >>> [is_hidden_matrix(path, kernel) for path in ("lm_head/kernel", "Embed_0/embedding")]
    [False, False]
    """
    names = _words_along(path)
    if leaf.ndim < 2 or is_vector(path) or set(names[-1][-1:]) & TOKEN:
        return False
    return not any(set(_stem(name)[-1:]) & EMBEDDING for name in names) and not _is_output(names)


def _is_output(names: list[list[str]]) -> bool:
    """Whether one of the names along a path is that of the network's output layer."""
    words = {word for name in names for word in name}
    ends = {_stem(name)[-1] for name in names if name}
    is_projection = any(len(stem) == 1 and stem[0] in PROJECTIONS for stem in map(_stem, names))
    in_attention = bool(words & ATTENTION) or is_projection
    return (
        bool(words & ALWAYS_OUTPUT)
        or (bool(ends & HEAD) and not in_attention)
        or (bool(ends & OUTPUT) and not words & PARTS)
    )


def _words_along(path: str) -> list[list[str]]:
    """The words of every name along a path, in lower case and without numbers.

    Flax nnx holds the array of a variable in a field `value`, which is no name of a layer.
    """
    names = path.split("/")
    if len(names) > 1 and names[-1] in ("value", "raw_value"):
        names = names[:-1]
    return [[word.lower() for word in WORD.findall(name)] for name in names]


def _stem(words: list[str]) -> list[str]:
    """The words before those that any layer may have: output, of output_projection."""
    while len(words) > 1 and words[-1] in GENERIC:
        words = words[:-1]
    return words
