"""The benchmark's clockwork: equal work for all peers, projection, the bound, children that fail."""

from __future__ import annotations

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lr_batch
from lr_batch.engine import Cadence, Draw, products, shuffled
from lr_batch.workloads.patch_conv import lane_by_lane, of_patches
from runs.__main__ import main
from runs.bench import (
    child,
    gpu,
    loads,
    pieces,
    process_pool,
    projection,
    serial_loop,
    stopwatch,
    summary,
    torch_loop,
)
from runs.bench.compare import Turn
from runs.bench.products import product_loop
from runs.bench.step_time import StepTimer
from runs.bench.stopwatch import seconds_per_round
from runs.bench.trial_loop import PeerTrainer, Rules, Timing, TrialPlan, crossing, rows_of_steps, run_trial
from runs.bench.work import Work

WORK = Work(batch_sizes="8,64", learning_rates="0.05,0.3", seeds=1, budget=60, goal="loss<1.2")


@pytest.mark.parametrize("batch_size", [3, 7, 10])
def test_examples_come_in_the_order_of_the_engine(batch_size):
    draw, examples = Draw.first(jnp.int32(2), 10), rows_of_steps(2, batch_size, 10)
    step = jax.jit(Draw.next)
    for rows in itertools.islice(examples, 12):
        np.testing.assert_array_equal(rows, draw.orders[draw.offset : draw.offset + batch_size])
        draw = step(draw, jnp.int32(batch_size))


def all_rows(*steps: int) -> loads.Evaluations:
    """Evaluations at these steps, each of the one held-out row: the rows read are counted evaluations."""
    return loads.Evaluations({4: Cadence(np.array(steps), np.zeros(len(steps), int))}, 1)


def falling(values: dict[int, float]) -> PeerTrainer:
    """A trainer whose state is the number of steps done and whose metric after them is `values`."""
    return PeerTrainer(
        lambda seed, hparams: 0,
        lambda state, rows, number: state + 1,
        lambda state: None,
        lambda state, rows: values[state],
    )


@pytest.mark.parametrize(
    ("values", "race", "status", "steps", "goal"),
    [
        ({0: 3.0, 1: 2.0, 2: 1.0, 4: 0.5}, np.inf, "reached", 4, 3.0),
        ({0: 0.5}, np.inf, "reached", 0, 0.0),
        ({0: 3.0, 1: np.nan}, np.inf, "diverged", 1, None),
        ({0: 3.0, 1: 2.0, 2: 2.0, 4: 2.0}, 1.5, "race", 2, None),
        ({0: 3.0, 1: 2.0, 2: 2.0, 4: 2.0}, np.inf, "budget", 4, None),
    ],
)
def test_a_trial_ends_where_its_outcome_is_known(values, race, status, steps, goal):
    plan = TrialPlan(0, 4, 0, {"learning_rate": 0.1}, race)
    timing = run_trial(falling(values), plan, Rules(all_rows(0, 1, 2, 4), lr_batch.Goal("loss", 0.75)), 10)
    assert (timing.status, timing.steps, timing.steps_to_goal) == (status, steps, goal)
    assert timing.rows == (0, 1, 2, 4).index(steps) + 1


def test_a_trial_ends_when_its_time_is_over():
    plan = TrialPlan(0, 4, 0, {}, np.inf)
    rules = Rules(all_rows(0, 1, 2), lr_batch.Goal("loss", 0.5), seconds=-1.0)
    assert run_trial(falling(dict.fromkeys((0, 1, 2), 3.0)), plan, rules, 10).status == "time"


def test_crossing_is_interpolated_as_in_the_engine():
    from lr_batch.engine import crossing_step

    arguments = (4, 2.0, 8, 0.5)
    engine = crossing_step(jnp.int32(4), jnp.array([2.0]), jnp.int32(8), jnp.array([0.5]), jnp.float32(1.25))
    assert crossing(*arguments, 1.25) == pytest.approx(float(engine[0])) == 6.0


@pytest.fixture(scope="module")
def engine_result():
    return lr_batch.run(WORK.study())


def timings_of(make_trainer, result) -> list[Timing]:
    study = WORK.study()
    plans = projection.make_plans(
        loads.columns(trial_columns(result)),
        dict(result.hparams),
        study.slack,
        2,
        np.random.default_rng(0),
    )
    reported: list[dict] = []
    asked = {"plans": [plan._asdict() for plan in plans], "seconds": 60.0}
    serial_loop.measure(study, make_trainer(study), asked, lambda **body: reported.append(body))
    assert set(reported[0]["compile"]) == {8, 64}
    return [Timing(**body["timing"]) for body in reported[1:]]


