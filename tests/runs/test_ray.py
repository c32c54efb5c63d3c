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
import os, pathlib, sys, time
quick = {"initial_delay_ms": 0, "period_ms": 500, "timeout_ms": 2000, "failure_threshold": 4}
for name, value in quick.items():
    os.environ[f"RAY_health_check_{name}"] = str(value)
from ray.cluster_utils import Cluster

here = dict(node_ip_address="127.0.0.1", object_store_memory=80 * 2**20, include_dashboard=False)
node = dict(num_cpus=1, num_gpus=int(sys.argv[1]), **here)
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **here})
nodes = [cluster.add_node(**node) for _ in range(2)]
print(cluster.address, flush=True)
raylet = lambda node: str(node.all_processes["raylet"][0].process.pid)
for line in sys.stdin:
    while len(nodes) < 2:  # not in the midst of a study, on a machine that is busy then
        nodes.append(cluster.add_node(wait=False, **node))
    hangs = pathlib.Path(line.strip())
    while not (hangs.exists() and hangs.read_text()):
        time.sleep(0.02)
    at_work = next(node for node in nodes if raylet(node) == hangs.read_text())
    cluster.remove_node(at_work, allow_graceful=False)  # SIGKILL of all its processes
    nodes.remove(at_work)
    print("killed", flush=True)
cluster.shutdown()
"""
# The first process of a node that comes to a chunk hangs there until its node is killed, which its parent's number says.
HANGS = """
import os, time
if os.getpid() != {study} and not os.path.exists({mark!r}):
    with open({mark!r}, "x") as mark:
        mark.write(str(os.getppid()))
    time.sleep(600)
"""
# What Ray has given a process of a node.
GIVEN = """
import os, pathlib
if os.getpid() != {study}:
    pathlib.Path({folder!r}, f"given-{{os.getpid()}}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
"""
GRID = ("--batch-sizes", "1,4", "--learning-rates", "0.1,0.3,1", "--seeds", "2", "--no-extend")
ASHA = "--search asha --trials 3 --budget 2000 --confirm 1 --width 3 --ask 6 --batch-size 8".split()
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

    def kill_what_hangs(self, mark):
        """Returns at once; one that was killed before has been replaced."""
        self.process.stdin.write(f"{mark}\n")
        self.process.stdin.flush()

    def killed(self):
        return self.process.stdout.readline().strip() == "killed"


@contextlib.contextmanager
def started(gpus=0):
    """A cluster whose nodes say that they have so many GPUs each."""
    environment = os.environ | {"RAY_TMPDIR": "/tmp", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(gpus)],
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


@pytest.fixture(scope="module")
def cluster():
    with started() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    """Else Ray takes the machine's address for loopback."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


@pytest.fixture(autouse=True)
def nothing_is_drawn(monkeypatch):
    for drawn in ("runs.curve.report.write_report", "runs.tune.outcome.print_outcome"):
        monkeypatch.setattr(drawn, lambda *args: None)
    monkeypatch.setattr("runs.curve.figures.FIGURES", {})
    monkeypatch.setattr("runs.tune.outcome.write_outcome", lambda *args: {})
    monkeypatch.setattr("runs.compare.outcome.write_comparison", lambda *args: None)


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
def test_a_killed_node_costs_one_chunk_its_second_run(name, tmp_path, capsys, cluster):
    mark = tmp_path / "hangs"
    (tmp_path / "my.py").write_text(MODEL + HANGS.format(study=os.getpid(), mark=str(mark)))
    study = [word.replace("MODEL", f"{tmp_path}/my.py") for word in STUDIES[name]]
    assert command(capsys, *study, "--out", tmp_path / "here")[0] == 0
    cluster.kill_what_hangs(mark)
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_where_the_cluster_has_gpus_each_task_asks_for_one_and_sees_no_other(tmp_path, capsys, monkeypatch):
    """The GPUs are pretended: Ray counts and hands them out all the same, and here JAX has its one CPU device."""
    (tmp_path / "my.py").write_text(MODEL + GIVEN.format(study=os.getpid(), folder=str(tmp_path)))
    study = ("curve", f"{tmp_path}/my.py:workload", *GRID)
    with started(gpus=1) as cluster:
        code, _, said = command(capsys, *study, "--out", tmp_path / "one", "--ray", cluster.address)
        assert code == 0, said
        assert {path.read_text() for path in tmp_path.glob("given-*")} == {"0"}
        monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
        code, _, said = command(capsys, *study, "--out", tmp_path / "two", "--ray", cluster.address)
    assert code == 2 and "sees 2 devices instead of the one that it asked for" in said, said
