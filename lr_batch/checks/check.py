"""All checks of a study, in one place and with one report."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import jax

from lr_batch.checks import augmentation, bounded, examples, labels, pure, start, switches, whole_set
from lr_batch.checks import optimizer as optimizers
from lr_batch.checks.probe import Probe
from lr_batch.errors import StudyError
from lr_batch.problem.goal import check_direction
from lr_batch.problem.mesh_shape import check_devices
from lr_batch.study import Study
from optim.arguments import explain_arguments

REMEMBERED = 64  # studies; their functions and data stay alive as long


class _Passed(NamedTuple):
    """What was checked: its parts, which are kept since they are known by their `id`, and what was said of it."""

    parts: tuple
    space: Mapping[str, tuple[float, ...]]
    seeds: tuple[int, ...]
    said: tuple[str, ...]


_passed: OrderedDict[str, _Passed] = OrderedDict()


@explain_arguments
def check(study: Study, *, to_goal: bool = True) -> tuple[str, ...]:
    """Checks a study on real rows of its data; nothing is trained. A study that passed is not checked again, nor is one
    of some of its seeds with settings that lie within its own.

    Args:
      study: what is to be trained.
      to_goal: whether trials are trained to the study's goal, so that it must not be met at the start.

    Returns:
      One line for each thing that was checked.

    Raises:
      StudyError: one line: what is wrong, what is allowed, the way out.
    """
    switches.check_switches(study.precision)
    check_devices(study.mesh)
    parts = _parts(study)
    key = repr((*map(id, parts), study.schedule, study.goal, study.budget, to_goal))
    if key not in _passed or not _within(study, _passed[key]):
        try:
            _passed[key] = _Passed(parts, study.space, study.seed_numbers, _checked(study, to_goal))
        except MemoryError as error:
            raise StudyError(
                f"{study.workload.name}: no memory to try a few examples ({error}); take a smaller model, or raise the "
                "limit of the process"
            ) from error
        while len(_passed) > REMEMBERED:
            _passed.popitem(last=False)
    return _passed[key].said


def _within(study: Study, passed: _Passed) -> bool:
    """Whether every value lies between the ends of what was checked, and every seed is among its own."""
    return (
        study.space.keys() == passed.space.keys()
        and set(study.seed_numbers) <= set(passed.seeds)
        and all(
            min(passed.space[name]) <= value <= max(passed.space[name])
            for name, values in study.space.items()
            for value in values
        )
    )


def _checked(study: Study, to_goal: bool) -> tuple[str, ...]:
    check_direction(study.workload.name, study.goal)
    said = optimizers.check_optimizer(study)
    probe = Probe(study.workload)
    said += pure.check_pure(probe)
    said += augmentation.check_augmentation(probe)
    said += start.check_training_loss(probe)
    said += labels.check_labels(probe)
    said += bounded.check_bounded(probe)
    said += examples.check_independent(probe)
    said += whole_set.check_cuts(probe, study.goal.metric)
    said += start.check_metrics(probe, study.goal, study.seed_numbers, to_goal)
    return tuple(said)


def _parts(study: Study) -> tuple:
    workload, optimizer = study.workload, study.optimizer
    functions = (workload.init, workload.loss, workload.evaluate, optimizer.make, optimizer.eval_params)
    functions += (workload.weights, workload.statistics and workload.statistics.train, workload.augment)
    functions += tuple(part for metric in workload.metrics.values() for part in metric)
    return (*functions, study.regularizer, *jax.tree.leaves((workload.train_data, workload.eval_data)))
