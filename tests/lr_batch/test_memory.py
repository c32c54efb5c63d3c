"""Memory of a chunk: the estimate against the compiler's plan, and the width that follows from it."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from tiny import tiny_study

import lr_batch
from lr_batch.engine.cadence import cadence_of
from lr_batch.engine.execution_choice import choose_execution
from lr_batch.engine.memory import MAX_WIDTH, chunk_memory, chunk_width
from lr_batch.engine.memory_limit import (
    COMPILER_BYTES,
    OWN_BYTES,
    MemoryLimit,
    address_space,
    control_groups,
    memory_limit,
)
from lr_batch.engine.programs import Engine
from runs.kept_json import read_kept
from runs.recipes.memory_estimate import LANES, TINY, cases, study_of

STUDIES = {
    "digits_mlp sgd": ("digits_mlp", "sgd", 16, "vmap"),
    "digits_mlp adam": ("digits_mlp", "adam", 16, "vmap"),
}
SLOW = {
    "digits_mlp in blocks": ("digits_mlp", "adam", 16, "blocks"),
    "digits_cnn": ("digits_cnn", "sgd", 16, "vmap"),
    "digits_cnn one after the other": ("digits_cnn", "sgd", 16, "map"),
    "fashion_mnist_fc": ("fashion_mnist_fc", "sgd", 4, "vmap"),
    "fashion_mnist_fc one after the other": ("fashion_mnist_fc", "adam", 16, "map"),
    "digits_mlp shampoo": ("digits_mlp", "shampoo", 16, "vmap"),
    "digits_mlp shampoo in blocks": ("digits_mlp", "shampoo", 16, "blocks"),
    "pydoc_lm": ("pydoc_lm", "sgd", 16, "map"),
}


@pytest.mark.usefixtures("own_compiler")
@pytest.mark.parametrize("name", [*STUDIES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_estimate_is_within_a_fifth_of_the_plan(name):
    workload, optimizer, width, execution = (STUDIES | SLOW)[name]
    study = lr_batch.Study(fashion_shape() if workload == "fashion_mnist_fc" else workload, optimizer)
    engine = Engine.of(study, width, execution, max_evals=len(cadence_of(study)))
    planned = engine.planned_bytes(jax.local_devices()[0])
    assert chunk_memory(study).chunk(width, execution) == pytest.approx(planned, rel=0.2)


# Evaluated in four lanes at once, it holds zeros as large as its hidden units, and the heads in two layouts.
LOW = {"lm1b_transformer tiny vmap 512": 0.7}


def is_quick(case):
    return case.scale == TINY and case.held_out == 40 and "resnet50" not in case.panel


KEPT = read_kept(Path(__file__).parents[2] / "runs/results/memory/summary.json")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=() if is_quick(case) else pytest.mark.slow)
        for case in cases(sorted({name.split()[0] for name in KEPT}), [*LANES])
        if case.lanes == "map" and case.name in KEPT
    ],
)
def test_estimate_of_a_published_panel_is_within_a_fifth_of_the_kept_plan(case):
    need = chunk_memory(study_of(case))
    for lanes in ("map", "vmap"):
        kept = KEPT.get(case._replace(lanes=lanes).name)
        if kept is not None:
            low = LOW.get(case._replace(lanes=lanes).name, 0.8)
            assert low <= need.chunk(LANES[case.scale], lanes) / kept["planned"] <= 1.25, lanes


def fashion_shape():
    """The published fully connected network on noise in the shape of Fashion-MNIST."""
    from lr_batch.workloads.mlp import MLP

    rng = np.random.default_rng(0)
    rows = lambda n: (rng.random((n, 784), np.float32), rng.integers(10, size=n, dtype=np.int32))
    return lr_batch.from_arrays(
        MLP((256, 256, 256, 10)),
        train=rows(2_000),
        held_out=rows(1_000),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal=lr_batch.Goal("loss", 0.1),
        name="fashion_shape",
    )


def test_chunk_is_as_wide_as_the_grid_where_memory_allows():
    assert chunk_width(tiny_study()) == 4
    many = {"learning_rate": lr_batch.log_grid(1e-3, 1.0, 2 * MAX_WIDTH)}
    assert chunk_width(tiny_study(space=many)) == MAX_WIDTH


def test_chunk_is_narrower_where_activations_are_large():
    small, large = (lr_batch.Study(lr_batch.WORKLOADS["digits_mlp"](width)) for width in (128, 4096))
    assert chunk_width(small, budget=20e6) == 16
    width = chunk_width(large, budget=20e6)
    need = chunk_memory(large)
    assert 1 <= width < 16
    assert need.chunk(width, "vmap") + need.data <= 20e6 < need.chunk(width + 1, "vmap") + need.data


def test_at_least_one_lane_is_tried():
    assert chunk_width(tiny_study(), budget=1.0) == 1


def test_width_that_memory_allows_changes_no_answer(monkeypatch):
    """Two lanes at a time instead of four."""
    study, seen = tiny_study(batch_sizes=(4,), slack=float("inf")), []
    wide, need = lr_batch.run(study), chunk_memory(study)
    monkeypatch.setattr(
        "lr_batch.engine.memory.memory_budget", lambda mesh: need.chunk(2, "vmap") + need.data
    )
    narrow = lr_batch.run(study, on_chunk=seen.append)
    assert narrow.engine.chunk_width == seen[0].width == 2 and wide.engine.chunk_width == 4
    assert seen[0].lane_bytes == need.lane(2, "vmap")
    np.testing.assert_allclose(narrow.steps_to_goal, wide.steps_to_goal, rtol=1e-3)


def test_as_many_lanes_are_executed_together_as_the_caches_hold():
    assert choose_execution(lr_batch.Study("digits_mlp"), 16) == "vmap"
    images = lr_batch.Study("digits_cnn")
    assert [choose_execution(images, width) for width in (1, 16)] == ["vmap", "blocks"]
    assert choose_execution(dataclasses.replace(images, lanes="map"), 16) == "map"


@pytest.mark.parametrize("large_in", ["activations", "parameters"])
def test_lanes_go_one_by_one_where_even_a_block_leaves_the_caches(large_in):
    workload = {"activations": lr_batch.WORKLOADS["pydoc_lm"], "parameters": fashion_shape}[large_in]()
    assert choose_execution(lr_batch.Study(workload), 16) == "map"


GROUP = "sys/fs/cgroup"


def machine_with(root, cgroup, **limits):
    """A /proc and a /sys in which this process is in control groups with these limits."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for path, text in limits.items():
        file = root / GROUP / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(
    ("cgroup", "limits", "least"),
    [
        ("0::/user/job\n", {"user/job/memory.max": "2000000000"}, 2e9),
        ("0::/user/job\n", {"user/job/memory.max": "max", "user/memory.max": "3000000000"}, 3e9),
        ("0::/user/job\n", {"user/job/memory.high": "1000000000", "user/memory.max": "3000000000"}, 1e9),
        ("0::/\n", {"memory.max": "1500000000"}, 1.5e9),  # inside a container
        ("4:memory:/a/b\n0::/\n", {"memory/a/memory.limit_in_bytes": "900000000"}, 0.9e9),
        ("4:cpu,memory:/a\n", {"memory/a/memory.limit_in_bytes": "800000000"}, 0.8e9),
        ("4:memory:/not/shown/here\n", {"memory/memory.limit_in_bytes": "700000000"}, 0.7e9),
        ("0::/a\n", {"a/memory.max": "600000000", "unified/a/memory.max": "500000000"}, 0.5e9),
    ],
)
def test_least_of_all_control_groups_is_found(cgroup, limits, least, tmp_path):
    found = control_groups(machine_with(tmp_path, cgroup, **limits))
    assert min(found).bytes == least - OWN_BYTES


