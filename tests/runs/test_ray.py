"""Chunks that a Ray cluster trains: a real one on this machine, of which a node is killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

import pytest
from command_line import MODEL, ROOT, command

from runs.store import Store, StoreError

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
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)  # SIGKILL of all its processes
    print("killed", flush=True)
cluster.shutdown()
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
    (tmp_path / "my.py").write_text(MODEL.replace("budget=2000", "budget=600000"))
    study = ("curve", f"{tmp_path}/my.py:hard", *STUDY)
    assert command(capsys, *study, "--out", tmp_path / "here")[0] == 0
    with cluster("/tmp") as ray:
        address = ray.stdout.readline().strip()
        killed = []
        killer = threading.Thread(target=kill_once_begun, args=(ray, tmp_path / "there", killed), daemon=True)
        killer.start()
        code, _, said = command(capsys, *study, "--out", tmp_path / "there", "--ray", address)
        killer.join(timeout=60)
    assert (code, killed) == (0, ["killed"]), said
    assert 1 <= said.count("handed out again") <= 2, (
        said
    )  # the one that ran there, and the one that waited there
    assert rows_in(tmp_path / "there") == rows_in(tmp_path / "here")


def kill_once_begun(ray, folder, killed):
    """Once the first chunk is stored, so that both nodes are at work."""
    while True:
        with contextlib.suppress(StoreError):
            if rows_in(folder):
                break
        time.sleep(0.05)
    ray.stdin.write("kill\n")
    ray.stdin.flush()
    killed.append(ray.stdout.readline().strip())


def test_without_a_cluster_it_is_one_line(tmp_path, capsys):
    (tmp_path / "my.py").write_text(MODEL)
    call = ("curve", f"{tmp_path}/my.py:workload", *STUDY, "--out", tmp_path / "out", "--ray", "127.0.0.1:1")
    code, _, said = command(capsys, *call)
    assert code == 1 and "--ray 127.0.0.1:1: no cluster answers" in said.splitlines()[-1], said
