"""Trials as runs of TensorBoard, Weights & Biases and MLflow, read back from what was written."""

from __future__ import annotations

import math
import struct
import warnings
from pathlib import Path

import pytest

from runs.__main__ import main
from runs.store import StoreError
from runs.trackers import export_runs
from runs.trackers.run import runs_of


def row(size: int, rate: float, steps_to_goal: float | None, values: list[float], status: str) -> dict:
    return {
        **{"workload": "tiny", "optimizer": "sgd", "goal": "loss < 0.2", "batch_size": size, "seed": 0},
        **{"hparam.learning_rate": rate, "status": status, "steps_to_goal": steps_to_goal, "steps": 10},
        **{"curve_steps": [0, 5, 10], "curve_values": values},
    }


TABLE = [
    row(8, 0.1, None, [2.0, 1.0, 0.5], "budget"),
    row(8, 0.5, 7.5, [2.0, 0.5, 0.1], "reached"),
    row(8, 9.0, None, [2.0, math.nan, math.nan], "diverged"),
    row(64, 0.1, None, [2.0, 1.5, 1.2], "budget"),
    row(64, 0.2, None, [2.0, 1.0, 0.7], "budget"),
]


@pytest.fixture(autouse=True)
def trials(monkeypatch):
    monkeypatch.setattr("runs.trackers.export.trials_of", lambda folder: (TABLE, ("one is damaged",)))


def test_a_run_for_each_trial():
    runs = runs_of(TABLE, Path("study"), "trial")
    assert len({run.name for run in runs}) == 5 and {run.group for run in runs} == {"study"}
    assert runs[1].config["learning_rate"] == 0.5 and runs[1].outcome == {"steps_to_goal": 7.5, "steps": 10.0}
    assert runs[2].curve == [(0, 2.0)] and runs[2].status == "diverged"


def test_a_run_for_each_batch_size_is_that_of_its_best_trial():
    reached, closest = sorted(
        runs_of(TABLE, Path("study"), "batch-size"), key=lambda run: run.config["batch_size"]
    )
    assert reached.config["learning_rate"] == 0.5 and closest.config["learning_rate"] == 0.2
    assert reached.name == "sgd-batch-8" and reached.outcome["trials"] == 3
    assert reached.outcome["trials_reached"] == reached.outcome["trials_diverged"] == 1
    more = [r | {"goal": "accuracy > 0.9"} for r in TABLE[3:]]
    assert runs_of(more, Path("study"), "batch-size")[0].config["learning_rate"] == 0.1


def events(folder: Path):
    """Scalars of all event files below a folder: records of a length, a checksum, the event, a checksum."""
    from tensorboardX.proto import event_pb2

    for path in sorted(folder.rglob("events.out.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = event_pb2.Event.FromString(data[12 : 12 + length])
            yield from ((path, value.tag, event.step, value.simple_value) for value in event.summary.value)
            data = data[16 + length :]


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    exported = export_runs("study", tmp_path / "logs", "tensorboard")
    assert exported == (5, ("one is damaged",))
    found = [event for event in events(tmp_path / "logs" / "batch-8-seed-0-1") if event[1] == "held_out/loss"]
    assert [event[2] for event in found] == [0, 5, 10] and found[2][3] == pytest.approx(0.1)
    assert len({path for path, *_ in events(tmp_path / "logs")}) == 5
    tags = {event[1] for event in events(tmp_path / "logs" / "batch-8-seed-0-1")}
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "outcome/steps_to_goal"} <= tags


@pytest.mark.filterwarnings("ignore")  # wandb's own
def test_wandb_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert export_runs("study", tmp_path / "runs", "wandb", "batch-size").trials == 2
    wandb.teardown()
    written = list((tmp_path / "runs" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(written) == 2 and any(b"sgd-batch-8" in path.read_bytes() for path in written)


def test_mlflow(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        mlflow = pytest.importorskip("mlflow")
        export_runs("study", tmp_path / "runs", "mlflow")
        client = mlflow.MlflowClient(tracking_uri=(tmp_path / "runs").as_uri())
        experiment = client.get_experiment_by_name("study")
        runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
        run = runs["batch-8-seed-0-1"]
        curve = client.get_metric_history(run.info.run_id, "held_out_loss")
    assert (
        len(runs) == 5 and run.data.params["learning_rate"] == "0.5" and run.data.tags["status"] == "reached"
    )
    assert [(point.step, point.value) for point in curve] == [(0, 2.0), (5, 0.5), (10, 0.1)]
    assert run.data.metrics["steps_to_goal"] == 7.5


def test_what_cannot_be_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ValueError, match="must be a new or empty folder"):
        export_runs("study", tmp_path / "full", "mlflow")
    monkeypatch.setattr("runs.trackers.export.TRACKERS", {"mlflow": "no_such_package"})
    with pytest.raises(StoreError, match=r"pip install 'lr-batch\[mlflow\]'"):
        export_runs("study", tmp_path / "new", "mlflow")
    assert main(["export", "study", "--out", "x.csv", "--format", "mlfow"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