def test_no_control_group_no_limit(tmp_path):
    assert [*control_groups(tmp_path)] == []
    assert [*control_groups(machine_with(tmp_path, "0::/a\n", **{"a/memory.max": "max"}))] == []


def test_limit_of_addresses_counts_what_is_left(monkeypatch, tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("Name:\tpython\nVmSize:\t 1000000 kB\n")
    monkeypatch.setattr("resource.getrlimit", lambda kind: (2_000_000 * 1024, -1))
    (limit,) = address_space(tmp_path)
    assert limit.bytes == 1_000_000 * 1024 - COMPILER_BYTES
    monkeypatch.setattr("resource.getrlimit", lambda kind: (-1, -1))
    assert [*address_space(tmp_path)] == []


def test_trial_that_the_memory_cannot_hold_is_refused_in_one_line(monkeypatch):
    study = tiny_study()
    monkeypatch.setattr("lr_batch.engine.memory.memory_limit", lambda: MemoryLimit(1e3, "its control group"))
    with pytest.raises(
        lr_batch.StudyError, match=r"one trial needs about .* and its control group leaves 0 MB to \d"
    ):
        lr_batch.run(study)


def test_limit_of_this_process_is_the_least(monkeypatch):
    monkeypatch.setattr("lr_batch.engine.memory_limit.control_groups", lambda: iter([MemoryLimit(5.0, "a")]))
    monkeypatch.setattr("lr_batch.engine.memory_limit.address_space", lambda: iter([MemoryLimit(4.0, "b")]))
    memory_limit.cache_clear()
    try:
        assert memory_limit() == MemoryLimit(4.0, "b")
    finally:
        memory_limit.cache_clear()


def test_study_goes_on_with_the_width_it_began_with():
    study, seen = tiny_study(batch_sizes=(4,)), []
    lr_batch.run(study, on_chunk=seen.append, width=3)
    assert seen[0].width == 3
