"""One chunk over several devices: the numbers of one device, what is refused, and how a mesh is chosen."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from tiny import RATES, tiny_study

import hparam
import lr_batch
from lr_batch.engine import ChunkPlan, Identity, chunk_memory, chunk_width, with_mesh
from lr_batch.problem.mesh_shape import MeshShape, read_mesh

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def on_eight_devices():
    """Another process, since a CPU is cut into devices once."""
    script = [sys.executable, str(HERE / "on_eight_devices.py")]
    done = subprocess.run(script, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)


def test_optimizers_of_whole_matrices_train_as_on_one_device(on_eight_devices):
    """Muon, Shampoo and SOAP, lanes and examples shared out."""
    found = on_eight_devices["whole matrices"]
    assert found["devices"] == 4 and found["adds up"]
    assert found["apart"] < 1e-8 and found["moved"] > 1e-2


def test_moments_of_groups_and_a_state_that_is_spread_are_those_of_one_device(on_eight_devices):
    found = on_eight_devices["groups"]
    assert found["apart"] < 1e-6 and found["moments"] > 1e-2  # the metric is kept in float32
    assert found["trials"] == 8 and found["device"] == "8 x cpu"  # two meshes of four at a time
    assert "P('lane', None, 'data')" in found["spread"] and "P('lane', 'data')" in found["spread"]


def test_two_processes_train_as_one_and_what_they_kept_goes_on():
    """Each with a device of its own; the first has the store."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    script = [sys.executable, str(HERE / "one_of_two_processes.py"), str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([*script, str(number)], **pipes) for number in range(2)]
    said = [process.communicate(timeout=500) for process in both]
    assert [process.returncode for process in both] == [0, 0], said[0][1][-2_000:] + said[1][1][-2_000:]
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in said)  # Gloo says who is connected before
    assert (first.pop("finished"), second.pop("finished")) == (4, None) and first == second
    assert first["again"] and first["resumed"]
    assert "2 processes train one chunk together: a mesh of all their 2 devices is needed" in first["refused"]
    alone = lr_batch.run(tiny_study(batch_sizes=(4, 40), seeds=1, budget=20, lanes="vmap"))
    for mesh in ("examples", "lanes"):
        for curve, found in zip(alone.curves, first[mesh], strict=True):
            np.testing.assert_allclose(found, curve.values, rtol=1e-5)


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ("lane=0", "must look like lane=4,data=2"),
        ("lane=2,lane=2", "must look like"),
        ("data=2,state=whole", "must look like"),
        ("8", "must look like"),
        (
            "data=3",
            "data=3 of the mesh does not divide batch size 4; take batch sizes that are multiples of 3",
        ),
    ],
)
def test_mesh_that_cannot_be_is_one_line(mesh, message):
    with pytest.raises(ValueError, match=message) as error:
        tiny_study(mesh=mesh, batch_sizes=(4,))
    assert "\n" not in str(error.value)


def test_devices_that_cannot_be_divided_are_refused_before_anything_is_tried(monkeypatch):
    module = sys.modules["lr_batch.checks.check"]  # the package has a function of that name
    monkeypatch.setattr(module, "_checked", lambda *study: pytest.fail("it was tried"))
    study = tiny_study(mesh="lane=4,data=2", batch_sizes=(4,))
    with pytest.raises(lr_batch.StudyError, match="takes 8 devices, and the 1 device .*device_count=8"):
        lr_batch.check(study)


def test_what_trains_on_one_device_refuses_a_mesh():
    study = tiny_study(mesh="lane=2", batch_sizes=(4,))
    space = hparam.Space({"learning_rate": hparam.log(1e-2, 1.0)})
    with pytest.raises(
        ValueError, match="generalize: trains on one device at a time, got the mesh lane=2,data=1"
    ):
        lr_batch.generalize(study, epochs=1)
    with pytest.raises(ValueError, match="tune: trains on one device"):
        hparam.tune(hparam.TuningPlan(study, space))
    with pytest.raises(ValueError, match="worker of hand_out: trains on one device"):
        lr_batch.run(study, hand_out=lambda *args: iter(()))
    with pytest.raises(ValueError, match="multiple of the 2 rows of devices"):
        lr_batch.run(study, width=3)


def test_mesh_is_part_of_a_trial_s_identity_where_there_is_one():
    identity = lambda mesh: Identity.of(tiny_study(mesh=mesh, batch_sizes=(4,)), 4, "vmap").described()
    assert identity("lane=1,data=1") == identity(None) and "mesh" not in identity(None)
    assert identity("data=2") == identity(None) | {"mesh": "lane=1,data=2"}
    assert read_mesh(str(MeshShape(2, 4, True))) == MeshShape(2, 4, True)


def test_each_row_of_devices_has_as_many_lanes():
    three = {"learning_rate": RATES[:3]}
    study = tiny_study(space=three, mesh="lane=2,data=2", batch_sizes=(4,))
    assert chunk_width(study, budget=1e9) == 4 and chunk_width(study, budget=1.0) == 2
    assert chunk_memory(study).chunk(4, "vmap") < chunk_memory(tiny_study()).chunk(4, "vmap")
    plan = ChunkPlan(8, "vmap", Identity.of(study, 8, "vmap"), 8)
    (task,) = plan.tasks(4, 0, [{"learning_rate": rate} for rate in (*RATES, *RATES)])
    halves = [half.width for half in task.halves()]
    assert halves == [4, 4]
    (quarter, _), _ = (half.halves() for half in task.halves())
    assert quarter.width == 2 and quarter.halves() == []


def test_spread_state_takes_a_share_of_each_device():
    whole, spread = (tiny_study(mesh=f"data=4{how}", batch_sizes=(4,)) for how in ("", ",state=spread"))
    saved = chunk_memory(whole).kept - chunk_memory(spread).kept
    assert saved >= 3 / 4 * chunk_memory(whole).params


@pytest.mark.parametrize("mesh", [None, "lane=1,data=2", "lane=1,data=2,state=spread", "lane=1,data=4"])
def test_mesh_is_the_smallest_that_holds_a_trial(monkeypatch, mesh):
    need = chunk_memory(tiny_study(batch_sizes=(40,), mesh=mesh))
    budget = need.chunk(1, "auto") + need.data
    monkeypatch.setattr("lr_batch.engine.mesh_choice.memory_budget", lambda mesh: budget)
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(platform="gpu")] * 4)
    assert str(with_mesh(tiny_study(batch_sizes=(40,))).mesh) == str(mesh)


def test_mesh_that_is_asked_for_is_kept(monkeypatch):
    monkeypatch.setattr("lr_batch.engine.mesh_choice.memory_budget", lambda mesh: 0.0)
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(platform="gpu")] * 4)
    assert with_mesh(tiny_study(batch_sizes=(4,), mesh="lane=2")).mesh == MeshShape(2, 1)
    assert with_mesh(tiny_study(batch_sizes=(1, 4))).mesh is None  # nothing holds it: as before
