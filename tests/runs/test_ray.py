"""Chunks that a Ray cluster trains: a real one on this machine, of which a node is killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest
from command_line import MODEL, ROOT, command

from runs.store import Store

pytest.importorskip("ray")
# In a process of its own: Ray forks, and JAX is imported here. Deaths are noticed within seconds.
CLUSTER = """
import os, signal, sys, time
quick = {"initial_delay_ms": 0, "period_ms": 500, "timeout_ms": 500, "failure_threshold": 2}
for name, value in quick.items():
    os.environ[f"RAY_health_check_{name}"] = str(value)
from ray.cluster_utils import Cluster

node = dict(node_ip_address="127.0.0.1", object_store_memory=80 * 2**20, include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **node})
nodes = [cluster.add_node(num_cpus=1, **node) for _ in range(2)]
print(cluster.address, flush=True)
for folder in sys.stdin:
    node = nodes.pop()
    raylet = node.all_processes["raylet"][0].process.pid
    while not os.path.exists(f"{folder.strip()}/loaded-by-{raylet}"):
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)  # SIGKILL of all its processes
    print("killed", flush=True)
cluster.shutdown()
"""
# Leaves a mark when a process of a node begins its first chunk: which node that is, its parent's number says.
MARKED = """
import os, pathlib
pathlib.Path({folder!r}, f"loaded-by-{{os.getppid()}}").touch()
"""
STUDY = ("--batch-sizes", "1:8:x2", "--learning-rates", "0.1,0.3,1", "--seeds", "3", "--no-extend")


@contextlib.contextmanager
def cluster(folder):
    environment = os.environ | {"RAY_TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(timeout=60)


def rows_in(folder):
    with Store(folder, read_only=True) as store:
        return store.trial_rows()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_node_costs_one_chunk_its_second_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0"
    )  # else Ray takes the machine's address for loopback
    monkeypatch.setattr("runs.curve.figures.FIGURES", {})
    monkeypatch.setattr("runs.curve.report.write_report", lambda *args: None)
    marked = MODEL.replace("budget=2000", "budget=600000") + MARKED.format(folder=str(tmp_path))
    (tmp_path / "my.py").write_text(marked)
    study = ("curve", f"{tmp_path}/my.py:hard", *STUDY)
    assert command(capsys, *study, "--out", tmp_path / "here")[0] == 0
    with cluster("/tmp") as ray:
        address = ray.stdout.readline().strip()
        ray.stdin.write(f"{tmp_path}\n")  # kill a node as soon as it has begun a chunk
        ray.stdin.flush()
        code, _, said = command(capsys, *study, "--out", tmp_path / "there", "--ray", address)
        assert (code, ray.stdout.readline().strip()) == (0, "killed"), said
    # The chunk that ran there, and the one that waited there.
    assert 1 <= said.count("handed out again") <= 2, said
    assert rows_in(tmp_path / "there") == rows_in(tmp_path / "here")


def test_without_a_cluster_it_is_one_line(tmp_path, capsys):
    (tmp_path / "my.py").write_text(MODEL)
    call = ("curve", f"{tmp_path}/my.py:workload", *STUDY, "--out", tmp_path / "out", "--ray", "127.0.0.1:1")
    code, _, said = command(capsys, *call)
    assert code == 1 and "--ray 127.0.0.1:1: no cluster answers" in said.splitlines()[-1], said
