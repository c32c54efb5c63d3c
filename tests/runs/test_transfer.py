"""Reading optima and their shifts off losses, and the command from end to end."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from lr_batch import Curve, estimate
from lr_batch.workloads import digits_mlp
from runs.__main__ import DONE, main
from runs.commands.transfer import Transfer, sized
from runs.kept_json import read_kept
from runs.parse import UsageError
from runs.recipes import dead_units, joint_surface
from runs.transfer.best_rate import best_rates, minimum, wider_is_worse
from runs.transfer.family import MUP, Family, evenly_spaced
from runs.transfer.over_batches import batches_table, lines_of, over_batches, summary_of
from runs.transfer.over_batches import draw as over_batches_figure
from runs.transfer.run import TransferPlan, horizons, losses_after, study_of

RATES = tuple(2.0 ** np.arange(-10, 1))
OCTAVES = np.log2(RATES)


def losses(optima, noise=0.0, seeds=4):
    """[widths, seeds, rates]: a basin around each optimum (in octaves), divergence three octaves above."""
    rng = np.random.default_rng(0)
    shape = (len(optima), seeds, len(RATES))
    away = OCTAVES - np.asarray(optima)[:, None, None] + np.zeros(shape)
    loss = np.exp(0.2 * away**2 + noise * rng.normal(size=shape))
    return np.where(away > 3, np.inf, loss)


@pytest.mark.parametrize("optimum", [-6.0, -5.3, -4.5])
def test_the_minimum_is_found_between_the_points(optimum):
    where, lowest = minimum(OCTAVES, np.log(losses([optimum])[0, 0]))
    assert where == pytest.approx(optimum, abs=1e-6)
    assert lowest == pytest.approx(0, abs=1e-6)


def test_a_minimum_at_the_end_or_at_a_cliff_is_the_point_itself():
    assert minimum(np.arange(3.0), np.array([1.0, 2.0, 3.0])) == (0.0, 1.0)
    assert minimum(np.arange(4.0), np.array([3.0, 2.0, np.inf, np.inf])) == (1.0, 2.0)


def test_shifts_are_octaves_from_the_first_width_with_their_interval():
    rows = best_rates((64, 256, 1024), RATES, losses([-4.0, -5.0, -6.5], noise=0.05))
    for row, shift in zip(rows, (0.0, -1.0, -2.5), strict=True):
        assert row.octaves.low <= row.octaves.best <= row.octaves.high
        assert row.octaves.best == pytest.approx(shift, abs=0.3)
        assert not row.edge
    assert rows[2].octaves.high < -1.5
    assert rows[0].rate.best == pytest.approx(2**-4, rel=0.2)
    assert [row.kept for row in rows] == pytest.approx(np.exp([0, 0.2, 0.2 * 2.5**2]), rel=0.2)


def test_an_optimum_on_the_edge_is_flagged():
    assert best_rates((8, 16), RATES, losses([-4.0, -12.0]))[1].edge


def test_a_shift_from_or_to_the_edge_is_not_known():
    """`low` and `high` are where the true best rates may lie: beyond the grid, nothing was measured."""
    infinite = float("inf")
    both = best_rates((8, 16), RATES, losses([-12.0, -12.0]))[1].octaves
    assert np.isnan(both.best) and both[1:] == (-infinite, infinite)
    to_low = best_rates((8, 16), RATES, losses([-4.0, -12.0]))[1].octaves
    assert np.isnan(to_low.best) and to_low.low == -infinite and to_low.high == pytest.approx(-6)
    from_low = best_rates((8, 16), RATES, losses([-12.0, -4.0]))[1].octaves
    assert np.isnan(from_low.best) and from_low.high == infinite and from_low.low == pytest.approx(6)
    to_high = best_rates((8, 16), RATES, losses([-4.0, 3.0]))[1].octaves
    assert np.isnan(to_high.best) and to_high.high == infinite and to_high.low == pytest.approx(4)
    some = losses([-4.0, -8.5])
    some[1, 0] = losses([-12.0])[0, 0]  # one seed of four
    assert np.isfinite((one := best_rates((8, 16), RATES, some)[1].octaves).best) and one.low == -infinite


def test_intervals_are_students():
    mean, low, high = estimate(np.array([1.0, 2.0, 3.0, 4.0]))
    assert (mean, high - mean) == pytest.approx((2.5, 2.3534 * np.std([1, 2, 3, 4], ddof=1) / 2), rel=1e-4)
    assert high - mean == pytest.approx(mean - low)


def test_losses_after_some_steps_are_those_of_a_shorter_training():
    plan = TransferPlan(
        widths=(8, 16), rates=(0.1, 0.2, 0.3), batch_sizes=(8,), steps=10, seeds=2, schedule="constant"
    )
    steps = np.array([0, 2, 5, 10])
    curve = lambda *values: Curve(steps[: len(values)], np.array(values, float))
    result = SimpleNamespace(
        status=np.array(["budget"] * 5 + ["diverged"], object),
        steps=np.array([10] * 5 + [6]),
        curves=[curve(9, 8, 7, 6)] * 5 + [curve(9, 30, 300)],
    )
    assert losses_after(10, result, plan).tolist() == [[[6, 6, 6], [6, 6, np.inf]]]
    assert losses_after(4, result, plan).tolist() == [[[8, 8, 8], [8, 8, 30]]]
    assert horizons(plan) == (1, 2, 5, 10)
    # A loss of 0, to which Muon comes in wide networks, is one of rounding: its logarithm would leave no best rate.
    result.curves[:3] = [curve(9, 8, 7, 6e-9), curve(9, 8, 7, 0), curve(9, 8, 7, 6)]
    (found,) = losses_after(10, result, plan)
    assert found[0].tolist() == [np.finfo(np.float32).eps] * 2 + [6]
    assert np.isfinite(minimum(np.arange(3.0), np.log(found[0]))).all()


def test_rates_follow_the_schedule_of_the_study():
    fields = dict(widths=(8, 16), rates=(0.1, 0.2, 0.3), batch_sizes=(8,), steps=4, seeds=2)
    falling, constant = (TransferPlan(**fields, schedule=name) for name in ("linear", "constant"))
    assert horizons(falling) == (4,)
    study = study_of(Family(digits_mlp, "adam", 8), falling, MUP, 16)
    at = study.lane_optimizer.at
    setting = study.as_trained(study.settings, 8)[0]
    assert [round(float(at(setting, step)["learning_rate"]), 6) for step in range(4)] == [
        0.1,
        0.075,
        0.05,
        0.025,
    ]
    assert study_of(Family(digits_mlp, "adam", 8), constant, MUP, 16).schedule is None
    with pytest.raises(ValueError, match="unknown schedule 'liner'"):
        study_of(Family(digits_mlp, "adam", 8), dataclasses.replace(falling, schedule="liner"), MUP, 16)


def test_at_the_base_width_output_weights_start_at_zero_too():
    for width in (8, 16):
        workload, _ = Family(digits_mlp, "adam", 8).member("muP", width)
        assert not workload.init(jax.random.key(0))["head"]["kernel"].any()


def test_wider_is_worse_counts_what_lies_beyond_its_interval():
    same = losses([-4.0, -4.0], noise=0.02)
    assert wider_is_worse(same) == (0, 10)  # at the last rate the narrow network diverges
    worse = same * np.array([1.0, 1.5])[:, None, None]
    assert wider_is_worse(worse) == (10, 10)
    assert wider_is_worse(losses([-4.0, -5.0]))[0] > 0  # diverges earlier


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"widths": (64,)}, "widths must be at least two"),
        ({"widths": (64, 32)}, "ascending"),
        ({"rates": (0.1, 0.2)}, "at least three learning rates"),
        ({"seeds": 1}, "at least two seeds"),
    ],
)
def test_plans_that_have_no_answer_are_refused(change, line):
    fields = dict(
        widths=(16, 32), rates=(0.1, 0.2, 0.3), batch_sizes=(8,), steps=5, seeds=2, schedule="constant"
    )
    with pytest.raises(ValueError, match=line):
        TransferPlan(**(fields | change))


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"workload": "noisy_quadratic"}, "unknown workload with a width 'noisy_quadratic'"),
        ({"optimizer": "lamb"}, "step_kind must be one of sgd, adam, muon, got None for the optimizer lamb"),
        ({"widths": "64-128"}, "--widths: must look like"),
        (
            {"workload": "digits_cnn", "layers": 2},
            "digits_cnn must be a function with an argument called layers",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(fields, line):
    with pytest.raises((ValueError, UsageError), match=line):
        Transfer(**fields)()


def test_final_losses_are_training_losses_unless_asked_otherwise():
    train = digits_mlp().train_data
    shown = Family(digits_mlp, "adam", 8)._network(8).eval_data
    assert len(shown["y"]) == 512
    np.testing.assert_array_equal(shown["x"][-1], train["x"][-1])
    assert len(Family(digits_mlp, "adam", 8, measured="held-out")._network(8).eval_data["y"]) == 397
    assert len(evenly_spaced({"x": np.arange(5)}, 9)["x"]) == 5


def test_a_family_may_be_the_users_own(tmp_path):
    file = tmp_path / "mine.py"
    imports = "from lr_batch.workloads import digits_mlp\n"
    file.write_text(f"{imports}def net(width):\n    return digits_mlp(width)\n")
    assert sized("workload", f"{file}:net", {})(width=8).name == "digits_mlp"


def test_the_command_writes_its_folder_and_report_does_so_again(tmp_path, capsys, monkeypatch):
    out = tmp_path / "study"
    fields = dict(widths="8,16", learning_rates="0.003,0.03,0.3", seeds=2, steps=3, out=out)
    Transfer(**fields, schedule="constant", zero_readout=False)()
    text = capsys.readouterr().out
    assert "best rate moves" in text and "exponent of the width" in text
    summary = read_kept(out / "summary.json")
    standard, mup = (np.array(summary[name]["losses"]) for name in ("standard", "muP"))
    assert standard.shape == (2, 2, 3)
    np.testing.assert_array_equal(standard[0], mup[0])  # one network at the base width
    assert (standard[1] != mup[1]).any()
    shifts = summary["octaves_after_steps"]
    assert list(shifts) == ["1", "3"] and shifts["3"]["muP"] == summary["muP"]["best"][-1]["octaves"]
    for name in ("transfer.png", "coordinates.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"
        (out / name).unlink()
    monkeypatch.setattr("runs.curve.run.run", lambda *args, **kwargs: pytest.fail("trained"))
    assert main(["report", str(out)]) == DONE
    assert capsys.readouterr().out == text.partition("\nfigures, report.html")[0]
    assert read_kept(out / "summary.json") == summary and (out / "coordinates.png").exists()
    whole = (out / "summary.json").read_text()
    (out / "summary.json").write_text(whole.replace("0.003", "0.004", 1))
    assert main(["verify", str(out)]) != DONE
    assert "damaged; runs again: its check of layers" in " ".join(capsys.readouterr().out.split())
    assert main(["report", str(out)]) != DONE
    assert "not all of it is finished and whole" in capsys.readouterr().err
    old = {name: value for name, value in json.loads(whole).items() if name != "checksum"}
    (out / "summary.json").write_text(json.dumps(old))  # of a version that wrote none
    assert main(["report", str(out)]) == DONE and read_kept(out / "summary.json") == summary
    capsys.readouterr()
    (out / "muP-16" / "store.sqlite").unlink()
    assert main(["report", str(out)]) != DONE
    assert "not all of it is finished and whole" in capsys.readouterr().err


PAIR = """
import jax, jax.numpy as jnp, numpy as np, optax, lr_batch
x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
y = (np.abs(x).argmax(1) % 3).astype(np.int32)
def net(width):
    hidden = lambda key: jax.random.normal(key, (5, width))
    init = lambda key: {"hidden": {"kernel": hidden(key)}, "out": {"kernel": jnp.ones((width, 3))}}
    apply = lambda params, x: jnp.tanh(x @ params["hidden"]["kernel"]) @ params["out"]["kernel"]
    loss = optax.softmax_cross_entropy_with_integer_labels
    rows = {"train": (x[:40], y[:40]), "held_out": (x[40:], y[40:])}
    return lr_batch.from_arrays((init, apply), **rows, loss=loss, goal="loss<1")
