"""Chunks that a Ray cluster trains: a real one on this machine, of which a node is killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from command_line import MODEL, ROOT, command

from runs.store import Store

pytest.importorskip("ray")
# In a process of its own: Ray forks, and JAX is imported here. Deaths are noticed within seconds.
CLUSTER = """
import os, sys, time
quick = {"initial_delay_ms": 0, "period_ms": 500, "timeout_ms": 2000, "failure_threshold": 4}
for name, value in quick.items():
    os.environ[f"RAY_health_check_{name}"] = str(value)
from ray.cluster_utils import Cluster

node = dict(node_ip_address="127.0.0.1", object_store_memory=80 * 2**20, include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **node})
nodes = [cluster.add_node(num_cpus=1, **node) for _ in range(2)]
print(cluster.address, flush=True)
began = lambda folder, node: os.path.exists(f"{folder}/began-at-{node.all_processes['raylet'][0].process.pid}")
for line in sys.stdin:
    while len(nodes) < 2:  # not in the midst of a study, on a machine that is busy then
        nodes.append(cluster.add_node(wait=False, num_cpus=1, **node))
    while not (at_work := [node for node in nodes if began(line.strip(), node)]):
        time.sleep(0.02)
    cluster.remove_node(at_work[0], allow_graceful=False)  # SIGKILL of all its processes
    nodes.remove(at_work[0])
    print("killed", flush=True)
cluster.shutdown()
"""
# Chunks of a second or more, so that a node that is killed is still at one.
LONG = MODEL.replace("budget=2000", "budget=600000")
# Leaves a mark when a process of a node begins its first chunk: which node that is, its parent's number says.
MARKED = """
import os, pathlib
pathlib.Path({folder!r}, f"began-at-{{os.getppid()}}").touch()
"""
GRID = ("--batch-sizes", "1,4", "--learning-rates", "0.1,0.3,1", "--seeds", "2", "--no-extend")
ASHA = "--search asha --trials 3 --budget 300000 --confirm 1 --width 3 --ask 6 --batch-size 8".split()
STUDIES = {
    "curve": ("curve", "MODEL:hard", *GRID),
    "compare": ("compare", "MODEL:hard", "--optimizers", "sgd,momentum", *GRID),
    "tune": ("tune", "MODEL:hard", *ASHA),
}


class Cluster:
    """Two nodes of one slot each, on this machine."""

    def __init__(self, process):
        self.process, self.address = process, process.stdout.readline().strip()
        assert self.address, "no cluster: Ray gives its nodes half a minute to begin"

    def kill_the_first_at_work(self, folder):
        """Returns at once; one that was killed before has been replaced."""
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()

    def killed(self):
        return self.process.stdout.readline().strip() == "killed"


@pytest.fixture(scope="module")
def cluster():
    environment = os.environ | {"RAY_TMPDIR": "/tmp", "PYTHONPATH": str(ROOT)}
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
            yield Cluster(process)
        finally:
            process.stdin.close()
            process.wait(timeout=60)


def rows_in(folder):
    """Of the store in a folder, or of those in the folders of a comparison."""
    found = {}
    for path in sorted(folder.rglob("store.sqlite")):
        with Store(path.parent, read_only=True) as store:
            found[path.parent.relative_to(folder)] = store.trial_rows()
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", STUDIES)
def test_a_killed_node_costs_one_chunk_its_second_run(name, tmp_path, capsys, monkeypatch, cluster):
    monkeypatch.setenv(
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0"
    )  # else Ray takes the machine's address for loopback
    for drawn in ("runs.curve.report.write_report", "runs.tune.outcome.print_outcome"):
        monkeypatch.setattr(drawn, lambda *args: None)
    monkeypatch.setattr("runs.curve.figures.FIGURES", {})
    monkeypatch.setattr("runs.tune.outcome.write_outcome", lambda *args: {})
    monkeypatch.setattr("runs.compare.outcome.write_comparison", lambda *args: None)
    (tmp_path / "my.py").write_text(LONG + MARKED.format(folder=str(tmp_path)))
    study = [word.replace("MODEL", f"{tmp_path}/my.py") for word in STUDIES[name]]
    assert command(capsys, *study, "--out", tmp_path / "here")[0] == 0
    cluster.kill_the_first_at_work(tmp_path)
    code, _, said = command(capsys, *study, "--out", tmp_path / "there", "--ray", cluster.address)
    assert (code, cluster.killed()) == (0, True), said
    # The chunk that ran there, and the one that waited there: each once more.
    again = [line for line in said.splitlines() if "handed out again" in line]
    assert 1 <= len(again) <= 2 and len(set(again)) == len(again), said
    rows = rows_in(tmp_path / "there")
    assert rows and rows == rows_in(tmp_path / "here")


def test_without_a_cluster_it_is_one_line(tmp_path, capsys):
    (tmp_path / "my.py").write_text(MODEL)
    call = ("curve", f"{tmp_path}/my.py:workload", *GRID, "--out", tmp_path / "out", "--ray", "127.0.0.1:1")
    code, _, said = command(capsys, *call)
    assert code == 1 and "--ray 127.0.0.1:1: no cluster answers" in said.splitlines()[-1], said
