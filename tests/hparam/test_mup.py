"""muP: its table, its equivalences, and the coordinate check that has to notice a wrong rule."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import hparam
import lr_batch
import optim
from hparam.mup.coordinate_check import exponent, layers_of, outputs_of_layers
from hparam.mup.fan_growth import Fans, default_fans
from hparam.mup.initial_std import Spread, std_ratio
from hparam.mup.mup import Factors, width_factors
from lr_batch.workloads import MLP, CharTransformer, digits_cnn, pydoc_lm

WIDTHS = (16, 256)


@functools.cache
def mlp(width=16, layers=2, model=None):
    """A network of the given width on 24 rows of noise, one and the same in all tests: it is traced once."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 4)).astype(np.float32), rng.integers(0, 3, 24).astype(np.int32)
    return lr_batch.from_arrays(
        model or MLP((width,) * layers + (3,)),
        train=(x, y),
        held_out=(x[:8], y[:8]),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal=lr_batch.Goal("loss", 0.1),
        name="noise",
    )


@functools.cache
def derived(base, width, **options):
    """muP between two widths of `mlp`."""
    return hparam.mup(mlp(base), mlp(width), **options)


def trained(workload, optimizer, steps=3, rate=0.05):
    """Losses of a few steps on all rows, and the function that the network computes afterwards."""
    tx = optimizer({"learning_rate": rate})
    batch = jax.tree.map(jnp.asarray, workload.train_data)

    @jax.jit
    def run(params):
        def step(carry, _):
            params, state = carry
            loss, grads = jax.value_and_grad(lambda p: workload.loss(p, batch, None).mean())(params)
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), loss

        (params, _), losses = jax.lax.scan(step, (params, tx.init(params)), length=steps)
        return losses, workload.evaluate(params, batch)["loss"]

    return run(jax.jit(workload.init)(jax.random.key(1)))


# Yang et al. (2022), table 3, for a width that is four times the base: initial std, SGD rate, Adam rate.
TABLE = {
    "input": (Fans(1.0, 4.0), 1.0, 4.0, 1.0),
    "hidden": (Fans(4.0, 4.0), 0.5, 1.0, 0.25),
    "output": (Fans(4.0, 1.0), 0.25, 0.25, 0.25),
    "output bias": (Fans(1.0, 1.0), 1.0, 1.0, 1.0),
}


@pytest.mark.parametrize("kind", TABLE)
@pytest.mark.parametrize("own_ratio", [1.0, 0.5])
def test_factors_are_the_papers(kind, own_ratio):
    fans, std, sgd, adam = TABLE[kind]
    found = width_factors(fans, own_ratio, multiplied=False)
    assert found == (std / own_ratio, 1.0, sgd, adam, adam)


@pytest.mark.parametrize(
    ("path", "base", "target", "fans"),
    [
        ("Dense_0/kernel", (64, 8), (64, 32), (1, 4)),
        ("Dense_0/bias", (8,), (32,), (1, 4)),
        ("Dense_1/kernel", (8, 16), (32, 64), (4, 4)),
        ("Dense_1/kernel", (8, 10), (32, 10), (4, 1)),
        ("Conv_0/kernel", (3, 3, 1, 8), (3, 3, 1, 16), (1, 2)),
        ("Conv_1/kernel", (3, 3, 8, 8), (3, 3, 16, 16), (2, 2)),
        ("LayerNorm_0/scale", (8,), (24,), (1, 3)),
        ("query/kernel", (8, 2, 4), (32, 8, 4), (4, 4)),
        ("query/bias", (2, 4), (8, 4), (1, 4)),
        ("out/kernel", (2, 4, 8), (2, 16, 32), (4, 4)),
        ("out/bias", (10,), (10,), (1, 1)),
    ],
)
def test_axes_are_found_from_shapes(path, base, target, fans):
    assert default_fans(path, base, target) == fans


def test_networks_that_are_not_one_at_two_widths_are_refused():
    with pytest.raises(ValueError, match="same parameters"):
        hparam.mup(mlp(8, layers=1), mlp(8, layers=2))
    with pytest.raises(ValueError, match="3 axes of 'q/kernel' grow"):
        default_fans("q/kernel", (8, 2, 4), (16, 4, 8))
    with pytest.raises(ValueError, match="readout must be"):
        hparam.mup(mlp(8), mlp(8), readout="no")
    with pytest.raises(
        ValueError, match="kind must be one of sgd, adam, muon, got None for the optimizer lamb"
    ):
        derived(8, 8).optimizer("lamb")


