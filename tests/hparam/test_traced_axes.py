"""What a network does with its parameters, against what their shapes look like."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lr_batch
from hparam.mup.fan_growth import Fans, checked_fans, default_fans

X = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
TOKENS = np.arange(8, dtype="int32") % 7
SAID = "reads as growth .* and the network uses it as "


def network(model, x=X):
    y = np.zeros(len(x), np.float32)
    loss = lambda outputs, y: (outputs.reshape(len(y), -1)[:, 0] - y) ** 2
    return lr_batch.from_arrays(model, train=(x, y), held_out=(x, y), loss=loss, goal="loss<0.1")


def pair(apply, **shapes):
    """The family width -> network of a function and of the shapes of its parameters, "w" being the width."""

    def at(width):
        sized = {name: [width if size == "w" else size for size in shape] for name, shape in shapes.items()}
        return network(
            (lambda key: {name: 0.1 * jax.random.normal(key, s) for name, s in sized.items()}, apply)
        )

    return at


def growth(family, owner="mup"):
    return checked_fans(owner, family(4), family(16), default_fans)


hidden = lambda p, x: jnp.tanh(x @ p["a"])
USED_AS_SHAPED = {
    "gain and bias": (lambda p, x: (hidden(p, x) * p["g"][None] + p["b"][None]) @ p["v"], dict(g="w", b="w")),
    "bias, then normalized": (
        lambda p, x: jax.nn.standardize(hidden(p, x) + p["b"][None]) @ p["v"],
        dict(b="w"),
    ),
    "normalized weights": (
        lambda p, x: (
            jnp.tanh(x @ (p["a"] / jnp.linalg.norm(p["a"], axis=0, keepdims=True) * p["g"][None])) @ p["v"]
        ),
        dict(g="w"),
    ),
    "lanes and remat": (
        lambda p, x: jax.vmap(jax.checkpoint(lambda one: hidden(p, one) @ p["v"]))(x),
        {},
    ),
    "layers in a scan": (
        lambda p, x: jax.lax.scan(lambda h, s: (jnp.tanh(h @ s), None), hidden(p, x), p["s"])[0] @ p["v"],
        dict(s=(2, "w", "w")),
    ),
    "heads": (
        lambda p, x: jnp.einsum("bi,ihd,hdo->bo", hidden(p, x), p["q"], p["o"]),
        dict(q=("w", 2, "w"), o=(2, "w", 3)),
    ),
}


@pytest.mark.parametrize("name", USED_AS_SHAPED)
def test_parameters_that_are_used_as_their_shapes_say_are_taken(name):
    apply, shapes = USED_AS_SHAPED[name]
    found = growth(pair(apply, **{"a": (5, "w"), "v": ("w", 3), **shapes}))
    assert found["a"] == Fans(1, 4) and all(found[name] == Fans(1, 4) for name in "gb" if name in found)
    assert all(found[name] == Fans(4, 1) for name in "vo" if name in found)


@pytest.mark.parametrize(
    ("apply", "shapes", "said"),
    [
        (lambda p, x: hidden(p, x) @ p["v"], dict(v="w"), f"'v'.*{SAID}.4.0, 1"),
        (lambda p, x: (hidden(p, x) * p["v"][None]).sum(-1), dict(v="w"), f"'v'.*{SAID}.4.0, 1"),
        (lambda p, x: hidden(p, x) @ p["v"].T, dict(v=(1, "w")), f"'v'.*{SAID}.4.0, 1"),
        (lambda p, x: jnp.einsum("bw,cw->bc", hidden(p, x), p["v"]), dict(v=(3, "w")), f"'v'.*{SAID}.4.0, 1"),
        (lambda p, x: jnp.tanh(x @ p["k"].T) @ p["v"], dict(k=("w", 5), v=("w", 3)), f"'k'.*{SAID}.1, 4.0"),
        (
            lambda p, x: hidden(p, x) @ p["k"] @ p["k"].T @ p["v"],
            dict(k=("w", 3), v=("w", 3)),
            "both sums over 'k' and keeps it, as if tied: untie",
        ),
    ],
    ids=["vector", "product and sum", "row", "einsum", "transposed input", "tied"],
)
@pytest.mark.parametrize("owner", ["mup", "zero_readout"])
def test_other_uses_are_asked_for(apply, shapes, said, owner):
    with pytest.raises(ValueError, match=f"^{owner}: .*{said}.*say with `fans`"):
        growth(pair(apply, **{"a": (5, "w"), **shapes}), owner)


class Tied(nn.Module):
    """An embedding that gives one of two outputs again."""

    width: int

    @nn.compact
    def __call__(self, x):
        embed = nn.Embed(7, self.width)
        h = nn.Dense(self.width)(embed(x))
        return embed.attend(h) + nn.Dense(7)(h)


def test_tied_weights_beside_other_output_weights_are_asked_for():
    with pytest.raises(ValueError, match="both sums over 'Embed_0/embedding'"):
        growth(lambda width: network(Tied(width), TOKENS))


class Attention(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        h = nn.Conv(self.width, (3,))(x[:, :, None])
        h = h + nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(h))
        return nn.Dense(3)(nn.RMSNorm()(h).mean(1))


def test_layers_of_flax_are_taken():
    found = growth(lambda width: network(Attention(width)))
    assert found["MultiHeadDotProductAttention_0"]["out"]["kernel"] == Fans(4, 4)
    assert found["Dense_0"]["kernel"] == Fans(4, 1)


def test_a_rule_of_ones_own_is_not_asked():
    family = pair(lambda p, x: hidden(p, x) @ p["v"], a=(5, "w"), v="w")
    rule = lambda path, base, target: (4.0, 1.0) if path == "v" else default_fans(path, base, target)
    assert checked_fans("mup", family(4), family(16), rule)["v"] == Fans(4, 1)