def trial_columns(result) -> dict:
    from runs.bench.engine import described

    return json.loads(json.dumps(described(result)["trials"]))


@pytest.mark.parametrize("peer", ["serial", "torch"])
def test_peers_give_the_answers_of_the_engine(peer, engine_result):
    if peer == "torch":
        pytest.importorskip("torch")
    module = {"serial": serial_loop, "torch": torch_loop}[peer]
    timings = timings_of(module.make_trainer, engine_result)
    assert len(timings) == 4 and sum(t.status == "reached" for t in timings) >= 2
    for timing in timings:
        expected = engine_result.steps_to_goal[timing.trial]
        if timing.status == "reached":
            assert timing.steps_to_goal == pytest.approx(expected, rel=1e-4)
        else:
            assert np.isnan(expected)


def test_steps_are_counted_as_the_serial_loop_takes_them(engine_result):
    """The projection rests on this: a trial alone takes the steps that `ends` reads off the engine's
    result."""
    trials = loads.columns(trial_columns(engine_result))
    counted = loads.counted(trials, loads.ends(trials).last, loads.Evaluations.of(WORK.study()))
    for timing in timings_of(serial_loop.make_trainer, engine_result):
        assert (timing.steps, timing.rows) == tuple(counted[timing.trial])


def test_digits_cnn_in_torch_is_the_network_of_the_workload():
    torch = pytest.importorskip("torch")
    workload = lr_batch.WORKLOADS["digits_cnn"]()
    params = jax.jit(workload.init)(jax.random.key(0))
    layers = [tuple(torch.tensor(np.array(leaf)) for leaf in layer) for layer in torch_loop.in_order(params)]
    x, y = (workload.eval_data[side][:20] for side in "xy")
    outputs = torch_loop.network(layers, torch.tensor(x))
    losses = torch.nn.functional.cross_entropy(outputs, torch.tensor(y).long(), reduction="none")
    expected = jax.jit(workload.evaluate)(params, {"x": x, "y": y})["loss"]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_torch_says_why_it_is_absent():
    pytest.importorskip("torch")
    assert torch_loop.missing("digits_mlp", "sgd") is None
    assert "pydoc_lm" in torch_loop.missing("pydoc_lm", "sgd")
    assert "shampoo" in torch_loop.missing("digits_mlp", "shampoo")


def timing(size: int, *, step: float, evaluation: float = 0.5, steps: int = 10, rows: int = 4) -> Timing:
    return Timing(0, size, steps, rows, 1.0, step * steps, evaluation * rows, "time", None)


def test_projection_of_exact_timings_is_exact():
    work = {1: loads.Load(3, 100, 20), 8: loads.Load(2, 130, 18)}
    timings = [timing(1, step=2.0), timing(1, step=2.0, steps=3), timing(8, step=1.0)]
    guess = projection.estimate(timings, work, np.random.default_rng(0))
    assert guess.by_size == pytest.approx({1: 3 + 200 + 10, 8: 2 + 130 + 0.5 * 18})
    assert guess.seconds == pytest.approx(sum(guess.by_size.values()))
    assert guess.low <= guess.seconds <= guess.high