@pytest.mark.slow
@pytest.mark.parametrize("family", [digits_cnn, pydoc_lm])
def test_initial_values_follow_the_table_in_every_kind_of_network(family):
    base, target = family(width=8), family(width=32)
    found = hparam.mup(base, target)
    stds = [
        jax.jit(lambda key, init=workload.init: jax.tree.map(jnp.std, init(key)))(jax.random.key(3))
        for workload in (base, found.workload())
    ]
    all_fans = jax.tree.leaves(found.fans, is_leaf=lambda node: isinstance(node, Fans))
    for fans, before, after in zip(all_fans, *map(jax.tree.leaves, stds), strict=True):
        wanted = 1 / fans.fan_in if fans.is_readout else fans.fan_in**-0.5
        if before > 0:
            assert after / before == pytest.approx(wanted, rel=0.25)  # 72 values in the smallest kernel
        else:
            assert after == 0


def test_muon_takes_the_spectral_factor_of_hidden_matrices_and_adams_of_the_rest():
    """The ready optimizer scales by max(1, fan-out / fan-in)^0.5: its own growth is divided out."""
    found = derived(8, 32).tree("muon")
    adam = derived(8, 32).tree("adam")
    inputs = mlp(8).init(jax.random.key(0))["Dense_0"]["kernel"].shape[0]
    own = [max(1.0, width / inputs) ** 0.5 for width in (8, 32)]
    assert found["Dense_0"]["kernel"] == pytest.approx(2.0 * own[0] / own[1])
    assert found["Dense_1"]["kernel"] == 1.0 != adam["Dense_1"]["kernel"]
    assert found["head"] == adam["head"] and found["Dense_1"]["bias"] == adam["Dense_1"]["bias"]


def test_an_initializer_with_another_law_is_corrected():
    class Constant(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x):
            normal = nn.initializers.normal(0.1)
            for _ in range(2):
                x = jax.nn.relu(nn.Dense(self.width, kernel_init=normal)(x))
            return nn.Dense(3, kernel_init=normal)(x)

    scale = hparam.mup(mlp(model=Constant(16)), mlp(model=Constant(64))).tree("init_scale")
    assert scale["Dense_0"]["kernel"] == 1
    assert scale["Dense_1"]["kernel"] == pytest.approx(0.5, rel=0.05)
    assert scale["Dense_2"]["kernel"] == pytest.approx(0.25, rel=0.2)


def test_sampling_error_is_not_taken_for_another_law():
    fans = Fans(4.0, 4.0)
    assert std_ratio(fans, Spread(1.0, 1000), Spread(0.52, 1000)) == 0.5
    assert std_ratio(fans, Spread(1.0, 1000), Spread(1.02, 1000)) == 1.02
    assert std_ratio(fans, Spread(0.0, 1000), Spread(0.0, 1000)) == 0.5


def test_nothing_changes_at_the_base_width():
    found = derived(8, 8)
    assert set(jax.tree.leaves(found.factors)) == {1.0}
    plain = trained(mlp(8), optim.OPTIMIZERS["adam"])
    ours = trained(found.workload(), found.optimizer("adam"))
    np.testing.assert_array_equal(plain[0], ours[0])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_readout_with_a_multiplier_trains_alike(optimizer):
    """The abc-symmetry (Yang et al., 2022, lemma J.1): two forms of the table, one function."""
    one, other = (derived(8, 32, readout=readout) for readout in ("init", "multiplier"))
    assert one.tree("multiplier") != other.tree("multiplier")
    a, b = (trained(form.workload(), form.optimizer(optimizer)) for form in (one, other))
    np.testing.assert_allclose(a[0], b[0], rtol=1e-4)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-4)


@functools.cache
def zeroed(width):
    return hparam.zero_readout(mlp(width), mlp(2 * width))


def test_zero_readout_starts_from_equal_guesses_at_the_base_too():
    for width in (8, 32):
        workload = hparam.mup(zeroed(8), zeroed(width)).workload()
        params = jax.jit(workload.init)(jax.random.key(0))
        losses = jax.jit(workload.evaluate)(params, workload.eval_data)["loss"]
        np.testing.assert_allclose(losses, np.log(3), rtol=1e-6)
        assert params["Dense_0"]["kernel"].any() and params["Dense_1"]["kernel"].any()
    assert hparam.mup(zeroed(8), zeroed(32)).tree("adam") == derived(8, 32).tree("adam")
    with pytest.raises(ValueError, match="no output weights"):
        hparam.zero_readout(mlp(8), mlp(8))


