"""The benchmark's clockwork: equal work for all peers, trials alone, children that fail."""

from __future__ import annotations

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bench_work import WORK, all_rows

import lr_batch
from lr_batch.engine import Draw
from runs.__main__ import main
from runs.bench import child, gpu, loads, projection, serial_loop, torch_loop
from runs.bench.trial_loop import PeerTrainer, Rules, Timing, TrialPlan, crossing, rows_of_steps, run_trial


@pytest.mark.parametrize("batch_size", [3, 7, 10])
def test_examples_come_in_the_order_of_the_engine(batch_size):
    draw, examples = Draw.first(jnp.int32(2), 10), rows_of_steps(2, batch_size, 10)
    step = jax.jit(Draw.next)
    for rows in itertools.islice(examples, 12):
        np.testing.assert_array_equal(rows, draw.orders[draw.offset : draw.offset + batch_size])
        draw = step(draw, jnp.int32(batch_size))


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


def test_a_child_has_what_its_user_would_have(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_dump_to=here")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    plain, sweep = child.plain_environment(), child.sweep_environment("cache")
    assert plain["XLA_FLAGS"] == "--xla_dump_to=here" and "JAX_COMPILATION_CACHE_DIR" not in plain
    assert "--xla_cpu_multi_thread_eigen=false" in sweep["XLA_FLAGS"]
    assert "OPENBLAS_NUM_THREADS" not in plain and sweep["OPENBLAS_NUM_THREADS"] == "1"


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
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept.pop("checksum") and report == kept
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


def test_rows_are_evaluated_in_pieces_of_few_sizes():
    sizes, every = [], np.arange(1_000)

    def mean(rows=every):
        sizes.append(len(rows))
        return rows.mean()

    rows = np.arange(3, 3 + 512 + 64 + 64)
    assert serial_loop.mean_over_pieces(mean, rows) == pytest.approx(rows.mean())
    assert sizes == [512, 64, 64]
    assert serial_loop.mean_over_pieces(mean, None) == 499.5
