"""Every schedule of the registry: its formula in float64, Optax where it has it, lanes, corners, refusals."""

from __future__ import annotations

import doctest
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from schedule_rows import ROWS, Row, Setting

from lr_batch.schedules import SCHEDULES

SETTING = Setting()
STEPS = np.arange(48)  # beyond the end, which is at 40
PADDED = 64  # one shape of steps, so that each schedule is compiled once
LANES = 16

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.variant}".rstrip("-"))


@functools.cache
def program(row: Row):
    """`(setting, steps) -> rates`, compiled once for all tests."""
    return jax.jit(lambda setting, steps: jax.vmap(row(setting))(steps))


def rates(row: Row, setting: Setting, steps=STEPS) -> np.ndarray:
    """The schedule at all steps at once, the setting traced."""
    padded = np.resize(steps, PADDED)
    return np.asarray(program(row)(jax.tree.map(jnp.asarray, setting), padded))[: len(steps)]


def expected(row: Row, setting: Setting) -> np.ndarray:
    """The three phases in float64, step by step."""

    def rate(t: int) -> float:
        if t >= setting.num_steps:
            return row.last(setting)
        if t < setting.warmup:
            return setting.init + (row.first(setting) - setting.init) * row.ramp(t / setting.warmup)
        return row.oracle(t, setting)

    return np.array([rate(t) for t in STEPS])


def lanes() -> Setting:
    """Sixteen settings that differ in everything."""
    k = jnp.arange(LANES)
    return Setting(
        peak=0.1 * 1.3**k, num_steps=30 + k, end=0.003 * 1.2**k, warmup=4 + k // 2, init=0.001 * (1.0 + k)
    )


def test_rows_cover_the_registry():
    assert {row.name for row in ROWS} == set(SCHEDULES)


@each_row
def test_equals_its_formula_in_float64(row):
    with jax.enable_x64(True):
        got = rates(row, SETTING)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected(row, SETTING), rtol=1e-12)


@pytest.mark.parametrize("row", [row for row in ROWS if row.optax], ids=lambda row: row.name)
def test_equals_optax(row):
    theirs = jax.vmap(row.optax(SETTING))(jnp.asarray(STEPS))
    np.testing.assert_allclose(rates(row, SETTING), theirs, rtol=2e-5)


@each_row
def test_float32_and_the_same_under_scan_jit_and_eagerly(row):
    schedule = row(SETTING)
    traced = rates(row, SETTING)
    _, scanned = jax.lax.scan(lambda t, _: (t + 1, schedule(t)), 0, length=len(STEPS))
    eager = [schedule(t) for t in STEPS[::16]]
    assert traced.dtype == scanned.dtype == np.float32
    assert all(rate.dtype == np.float32 and not rate.weak_type and rate.shape == () for rate in eager)
    np.testing.assert_allclose(scanned, traced, rtol=1e-6)
    np.testing.assert_allclose(eager, traced[::16], rtol=1e-6)


@each_row
def test_integer_and_float_steps_agree(row):
    np.testing.assert_array_equal(
        rates(row, SETTING, STEPS.astype(np.int32)), rates(row, SETTING, STEPS.astype(np.float32))
    )


@each_row
def test_one_trace_serves_two_settings(row):
    traces = []

    @jax.jit
    def rate(setting: Setting, step: jax.Array) -> jax.Array:
        traces.append(setting)
        return row(setting)(step)

    for setting in (SETTING, Setting(peak=1.0, num_steps=99, end=0.5, warmup=0, init=0.2)):
        rate(jax.tree.map(jnp.asarray, setting), jnp.asarray(3))
    assert len(traces) == 1


@each_row
def test_vmap_over_lanes_equals_a_loop(row):
    steps = jnp.asarray(STEPS)
    together = jax.jit(jax.vmap(lambda s: jax.vmap(row(s))(steps)))(lanes())
    alone = [rates(row, jax.tree.map(lambda x: x[k], lanes())) for k in range(LANES)]
    np.testing.assert_allclose(together, np.stack(alone), rtol=1e-6)


@each_row
@pytest.mark.parametrize("num_steps, warmup", [(40, 8), (37, 5), (1001, 1)])
def test_exact_at_the_corners(row, num_steps, warmup):
    setting = Setting(num_steps=num_steps, warmup=warmup)
    summit = row.summit(setting)
    corners = (0, warmup, summit, num_steps, num_steps + 1, 10 * num_steps)
    start, first, peak, end, *beyond = rates(row, setting, np.array(corners))
    assert start == np.float32(setting.init)
    assert first == np.float32(row.first(setting))
    assert abs(peak - np.float32(setting.peak)) <= row.summit_error * setting.peak
    assert abs(end - np.float32(row.last(setting))) <= (0 if row.takes_end else 1e-6 * end)
    assert beyond == [end, end]


EXTREMES = [(1, 0, 0.0), (2, 1, 1e-30), (40, 0, 1.0), (10**9, 10**6, 0.0)]


@each_row
@pytest.mark.parametrize("num_steps, warmup, end", EXTREMES)
def test_finite_and_nonnegative_everywhere(row, num_steps, warmup, end):
    end = max(end, 1e-37) if row.positive_end else end
    setting = Setting(peak=1.0, num_steps=num_steps, end=end, warmup=warmup, init=0.0)
    steps = np.unique(np.concatenate([STEPS, np.geomspace(50, 2**30, 16).astype(np.int32)]))
    got = rates(row, setting, steps)
    assert np.isfinite(got).all() and (got >= 0).all() and (got <= 1).all()