def test_rates_in_branches_follow_the_depth():
    """CompleteP (exponent 1): Adam's rates stay, SGD's grow by L; depth-muP (1/2): Adam's fall by sqrt(L)."""
    shallow = derived(8, 32)
    for power, sgd, adam in ((1.0, 4.0, 1.0), (0.5, 1.0, 0.5)):
        deep = derived(8, 32, depth=4.0, depth_exponent=power)
        for kind, ratio in (("sgd", sgd), ("adam", adam)):
            before, after = shallow.tree(kind), deep.tree(kind)
            assert after["Dense_1"]["kernel"] == ratio * before["Dense_1"]["kernel"]
            assert after["Dense_0"] == before["Dense_0"] and after["head"] == before["head"]


def test_attention_scores_fall_like_one_over_d():
    """Relative to the base width, where they are the usual ones."""
    key = jax.random.key(0)
    usual, at_base, wide = (pydoc_lm(width=16, base_width=base) for base in (None, 16, 4))
    params, rows = jax.jit(usual.init)(key), jax.tree.map(lambda leaf: leaf[:2], usual.eval_data)
    loss = lambda workload, params: np.asarray(jax.jit(workload.evaluate)(params, rows)["loss"])
    np.testing.assert_array_equal(loss(usual, params), loss(at_base, params))
    # Queries are the first third of the fused projection; half of them is half of the scores, sqrt(4 / 16).
    projection = params["Dense_0"]["kernel"].at[:, :16].multiply(0.5)
    halved = params | {"Dense_0": {"kernel": projection}}
    np.testing.assert_allclose(loss(wide, params), loss(usual, halved), rtol=1e-5)
    assert not np.allclose(loss(wide, params), loss(usual, params), rtol=1e-5)


def test_residual_branches_take_their_scale():
    """A branch that is scaled to nothing leaves embedding and readout."""
    make = lambda scale: CharTransformer(vocab=5, width=8, branch_scale=scale)
    x = jnp.arange(4)[None]
    params = make(1.0).init(jax.random.key(0), x)
    none = jax.tree.map(jnp.zeros_like, {name: params["params"][name] for name in ("Dense_1", "Dense_2")})
    cut = {"params": params["params"] | none}
    apply = lambda scale, params: np.asarray(make(scale).apply(params, x))
    np.testing.assert_allclose(apply(0.0, params), apply(1.0, cut), rtol=1e-5)
    assert not np.allclose(apply(0.5, params), apply(1.0, params))


def test_a_study_takes_workload_and_optimizer_as_they_are():
    found = derived(4, 8)
    study = lr_batch.Study(
        workload=found.workload(),
        optimizer=found.optimizer("adam"),
        batch_sizes=(8,),
        space={"learning_rate": (0.01, 0.1)},
        seeds=1,
        budget=3,
        goal="loss<0",
        extend=False,
    )
    result = lr_batch.run(study, workers=1)
    assert result.optimizer == "adam_mup"
    assert all(np.isfinite(curve.values[-1]) for curve in result.curves)


def spoiled(mup, kind, layer, factor):
    """`mup` with a wrong rate for one layer."""

    def wrong(path, leaf):
        return leaf._replace(**{kind: factor}) if path[0].key == layer else leaf

    is_leaf = lambda node: isinstance(node, Factors)
    return mup._replace(factors=jax.tree_util.tree_map_with_path(wrong, mup.factors, is_leaf=is_leaf))


