"""Published curves beside measured ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
from synthetic_study import synthetic_result

from lr_batch.workloads import WORKLOADS
from runs.curve.analysis import analyse
from runs.reference import distance, published
from runs.reference.outcome import write_reference
from runs.reference.published import CURVES, Published

PANEL, STAND_IN = "cifar10_resnet8", "stand-in-cifar10_resnet8-tiny"


@pytest.fixture(scope="module")
def study():
    """(result, analysis) of steps 640 (1 + 300 / B)."""
    sizes, named = tuple(2**i for i in range(1, 14)), {"workload": PANEL, "optimizer": "nesterov"}
    result = synthetic_result(sizes, s_min=640.0, b_crit=300.0, budget=10**6, **named)
    return result, analyse(result)


def _known(s_min, b_crit, sizes):
    return Published("somebody", {size: s_min * (1 + b_crit / size) for size in sizes})


def test_every_published_curve_is_of_a_workload_and_falls_on_the_whole():
    for (panel, _), steps in CURVES.items():
        assert panel in WORKLOADS
        sizes = sorted(steps)
        assert steps[sizes[0]] > 2 * steps[sizes[-1]]
        assert all(steps[b] < 1.4 * steps[a] for a, b in zip(sizes, sizes[1:], strict=False))


def test_the_distance_is_of_steps_at_the_published_batch_sizes(study):
    """Twice the steps everywhere: one octave, and only within what was measured."""
    optima = study[1].optima
    known = _known(320.0, 300.0, [2**i for i in range(0, 16, 3)])
    apart = distance(known, optima, shape_only=False)
    assert apart.batch_sizes.tolist() == pytest.approx([8, 64, 512, 4096])
    assert apart.octaves == pytest.approx(1.0, abs=0.15)
    assert apart.median == pytest.approx(1.0, abs=0.1)


def test_of_another_problem_the_shape_is_compared(study):
    """The same form with another critical batch size and other steps lies on the curve once it is moved."""
    optima = study[1].optima
    known = _known(5_000.0, 300.0 * 2**3, [2**i for i in range(4, 17)])
    apart = distance(known, optima, shape_only=True)
    assert apart.batch_octaves == pytest.approx(-3.0, abs=0.5)
    assert apart.steps_octaves == pytest.approx(np.log2(640 / 5_000), abs=0.3)
    assert apart.median < 0.15
    straight = Published("somebody", {2**i: 1e6 / 2**i for i in range(4, 17)})
    assert distance(straight, optima, shape_only=True).median > 3 * apart.median


def test_what_is_written_and_said(study, tmp_path):
    result, outcome = study
    told = write_reference(result, outcome, "shallue2019", tmp_path)
    assert told.startswith(
        "Measured steps over those of Shallue et al. (2019) at 13 published batch sizes: median"
    )
    kept = json.loads((tmp_path / "reference.json").read_text())
    assert kept["source"] == "Shallue et al. (2019)" and len(kept["octaves"]) == 13
    assert kept["octaves"][0] == pytest.approx(np.log2(640 * 151 / 115e3), abs=0.2)
    assert (tmp_path / "reference.png").exists() and (tmp_path / "reference.svg").exists()
    stand_in = result._replace(workload=STAND_IN)
    assert "only the shape" in write_reference(stand_in, outcome, "shallue2019", tmp_path)


@pytest.mark.parametrize(
    ("reference", "workload", "said"),
    [
        ("shalue2019", PANEL, "did you mean 'shallue2019'"),
        (
            "shallue2019",
            "digits_mlp",
            "no curve of digits_mlp with nesterov; it has those of mnist_simple_cnn",
        ),
    ],
)
def test_what_has_no_published_curve_is_refused(study, reference, workload, said):
    with pytest.raises(ValueError, match=said):
        published(reference, study[0]._replace(workload=workload))


def test_too_few_common_batch_sizes_are_refused(study):
    known = _known(640.0, 300.0, [1, 16_384, 32_768])
    with pytest.raises(
        ValueError, match="has 0 batch sizes from 2 to 8,192, fewer than 3; measure more of 1 to"
    ):
        distance(known, study[1].optima, shape_only=False)