@each_row
def test_derivatives_by_the_setting_are_finite(row):
    """An unused branch that divides by zero shows here first."""

    def total(peak, end):
        return jax.vmap(row(SETTING._replace(peak=peak, end=end, warmup=0)))(jnp.asarray(STEPS)).sum()

    assert np.isfinite(jax.jit(jax.grad(total, argnums=(0, 1)))(0.3, 0.03)).all()


@each_row
def test_drives_an_optax_chain_whose_lanes_share_the_step_count(row):
    """Plain descent on a linear loss: after n steps the parameter is minus the sum of the rates."""
    num_steps = 12

    def train(setting: Setting) -> tuple[jax.Array, jax.Array]:
        tx = optax.chain(optax.identity(), optax.scale_by_learning_rate(row(setting)))

        def step(carry, _):
            params, state = carry
            updates, state = tx.update(jnp.ones(3), state)
            return (optax.apply_updates(params, updates), state), None

        (params, state), _ = jax.lax.scan(step, (jnp.zeros(3), tx.init(jnp.zeros(3))), length=num_steps)
        return params, optax.tree.get(state, "count")

    params, count = jax.jit(jax.vmap(train, out_axes=(0, None)))(lanes())
    each = [rates(row, jax.tree.map(lambda x: x[k], lanes()))[:num_steps].sum() for k in range(LANES)]
    np.testing.assert_allclose(params[:, 0], -np.array(each), rtol=1e-5)
    assert count == num_steps


BAD = [
    ({"peak": 0.0}, r"peak_value must be in \(0, inf\), got 0.0"),
    ({"peak": -1.0}, r"peak_value must be in \(0, inf\), got -1.0"),
    ({"peak": float("nan")}, r"peak_value must be in \(0, inf\), got nan"),
    ({"num_steps": 0}, "num_steps must be a whole number >= 1, got 0"),
    ({"num_steps": 10.5}, "num_steps must be a whole number >= 1, got 10.5"),
    ({"warmup": -1}, "warmup_steps must be a whole number >= 0, got -1"),
    ({"warmup": 40}, "warmup_steps must be less than num_steps, got 40 of 40 steps"),
    ({"init": -0.1}, r"init_value must be in \[0, inf\), got -0.1"),
]


@each_row
@pytest.mark.parametrize("change, message", BAD, ids=lambda x: str(x))
def test_refuses_by_name_what_is_out_of_range(row, change, message):
    with pytest.raises(ValueError, match=f"^{row.name}: {message}"):
        row(SETTING._replace(**change))


OWN = [
    ("linear", {"end_value": -1.0}, r"end_value must be in \[0, inf\), got -1.0"),
    ("exponential", {"end_value": 0.0}, r"end_value must be in \(0, inf\), got 0.0"),
    ("polynomial", {"power": 0.0}, r"power must be in \(0, inf\), got 0.0"),
    ("step", {"factor": -0.1}, r"factor must be in \[0, inf\), got -0.1"),
    ("step", {"boundaries": (0.5, 1.5)}, r"boundaries must be in \(0, 1\], got 1.5"),
    ("step", {"boundaries": (0.7, 0.5)}, r"boundaries must ascend, got \(0.7, 0.5\)"),
    ("cosine_restarts", {"num_cycles": 0}, "num_cycles must be a whole number in \\[1, 64\\], got 0"),
    ("cosine_restarts", {"cycle_mult": 0.0}, r"cycle_mult must be in \(0, inf\), got 0.0"),
    ("cyclic", {"shrink": 1.5}, r"shrink must be in \(0, 1\], got 1.5"),
    ("one_cycle", {"anneal": "cosin"}, "unknown anneal 'cosin'; did you mean 'cosine'"),
    ("one_cycle", {"warmup_steps": 30}, "warmup_steps must be at most 0.5 num_steps, got 30 of 40 steps"),
    ("inverse_sqrt", {"timescale": -3.0}, r"timescale must be in \(0, inf\), got -3.0"),
    ("warmup_stable_decay", {"decay_fraction": 0.0}, r"decay_fraction must be in \(0, 1\], got 0.0"),
]


@pytest.mark.parametrize("name, options, message", OWN, ids=lambda x: str(x))
def test_refuses_its_own_options_out_of_range(name, options, message):
    with pytest.raises(ValueError, match=f"^{name}: {message}"):
        SCHEDULES[name](0.3, 40, **options)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown schedule 'cosinus'; did you mean 'cosine'"):
        SCHEDULES["cosinus"]


@pytest.mark.parametrize("name", SCHEDULES)
def test_doctest(name):
    result = doctest.testmod(sys.modules[SCHEDULES[name].__module__])
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_two_arguments_are_enough(name):
    got = np.array([SCHEDULES[name](0.3, 100)(t) for t in (0, 45, 100)])
    assert np.isfinite(got).all() and got.max() <= np.float32(0.3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_whole_numbers_beyond_32_bits_are_numbers(name):
    schedule = SCHEDULES[name](10**30, 10**20)
    assert np.isfinite(schedule(0)) and schedule(0) == SCHEDULES[name](1e30, 1e20)(0)