def check(optimizer, layer=None):
    """The coordinate check of muP; with a layer, of muP without the rule for its rate."""
    rate = {"adam": 0.02, "sgd": 0.2, "muon": 0.1}[optimizer]
    members = {}
    for width in WIDTHS:
        found = derived(WIDTHS[0], width)
        found = spoiled(found, optimizer, layer, 1.0) if layer else found
        members[width] = found.workload(), found.optimizer(optimizer)
    return hparam.coordinate_check(members, {"learning_rate": rate}, batch_size=8, seeds=4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
def test_coordinates_do_not_depend_on_the_width_under_mup(optimizer):
    assert check(optimizer).growing() == ()


@pytest.mark.parametrize("layer", ["Dense_1", "head"])
def test_a_missing_rule_is_caught_by_the_coordinate_check(layer):
    """Among them: no 1 / fan_in on the readout, whose output then grows with the width."""
    found = check("adam", layer)
    assert layer in found.growing()
    assert found.exponents(step=1)[layer] > 0.35


def test_the_standard_parameterization_fails_the_coordinate_check():
    members = {width: (mlp(width), optim.OPTIMIZERS["adam"]) for width in WIDTHS}
    found = hparam.coordinate_check(members, {"learning_rate": 0.02}, batch_size=8)
    assert "head" in found.growing()
    assert found.size.shape == found.change.shape == (3, 2, 5)
    assert not found.change[:, :, 0].any()


def test_outputs_of_layers_are_those_of_the_network():
    workload = mlp(8)
    params = workload.init(jax.random.key(0))
    outputs = outputs_of_layers(workload, params, workload.eval_data)
    hidden = jax.nn.relu(workload.eval_data["x"] @ params["Dense_0"]["kernel"])  # biases start at zero
    np.testing.assert_allclose(outputs["Dense_1"], hidden @ params["Dense_1"]["kernel"], rtol=1e-5, atol=1e-6)


def test_models_without_modules_have_no_coordinates():
    pair = (lambda key: jnp.zeros((4, 3)), lambda params, x: x @ params)
    workload = mlp(model=pair)
    assert layers_of(workload) == () != layers_of(mlp())
    with pytest.raises(ValueError, match="not made of Flax linen modules"):
        hparam.coordinate_check({16: (workload, optim.OPTIMIZERS["sgd"])}, {"learning_rate": 0.1})


def test_exponents_are_slopes_in_logs():
    widths = (8, 16, 32)
    assert exponent(widths, 3.0 * np.array(widths) ** 0.5) == pytest.approx(0.5)
    assert exponent(widths, np.array([1.0, np.nan, 1.0])) == np.inf
    assert exponent(widths, np.array([1.0, 0.0, 0.0])) == np.inf
    assert exponent(widths, np.zeros(3)) == 0


class VectorReadout(nn.Module):
    """A network whose output weights have one axis, or two."""

    width: int
    column: bool

    @nn.compact
    def __call__(self, x):
        h = nn.tanh(nn.Dense(self.width)(x))
        shape = (self.width, 1) if self.column else (self.width,)
        return (h @ self.param("v", nn.initializers.normal(self.width**-0.5), shape)).reshape(len(x))


class Tied(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        embed = nn.Embed(7, self.width)
        return embed.attend(nn.Dense(self.width)(embed(x)))


def network_of(model, x):
    y = np.zeros(len(x), np.float32)
    loss = lambda outputs, y: (outputs.reshape(len(y), -1)[:, 0] - y) ** 2
    return lr_batch.from_arrays(model, train=(x, y), held_out=(x, y), loss=loss, goal="loss<0.1")


@pytest.mark.parametrize("zero", [True, False])
def test_what_shapes_do_not_tell_is_asked_for_before_anything_is_trained(zero):
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    tokens = np.arange(8, dtype="int32") % 7

    def derived_from(make):
        networks = [make(width) for width in (16, 32, 64)]
        if zero:
            networks = [hparam.zero_readout(make(width), make(2 * width)) for width in (16, 32, 64)]
        return hparam.mup(networks[0], networks[2])

    assert derived_from(lambda width: network_of(VectorReadout(width, True), x)).tree("adam")["v"] == 0.25
    with pytest.raises(ValueError, match="'v'.*reads as growth .*say with `fans`"):
        derived_from(lambda width: network_of(VectorReadout(width, False), x))
    with pytest.raises(ValueError, match="as if tied: untie them.*`fans`"):
        derived_from(lambda width: network_of(Tied(width), tokens))


def test_fans_tell_what_shapes_do_not():
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    narrow, wide = (network_of(VectorReadout(width, False), x) for width in (16, 64))
    rule = lambda path, base, target: (4.0, 1.0) if path == "v" else default_fans(path, base, target)
    assert hparam.mup(narrow, wide, fans=rule).tree("adam")["v"] == 0.25


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            lambda path: (1, 1),
            r"mup: fans is called with 3 arguments \(str, tuple, tuple\), which <lambda>\(path\)",
        ),
        (lambda path, base, target: 3, "failed: TypeError"),
        (lambda path, base, target: (1, 2, 3), "failed: TypeError"),
        (lambda path, base, target: (1, 0), r"growth must be above 0 and finite, got \(1.0, 0.0\)"),
        (lambda path, base, target: 1 / 0, "failed: ZeroDivisionError"),
    ],
)
def test_a_rule_of_ones_own_that_fails_is_one_line(rule, said):
    with pytest.raises(ValueError, match=said) as error:
        hparam.mup(mlp(16), mlp(32), fans=rule)
    assert "\n" not in str(error.value)