def test_interval_of_the_projection_covers_the_truth():
    """100 studies with 12 trials, truth 1000 s: an interval of 95 % misses more than 15 once in 10^4 were
    it exact; a bootstrap of 12 covers about 92 %."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(100):
        timings = [timing(1, step=float(s), evaluation=0.0) for s in rng.gamma(16, 1 / 16, 12)]
        guess = projection.estimate(timings, {1: loads.Load(0, 1_000, 0)}, rng)
        covered += guess.low <= 1_000 <= guess.high
    assert covered >= 85


def cut_and_sampled() -> tuple[dict, dict]:
    """Two seeds of three rates at batch size 4, the slowest cut off by the race, and the first seed without a race."""
    trials = {
        "batch_size": np.array([4] * 6),
        "seed": np.array([0, 0, 0, 1, 1, 1]),
        "learning_rate": np.array([0.1, 0.2, 0.4] * 2),
        "steps_to_goal": np.array([np.nan, 2.5, np.nan, np.nan, 4.0, 3.0]),
        "steps": np.array([5, 5, 5, 6, 6, 6]),
        "status": np.array(["budget", "reached", "budget", "budget", "reached", "reached"]),
    }
    sample = {
        "batch_size": np.array([4, 4]),
        "seed": np.array([0, 0]),
        "learning_rate": np.array([0.05, 0.8]),
        "steps_to_goal": np.array([36.0, np.nan]),
        "steps": np.array([36, 9]),
        "status": np.array(["reached", "diverged"]),
    }
    return trials, sample


def test_cut_trials_go_on_as_the_sample_does():
    trials, sample = cut_and_sampled()
    without = loads.ends_without_race(trials, sample)
    slow, fast = (
        36**0.75 * 9**0.25,
        36**0.25 * 9**0.75,
    )  # rates 0.1 and 0.4 are one octave of four from the ends
    np.testing.assert_allclose(without.last, [slow, 2.5, fast, slow, 4, 3])
    assert without.reaches.tolist() == [True, True, False, True, True, True]
    steps = all_rows(*range(41))
    assert loads.unraced_loads(trials, sample, steps)[4] == loads.Load(6, 26 + 3 + 13 + 26 + 4 + 3, 75 + 6)
    assert loads.oracle_loads(trials, steps)[4] == loads.Load(6, 5 + 3 + 5 + 6 + 4 + 3, 26 + 6)


def test_a_race_of_one_after_the_other_knows_the_best_so_far():
    own = loads.Ends(np.array([30.0, 2.5, 9.0]), np.array([True, True, False]))
    orders = np.array([[0, 1, 2], [1, 0, 2], [2, 0, 1]])
    counts = loads.race_one_by_one(own, orders, lambda last: all_rows(*range(41)).counted(4, last), slack=2.0)
    # The slowest first runs to its end; after the best, which takes 2.5, all others stop at 5; diverging sets no mark.
    np.testing.assert_array_equal(counts[:, :, 0], [[30, 3, 5], [5, 3, 5], [30, 3, 9]])
    np.testing.assert_array_equal(counts[:, :, 1], counts[:, :, 0] + 1)


def test_a_race_lies_between_an_oracle_race_and_none():
    trials, sample = cut_and_sampled()
    raced = loads.raced_loads(trials, sample, all_rows(*range(41)), 2.0, np.random.default_rng(0))[4]
    least, most = (
        loads.oracle_loads(trials, all_rows(*range(41)))[4],
        loads.unraced_loads(trials, sample, all_rows(*range(41)))[4],
    )
    assert least.steps < raced.steps < most.steps


def test_the_sample_knows_the_best_of_its_own_batch_size_and_seed():
    trials = {
        "batch_size": np.array([4, 4, 4, 8]),
        "seed": np.array([0, 0, 1, 0]),
        "steps_to_goal": np.array([10.0, 6.0, 3.0, np.nan]),
    }
    plans = projection.make_plans(trials, {"learning_rate": [1, 2, 3, 4]}, 2.0, 3, np.random.default_rng(0))
    assert {(plan.trial, plan.race) for plan in plans} == {(0, 12.0), (1, 12.0), (2, 6.0), (3, np.inf)}


def test_products_of_a_network_are_all_found():
    """64-128-10 on 5 examples, forward, weights backward, and back through the second layer alone; 3
    lanes."""
    study = WORK.study()
    chunk = pieces.make_timed_chunk(study, 5, 3, "vmap")
    found = pieces.gradient_products(chunk)
    assert sum(p.flops * p.count for p in found) == 2 * 5 * 3 * (2 * 64 * 128 + 3 * 128 * 10)
    in_twos = pieces.gradient_products(chunk, rows=2)  # 3 of them, of which the last is not full
    assert sum(p.flops * p.count for p in in_twos) == 2 * 6 * 3 * (2 * 64 * 128 + 3 * 128 * 10)


def test_products_inside_of_a_scan_are_counted_each_time():
    square = jnp.ones((4, 4))
    powers = lambda x: jax.lax.scan(lambda carry, _: (carry @ square, None), x, None, length=7)[0]
    (found,) = products(powers, square)
    assert (found.count, found.flops) == (7, 2 * 4**3)


@pytest.mark.parametrize("x_axis", [None, 0])
def test_a_convolution_counts_as_the_product_of_its_patches(x_axis):
    """Forward, and backward to kernels and, where lanes differ in it, to the input."""
    shape = (3,) * (x_axis == 0) + (5, 6, 8, 2)

    def flops(convolve):
        loss = lambda x, kernel: jnp.sum(convolve(x, kernel, 1) ** 2)
        gradient = jax.vmap(jax.grad(loss, argnums=(0, 1) if x_axis == 0 else (1,)), in_axes=(x_axis, 0))
        found = products(gradient, jnp.ones(shape), jnp.ones((3, 3, 3, 2, 4)))
        return sum(product.flops * product.count for product in found)

    passes = 3 if x_axis == 0 else 2
    assert flops(lane_by_lane) == flops(of_patches) == passes * 2 * (3 * 5 * 6 * 8) * (3 * 3 * 2) * 4


def test_the_loop_of_products_does_them_in_every_round():
    wanted = products(lambda a, b: a @ b, jnp.ones((2, 3)), jnp.ones((3, 4)))
    loop, start = product_loop([wanted[0]._replace(count=5)])
    ((left, right, out),) = jax.jit(loop)(jnp.int32(7), start)
    np.testing.assert_array_equal(left[0], [6 + 4, 1, 1])  # the last round and repetition
    np.testing.assert_array_equal(out, left @ right)


def test_parts_of_a_step_do_what_they_are_named_for():
    chunk = pieces.make_timed_chunk(WORK.study(), 8, 2, "vmap")
    after = lambda piece: jax.jit(piece[0])(jnp.int32(1), piece[1])
    draw, batch, _ = after(pieces.gather(chunk))
    rows = chunk.draw.orders[:8]
    np.testing.assert_array_equal(batch["x"][:8], chunk.study.workload.train_data["x"][rows])
    assert int(draw.step) == 1
    _, params, grads, _ = after(pieces.gather_and_gradient(chunk))
    state, _ = after(pieces.update(chunk))
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    assert shapes(params) == shapes(grads) == shapes(state.params)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))
    _, values = after(pieces.evaluation(chunk))
    assert values.shape == (2,) and (values > 1).all()
    _, in_parts = after(pieces.evaluation_in_parts(chunk))
    np.testing.assert_allclose(in_parts, values, rtol=1e-5)


def test_the_stopwatch_counts_rounds(monkeypatch):
    asked = []

    def together(work, num):
        asked.append(num)
        return 0.001 * num  # a machine of which nothing else wants time

    spin = lambda num, x: jax.lax.fori_loop(0, num, lambda _, x: jnp.sin(x), x)
    assert seconds_per_round(spin, jnp.ones(4), 0.02) > 0
    monkeypatch.setattr(stopwatch, "_together", together)
    assert seconds_per_round(spin, jnp.ones(4), 0.5) == pytest.approx(0.001)
    assert asked[-3:] == [500, 500, 500]  # half a second each


def test_loops_with_lapack_calls_take_turns(monkeypatch):
    """Two at once may wait for each other for ever, as the parts of a step with Shampoo once did."""
    turns = CountedTurns()
    monkeypatch.setattr("lr_batch.engine.workers.LAPACK_TURNS", turns)
    spin = lambda num, x: jax.lax.fori_loop(0, num, lambda _, x: jnp.linalg.eigh(x)[1], x)
    seconds_per_round(spin, jnp.ones((3, 4, 4)), 0.01)
    assert turns.taken > 0 and turns.held == 0


class CountedTurns:
    taken = held = 0

    def __enter__(self):
        self.taken, self.held = self.taken + 1, self.held + 1

    def __exit__(self, *error):
        self.held -= 1


def test_the_engine_runs_its_steps_on_the_stopwatch():
    times = StepTimer(WORK.study(), 2, "vmap").time(8, 0.01)
    assert 0 < times.step < 0.1 and times.dispatch > 0


def test_chunks_are_counted_by_their_last_lane():
    trials = {
        "batch_size": np.array([4, 4, 4, 4]),
        "seed": np.array([0, 0, 1, 1]),
        "steps": np.array([3, 8, 2, 4]),
    }
    evaluations = loads.Evaluations(
        {4: Cadence(np.array([0, 1, 2, 3, 4, 8]), np.array([64, 0, 64, 0, 0, 0]))}, 128
    )
    counts = summary.chunk_counts(trials, evaluations, width=2)
    assert counts[4]["steps"] == 8 + 4 and counts[4]["evaluations"] == 6 + 5
    assert counts[4]["whole"] == 4 + 3 and counts[4]["parts"] == 1 + 1


def test_the_pool_shares_the_work_out():
    turn = Turn([timing(1, step=1.0)], 2.0, 3.0)
    engine = [{"cold": {"seconds": 10.0}, "warm": [5.0]}]
    work = {"raced": {1: loads.Load(0, 1_000, 0)}}
    one = summary.peer_summary("serial", [turn], work, engine)["raced"]
    assert one["seconds"] == 5 + 1_000 and one["times_engine_cold"]["median"] == pytest.approx(100.5)
    pool = summary.peer_summary("pool", [turn], work, engine)
    assert pool["raced"]["seconds"] == 5 + 1_000 / pool["processes"]
    assert sorted(map(len, process_pool.dealt([{}] * 5, 2))) == [2, 3]


def test_a_child_has_what_its_user_would_have(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_dump_to=here")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    plain = child.plain_environment()
    assert plain["XLA_FLAGS"] == "--xla_dump_to=here" and "JAX_COMPILATION_CACHE_DIR" not in plain
    assert "--xla_cpu_multi_thread_eigen=false" in child.sweep_environment("cache")["XLA_FLAGS"]


@pytest.mark.parametrize(
    ("code", "timeout", "reason"),
    [
        ("raise SystemExit('no such thing')", 60.0, "ended with 1: no such thing"),
        ("import time; time.sleep(60)", 0.5, "no answer within 0 s"),
    ],
)
def test_a_child_that_fails_says_why_in_one_line(tmp_path, code, timeout, reason):
    (tmp_path / "broken_peer.py").write_text(code)
    environment = child.plain_environment() | {"PYTHONPATH": str(tmp_path)}
    with pytest.raises(child.ChildFailed, match=f"^broken_peer: {reason}$"):
        child.run_child("broken_peer", {}, environment, timeout)


def test_wrong_peers_are_refused(capsys):
    assert main(["bench", "--peers", "serial,tensorflow"]) == 2
    assert "--peers: must be some of serial, torch, pool" in capsys.readouterr().err


def test_precisions_are_compared_trial_by_trial():
    found = gpu.difference({"steps_to_goal": [10.0, None, 20.0]}, {"steps_to_goal": [11.0, 5.0, 20.0]})
    assert (found["reached"], found["other_outcome"]) == (2, 1)
    assert found["largest"] == pytest.approx(1 / 11)


@pytest.mark.slow
@pytest.mark.timeout(900)  # processes that compile, on a machine that may be busy
def test_quick_benchmark_writes_everything(tmp_path, capsys):
    assert main(["bench", "--quick", "--peers", "serial", "--out", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "bench.json").read_text())
    assert (tmp_path / "bench.png").stat().st_size > 10_000 and (tmp_path / "bench.svg").exists()
    assert {"oracle", "raced", "unraced"} <= set(report["peers"]["serial"])
    assert report["agreement"]["serial"]["other_outcome"] == 0
    assert report["agreement"]["serial"]["largest"] < 1e-4
    assert report["memory"]["planned_bytes"] > 0


@pytest.mark.slow
@pytest.mark.timeout(900)  # processes that compile, on a machine that may be busy
def test_gpu_script_starts_on_a_cpu(tmp_path):
    assert gpu.main(gpu.Options(tmp_path, quick=True)) == 0
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert (
        report["correctness"]["float32"]["largest"] == 0.0 and report["correctness"]["float32"]["reached"] > 0
    )
    assert json.loads((tmp_path / "bench.json").read_text())["trials"] == 2
    assert report["precisions"]["float32"]["32"]["share_of_bound"] > 0
    assert report["panel_b"] == {"left_out": "quick"}


def test_a_trial_alone_reads_the_rows_that_the_engine_reads():
    cadence = Cadence(np.array([0, 5, 9]), np.array([2, 0, 3]))
    steps, rows = loads.Evaluations({8: cadence}, 5).of_trial(8, 3)
    assert steps.tolist() == [0, 5, 9] and rows[1] is None
    order, first = shuffled(5), cadence.reads(5, 3)[:, 0]
    np.testing.assert_array_equal(rows[0], order[(first[0] + np.arange(2)) % 5])
    np.testing.assert_array_equal(rows[2], order[(first[2] + np.arange(3)) % 5])


def test_rows_are_evaluated_in_pieces_of_few_sizes():
    sizes, every = [], np.arange(1_000)

    def mean(rows=every):
        sizes.append(len(rows))
        return rows.mean()

    rows = np.arange(3, 3 + 512 + 64 + 64)
    assert serial_loop.mean_over_pieces(mean, rows) == pytest.approx(rows.mean())
    assert sizes == [512, 64, 64]
    assert serial_loop.mean_over_pieces(mean, None) == 499.5


def test_seconds_of_a_batch_size_are_split():
    row = {"batch_size": 8, "step": 2.0, "evaluation": 5.0, "evaluation_in_parts": 7.0, "flops": 1.0}
    row |= {"single_lane_step": 1.0} | dict.fromkeys(
        ("batched_products", "micro_batch_products", "separate_products"), 1.0
    )
    found = summary.by_size(row, {"steps": 10, "evaluations": 4, "whole": 2, "parts": 1.5}, 4, 45.0)
    assert (found["training"], found["evaluating"]) == (20.0, 2 * 5 + 1.5 * 7)
    assert found["waiting"] == 45 - 20 - 20.5