"""


def test_layers_that_cannot_be_watched_cost_the_check_and_not_the_answer(tmp_path, capsys):
    """All rates are far too low, so that the best one lies on the edge at every width."""
    (file := tmp_path / "pair.py").write_text(PAIR)
    Transfer(
        f"{file}:net",
        widths="4,8",
        optimizer="sgd",
        learning_rates="1e-6,1e-5,1e-4",
        batch_size="8",
        steps=3,
        seeds=2,
        out=tmp_path / "out",
    )()
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("coordinate check: left out, the model is not made of Flax linen modules") == 2
    assert "lies on the edge of the grid at width 4 and 8: widen --learning-rates" in shown
    assert "standard best rate moves by an unknown distance" in shown
    summary = read_kept(tmp_path / "out" / "summary.json")
    assert summary["standard"]["coordinates"] is None
    assert summary["standard"]["best"][1]["octaves"] == {"best": None, "low": None, "high": None}
    assert (tmp_path / "out" / "transfer.png").exists()


@pytest.mark.slow
def test_the_joint_surface_keeps_numbers_and_figure(tmp_path):
    surface = joint_surface.main(str(tmp_path), quick=True)
    kept = json.loads((tmp_path / "joint_surface.json").read_text())
    assert np.array(kept["losses"]["muP"]).shape == surface.losses["muP"].shape == (2, 2, 2, 4)
    assert len(kept["drifts"]) == 4
    assert (tmp_path / "joint_surface.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_dead_units_are_counted(tmp_path, capsys):
    found = dead_units.main(str(tmp_path), quick=True)
    assert "linear rate: best moves" in capsys.readouterr().out
    assert all(survey.loss.shape == (2, 2, 3) for survey in found.values())
    assert all(((survey.dead >= 0) & (survey.dead <= 1)).all() for survey in found.values())
    assert found["constant"].dead[0, :, -1].mean() > found["constant"].dead[0, :, 0].mean()
    assert (tmp_path / "dead_units.png").read_bytes()[:4] == b"\x89PNG"


def test_the_batch_size_is_an_axis_beside_the_width(tmp_path):
    """The best rate grows as the square root of the batch size in the narrow network, linearly in the wide one."""
    plan = TransferPlan((8, 64), RATES, (4, 16, 64), steps=5, seeds=4, schedule="constant")
    optima = [[-7.0 + power * octave for octave in (0, 2, 4)] for power in (0.5, 1.0)]
    found = over_batches(plan, np.stack([losses(row, noise=0.02) for row in optima]))
    assert [exponent.best for exponent in found.exponents] == pytest.approx([0.5, 1.0], abs=0.05)
    assert found.difference.low < 0.5 < found.difference.high and found.difference.low > 0
    assert found.best[2][1].octaves.best == pytest.approx(2.0, abs=0.2)
    summary = {"widths": [8, 64], "over_batch_sizes": summary_of(plan, {MUP: found})}
    (line,) = lines_of(summary, MUP)
    assert "power 0.5" in line and "moves it otherwise in a wide network" in line
    assert len(batches_table(summary, [MUP]).rows) == 3
    over_batches_figure(plan, {MUP: found}, "made up", tmp_path / "over.png")
    assert (tmp_path / "over.png").stat().st_size > 10_000


def test_an_exponent_is_unknown_where_a_best_rate_is_on_the_edge():
    plan = TransferPlan((8, 64), RATES, (4, 16), steps=5, seeds=4, schedule="constant")
    found = over_batches(plan, np.stack([losses(row) for row in ([-5.0, -4.0], [-12.0, -9.0])]))
    summary = {"widths": [8, 64], "over_batch_sizes": summary_of(plan, {MUP: found})}
    assert "unknown power (edge) at 64: whether that differs is unknown" in lines_of(summary, MUP)[0]
