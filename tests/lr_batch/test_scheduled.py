"""Schedules as an axis of a study: what a lane trains at, in which units, under one program."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import sgd, tiny_study

import lr_batch
from lr_batch.engine import Identity
from lr_batch.problem.lengths import Length, parse_length
from lr_batch.problem.scheduled import PARAMETERS

BUDGET, BATCH = 60, 4
# Two values of every parameter of a schedule; lengths in the three units.
VALUES = {
    "decay_steps": ("50%", "100%"),
    "warmup": (3, 7),
    "timescale": ("40examples", "80examples"),
    "init_factor": (0.1, 0.5),
    "end_factor": (0.01, 0.2),
    "power": (0.5, 3.0),
    "factor": (0.1, 0.5),
    "num_cycles": (2, 5),
    "cycle_mult": (1.0, 2.0),
    "shrink": (0.5, 1.0),
    "decay_fraction": (0.2, 0.9),
    "boundary_1": (0.2, 0.3),
    "boundary_2": (0.6, 0.8),
    "boundary_3": (0.85, 0.9),
    "boundary_4": (0.95, 1.0),
}


def walk(**changes):
    """A loss whose gradient is -1: parameters are the sum of the rates so far, and so is the metric."""
    values = lambda params, batch: params["w"] * jnp.ones(batch["x"].shape[0])
    data = {"x": np.arange(40, dtype=np.float32)}
    workload = lr_batch.Workload(
        name="walk",
        init=lambda key: {"w": jnp.zeros(())},
        loss=lambda params, batch, key: -values(params, batch),
        evaluate=lambda params, batch: {"way": values(params, batch)},
        train_data=data,
        eval_data=data,
        goal=lr_batch.Goal("way", 1e6, above=True),
        budget=BUDGET,
    )
    fields = dict(workload=workload, optimizer=sgd, batch_sizes=(BATCH,), seeds=1, extend=False, slack=np.inf)
    return lr_batch.Study(**(fields | changes))


def way_of(schedule, setting):
    """Sums of the rates of 0, 1, ... steps, from the factory alone."""
    peak, arguments = setting["learning_rate"], {}
    lengths = {"decay_steps": "num_steps", "warmup": "warmup_steps", "timescale": "timescale"}
    in_steps = {"decay_steps": lambda v: v * BUDGET, "warmup": lambda v: v, "timescale": lambda v: v / BATCH}
    for name, value in setting.items():
        if name in lengths:
            arguments[lengths[name]] = int(in_steps[name](value))
        elif name in ("init_factor", "end_factor"):
            arguments[name.replace("factor", "value")] = value * peak
        elif name != "learning_rate" and not name.startswith("boundary"):
            arguments[name] = value
    if schedule == "step":
        arguments["boundaries"] = tuple(setting[f"boundary_{i}"] for i in range(1, 5))
    rates = lr_batch.SCHEDULES[schedule](peak, **arguments)
    return np.cumsum([0.0, *jax.vmap(rates)(jnp.arange(BUDGET)).tolist()])


@pytest.mark.parametrize("schedule", PARAMETERS)
def test_a_lane_trains_at_the_rates_of_its_schedule(schedule, monkeypatch):
    monkeypatch.setattr("lr_batch.sweep.check", lambda study: None)  # a loss that examples do not change
    names = PARAMETERS[schedule]
    study = walk(schedule=schedule, space={"learning_rate": (0.3,), **{name: VALUES[name] for name in names}})
    result = lr_batch.run(study)
    expected = np.array([way_of(schedule, trial.hparams) for trial in result.trials])
    for curve, way in zip(result.curves, expected, strict=True):
        np.testing.assert_allclose(curve.values, way[curve.steps], rtol=1e-5)
    assert result.engine.programs_compiled == 2
    for name in names:  # each of them changes the rates
        low, high = (expected[result.hparams[name] == value] for value in np.unique(result.hparams[name]))
        assert np.any(np.abs(low - high) > 1e-3)


def test_the_registry_has_no_schedule_without_its_parameters():
    assert set(PARAMETERS) == set(lr_batch.SCHEDULES)


def test_no_program_for_a_rate_parameter_unit_seed_batch_size_or_budget():
    programs = lr_batch.Programs()
    space = {"learning_rate": (0.3, 1.0), "decay_steps": ("50%", "90%"), "warmup": (2,)}
    study = tiny_study(schedule="linear", space=space, batch_sizes=(4, 40), lanes="vmap")
    assert lr_batch.run(study, programs=programs).engine.programs_compiled == 2
    other = {"learning_rate": (0.5, 2.0), "decay_steps": ("400examples", "2epochs"), "warmup": ("0.1%",)}
    again = dataclasses.replace(study, space=other, schedule="linear", seeds=3)
    assert lr_batch.run(again, programs=programs).engine.programs_compiled == 0


def test_lengths_in_examples_take_fewer_steps_at_larger_batches():
    space = {"learning_rate": [1.0], "decay_steps": ["1000examples"], "warmup": ["95examples"]}
    study = tiny_study(schedule="cosine", space=space)
    steps = [study.as_trained(study.settings, size)[0] for size in (1, 6, 40)]
    assert [(s["decay_steps"], s["warmup"]) for s in steps] == [(1000, 95), (167, 15), (25, 2)]
    half = {**space, "decay_steps": [0.5], "warmup": ["10%"]}
    study = tiny_study(schedule="cosine", space=half, budget=30)
    assert study.as_trained(study.settings, 8)[0] | {"learning_rate": 1.0} == {
        "learning_rate": 1.0,
        "decay_steps": 15,
        "warmup": 3,
    }


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ("500", Length(500, "steps")),
        (500, Length(500, "steps")),
        (0.25, Length(0.25, "budget")),
        ("0.25", Length(0.25, "budget")),
        ("100%", Length(1, "budget")),
        ("150%", Length(1.5, "budget")),
        ("7steps", Length(7, "steps")),
        ("1 step", Length(1, "steps")),
        ("20_000 examples", Length(20_000, "examples")),
        ("2e4examples", Length(20_000, "examples")),
        ("1.5epochs", Length(60, "examples")),
    ],
)
def test_lengths_are_read_as_they_are_written(given, length):
    read = parse_length("x", given, 40)
    assert read == length and parse_length("x", read.typed, 40) == length


@pytest.mark.parametrize(
    "given", ["", "5 %%", "fast", "-1", -0.5, "1.5", 2.5, "nan", float("inf"), True, "3 weeks"]
)
def test_what_is_no_length_is_refused(given):
    with pytest.raises(ValueError, match="^x must be a whole number of steps"):
        parse_length("x", given, 40)


RATE = {"learning_rate": [0.1]}


@pytest.mark.parametrize(
    ("schedule", "space", "message"),
    [
        ("liner", {}, "unknown schedule 'liner'; did you mean 'linear'?"),
        (3, {}, "study: schedule must be a name or a lr_batch.Schedule, got int"),
        ("linear", {}, "linear: needs decay_steps in the space, such as decay_steps=50% of the budget"),
        ("inverse_sqrt", {}, "inverse_sqrt: needs timescale or warmup"),
        ("constant", {"init_factor": [0.1]}, "constant: needs warmup"),
        ("constant", {"decay_steps": [9]}, "unknown hyperparameter of sgd 'decay_steps'"),
        ("linear", {"decay_steps": [9], "warmpu": [1]}, "did you mean 'warmup'?"),
        (
            "linear",
            {"decay_steps": [9], "power": [1]},
            "unknown hyperparameter of sgd, linear schedule 'power'",
        ),
        ("linear", {"decay_steps": [9], "end_factor": [-1]}, "end_factor must be in [0, inf), got -1"),
        ("exponential", {"decay_steps": [9], "end_factor": [0]}, "end_factor must be in (0, inf), got 0"),
        ("linear", {"decay_steps": ["fast"]}, "linear: decay_steps must be a whole number of steps, 5% of"),
        ("linear", {"decay_steps": [0]}, "decay_steps must be in (0, inf), got 0"),
        (
            "linear",
            {"decay_steps": ["9", "5%"]},
            "the values of decay_steps must have one unit, got budget and",
        ),
        ("linear", {"decay_steps": [9], "warmup": [9]}, "warmup must be less than decay_steps"),
        ("one_cycle", {"decay_steps": [9], "warmup": [5]}, "warmup must be at most half of decay_steps"),
        ("linear", {"decay_steps": ["50examples"], "warmup": [9]}, "at batch size 6 they are 9 and 9 steps"),
        (
            "cyclic",
            {"decay_steps": [9], "num_cycles": [1.5]},
            "cyclic: num_cycles must be whole numbers, got 1.5",
        ),
        (
            "cosine_restarts",
            {"decay_steps": [9], "num_cycles": [65]},
            "num_cycles must be in [1, 64], got 65",
        ),
        ("linear", {"decay_steps": 9}, "study: decay_steps must be a list of numbers, got 9"),
    ],
)
def test_mistakes_are_one_line_at_construction(schedule, space, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        tiny_study(optimizer="sgd", schedule=schedule, space={**RATE, **space})
    assert "\n" not in str(error.value)


def test_one_name_for_two_things_is_refused():
    def powerful(hparams):
        return optax.sgd(hparams["learning_rate"] * hparams["power"])

    powerful.hparams = {"power": lr_batch.as_optimizer("sgd").hparams["learning_rate"]}
    with pytest.raises(ValueError, match="power is a parameter of powerful, polynomial schedule twice"):
        tiny_study(
            optimizer=powerful, schedule="polynomial", space={**RATE, "decay_steps": [9], "power": [2.0]}
        )


def test_a_rate_that_is_kept_in_the_state_is_refused_before_training():
    def kept(hparams):
        return optax.inject_hyperparams(optax.sgd)(learning_rate=hparams["learning_rate"])

    study = tiny_study(optimizer=kept, schedule="linear", space={**RATE, "decay_steps": [9]})
    with pytest.raises(lr_batch.StudyError, match="kept keeps its first learning rate in its state"):
        lr_batch.check(study)
    lr_batch.check(tiny_study(optimizer=kept, space=RATE))


def test_identity_names_the_schedule_and_is_as_before_without_one():
    described = lambda **changes: Identity.of(tiny_study(**changes), 4, "vmap").described()
    plain = described()
    assert described(schedule="constant") == plain and "schedule" not in plain
    space = {**RATE, "decay_steps": ["50%"]}
    linear = described(schedule="linear", space=space)
    assert linear["schedule"] == {"name": "linear", "units": {"decay_steps": "budget"}}
    assert linear["optimizer"] == "sgd, linear schedule" and linear["program"] != plain["program"]
    steps = described(schedule="linear", space={**RATE, "decay_steps": [100]})
    assert steps["program"] == linear["program"] and steps != linear


def test_a_copy_keeps_its_units():
    study = tiny_study(schedule="linear", space={**RATE, "decay_steps": ["800examples"], "warmup": [0, "5%"]})
    copy = dataclasses.replace(study, seeds=3)
    assert copy.schedule == study.schedule and copy.space == study.space
    assert study.schedule.units == {"decay_steps": "examples", "warmup": "budget"}


def test_one_lane_with_a_users_chain_is_the_loop_with_a_schedule_of_optax():
    def chain(hparams):
        return optax.chain(optax.trace(0.9), optax.scale_by_learning_rate(2 * hparams["learning_rate"]))

    space = {"learning_rate": [0.5], "decay_steps": [20]}
    fields = dict(batch_sizes=(40,), seeds=1, budget=25, goal="loss<1e-9")
    study = tiny_study(optimizer=chain, schedule="linear", space=space, **fields)
    result = lr_batch.run(study)
    workload = study.workload
    tx = optax.chain(optax.trace(0.9), optax.scale_by_learning_rate(lr_batch.SCHEDULES["linear"](1.0, 20)))
    params = workload.init(jax.random.key(0))
    state = tx.init(params)
    loss = lambda params: workload.loss(params, workload.train_data, jax.random.key(0)).mean()

    @jax.jit
    def step(params, state):
        updates, state = tx.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    for _ in range(25):
        params, state = step(params, state)
    held_out = workload.evaluate(params, workload.eval_data)["loss"].mean()
    np.testing.assert_allclose(result.curves[0].values[-1], held_out, rtol=1e-5)
