"""Dimensions, spaces, their command-line form, and the identity of a configuration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_rows import FINITE, MIXED

from hparam import Space, choice, config_hash, integer, linear, log, log1m, parse_space

DIMENSIONS = {
    "linear": linear(-5, 10),
    "log": log(1e-4, 1),
    "log1m": log1m(0.9, 0.999),
    "int": integer(1, 8),
    "numbers": choice(8, 1, 4),
    "texts": choice("relu", "tanh"),
}


@pytest.mark.parametrize("dimension", DIMENSIONS.values(), ids=DIMENSIONS)
def test_unit_interval_and_back(dimension):
    values = dimension.from_unit(np.linspace(0, 1, 101))
    assert all(dimension.contains(value) for value in values)
    np.testing.assert_allclose(dimension.from_unit(dimension.to_unit(values)), values, rtol=1e-12)


@pytest.mark.parametrize(
    ("dimension", "middle"), [(linear(-5, 10), 2.5), (log(1e-4, 1), 1e-2), (log1m(0.9, 0.999), 0.99)]
)
def test_middle_and_ends_of_each_scale(dimension, middle):
    low, centre, high = dimension.from_unit(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(centre, middle, rtol=1e-12)
    assert f"({low:g},{high:g})" in dimension.text


def test_discrete_values_share_the_interval_equally():
    values, counts = np.unique(integer(1, 8).from_unit(np.linspace(0, 1, 8001)), return_counts=True)
    assert values.tolist() == list(range(1, 9)) and np.ptp(counts) <= 1


def test_levels_are_spread_to_both_ends():
    np.testing.assert_allclose(log(1e-4, 1).from_unit(log(1e-4, 1).levels(5)), [1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert integer(1, 9).from_unit(integer(1, 9).levels(3)).tolist() == [1, 5, 9]
    assert integer(1, 3).levels(10).shape == (3,) and choice("a", "b", "c").levels(2).shape == (3,)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=8))
def test_snapping_is_idempotent_and_keeps_the_settings(points):
    points = np.array(points)
    snapped = MIXED.snap(points)
    np.testing.assert_allclose(MIXED.snap(snapped), snapped, atol=1e-12)
    for name, column in MIXED.from_unit(points).items():
        np.testing.assert_allclose(MIXED.from_unit(snapped)[name], column, rtol=1e-9, atol=1e-12)


def test_a_dimension_without_effect_rests_at_its_first_value():
    columns = MIXED.from_unit(np.array([[0.5, 0.5, 0.5, 0.2, 0.8], [0.5, 0.5, 0.5, 0.7, 0.8]]))
    np.testing.assert_allclose(columns["slope"], [0.4, 0.0])
    one = {name: column[1] for name, column in columns.items()}
    assert MIXED.describe(one) == {"lr": "0.01", "momentum": "0.99", "n": "3", "act": "tanh"}


def test_conditions_chain():
    space = parse_space(["a=int(0,1)", "b=int(0,1) when a=1", "c=int(0,1) when b=1"])
    cells = space.cells()
    assert sorted(cells) == [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)]


def test_cells_of_finite_spaces_only():
    assert len(FINITE.cells()) == 48 and MIXED.cells() is None


def test_text_form_reads_back():
    assert str(parse_space([f"{name}={d.text}" for name, d in MIXED.dimensions.items()])) == str(MIXED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=logg(1e-4,1)", "space: lr: unknown kind 'logg'; did you mean 'log'?"),
        ("lr=log(0,1)", "space: lr: log: lower bound must be > 0, got 0"),
        ("lr=log(1,0.1)", "space: lr: log: lower bound must be below the upper one, got 1 and 0.1"),
        ("lr=log(1e-4,inf)", "space: lr: log: bounds must be finite, got 0.0001 and inf"),
        ("lr=log(nan,1)", "space: lr: log: bounds must be finite, got nan and 1"),
        ("m=log1m(0.9,1)", "space: m: log1m: bounds must be in [0, 1), got 0.9 and 1"),
        ("n=int(1,2.5)", "space: n: int: bounds must be whole numbers, got 1 and 2.5"),
        (
            "n=int(1,1e15)",
            "space: n: int: has at most 1,000,000 values, got 1,000,000,000,000,000 from 1 to 1e",
        ),
        ("n=int(1,inf)", "space: n: int: bounds must be finite, got 1 and inf"),
        ("lr=log(1e-4)", "space: lr: log takes two numbers, got (1e-4)"),
        ("lr=log(a,b)", "space: lr: log takes two numbers, got (a,b)"),
        ("act=choice(relu)", "space: act: choice: needs at least two distinct values, got ['relu']"),
        ("act=choice(relu,)", "space: act: choice has an empty value in (relu,)"),
        ("lr", "space: cannot read 'lr'; write NAME=KIND(LOW,HIGH)"),
        ("b=log(1,2) when a=1", "space: b: depends on 'a', which is not a dimension before it"),
    ],
)
def test_one_clear_line(text, message):
    with pytest.raises(ValueError) as error:
        parse_space([text])
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["lr=log(1,2)", "lr=log(1,3)"], "space: lr is given twice"),
        (["a=log(1,2)", "b=log(1,2) when a=1"], "must be int or choice"),
        (["a=choice(x,y)", "b=log(1,2) when a=z"], "depends on a=z, which a=choice(x,y) never is"),
        (["a=int(1,2)", "b=log(1,2) when a=3"], "depends on a=3, which 'a' never is"),
        ([], "needs at least one dimension"),
    ],
)
def test_one_clear_line_for_a_whole_space(texts, message):
    with pytest.raises(ValueError) as error:
        parse_space(texts)
    assert message in str(error.value)


def test_settings_outside_the_space_are_named():
    space = Space({"lr": log(1e-4, 1)})
    with pytest.raises(ValueError, match=r"Space: lr must be in log\(0.0001,1\), got 2"):
        space.check({"lr": np.array([0.1, 2.0])})
    with pytest.raises(ValueError, match="unknown dimension 'lrr'; did you mean 'lr'"):
        space.check({"lrr": np.array([0.1])})
    with pytest.raises(ValueError, match="lr is missing"):
        space.check({})


def test_hash_is_that_of_what_a_lane_sees():
    """Equal however written, in whatever order, and after a trip through float32; else distinct."""
    one = {"lr": 0.1, "momentum": 0.9}
    assert config_hash(one) == config_hash({"momentum": 9e-1, "lr": 1e-1})
    assert config_hash(one) == config_hash({"lr": float(np.float32(0.1)), "momentum": np.float32(0.9)})
    assert config_hash(one) == config_hash({"lr": 0.1 * 3 / 3, "momentum": 0.9})
    assert config_hash(one) != config_hash({"lr": 0.1000001, "momentum": 0.9})
    assert config_hash(one) != config_hash({"lr": 0.9, "momentum": 0.1})
