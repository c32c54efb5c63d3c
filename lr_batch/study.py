"""What is to be measured, checked before anything is compiled."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

import optim
import reg
from lr_batch.design import Design, check_design
from lr_batch.fields import (
    check_num_trials,
    notes_on,
    read_batch_sizes,
    read_follow,
    read_seeds,
    read_slack,
    read_space,
    whole,
)
from lr_batch.grid import in_float32, product
from lr_batch.problem.augmentation import Augmentation, augmented
from lr_batch.problem.batch_schedule import BatchSchedule, read_batch_schedule, steps_of_trials
from lr_batch.problem.brisk import BRISK, read_brisk
from lr_batch.problem.changes import changes_of, in_steps, searched_space, with_changes
from lr_batch.problem.column import is_streamed
from lr_batch.problem.evaluation_share import parts_stand_for_all, read_growth, read_share
from lr_batch.problem.goal import parse_goal
from lr_batch.problem.groups import in_use, with_statistics
from lr_batch.problem.lane_optimizer import LaneOptimizer, lane_optimizer
from lr_batch.problem.lengths import MAX_STEPS, Length, parse_budget, steps_within
from lr_batch.problem.mesh_shape import MeshShape, check_division, read_mesh
from lr_batch.problem.precision import FLOAT32, in_precision
from lr_batch.problem.reaching import AVERAGE, RULES
from lr_batch.problem.regularized import check_regularizer
from lr_batch.problem.rematerialization import rematerialised
from lr_batch.problem.scheduled import Schedule, read_schedule
from lr_batch.problem.shapes import check_groups, check_shapes
from lr_batch.problem.space import check_names, check_space
from lr_batch.problem.workload import Goal, Workload, num_examples, read_lanes
from lr_batch.resolve import as_optimizer, as_regularizer, as_workload
from optim.arguments import explain_arguments


@explain_arguments
@dataclasses.dataclass(frozen=True, init=False)
class Study:
    """One question to the instrument: a workload and an optimizer over a grid.

    Every batch size is trained with every setting of the space's product and every seed. What is left None takes the
    workload's or the optimizer's default; the fields hold the values in use.

    Args:
      workload: a name of `lr_batch.WORKLOADS`, a `Workload`, or a function that makes one; see `as_workload`.
      optimizer: a name of `optim.OPTIMIZERS` or a function `hparams -> optax.GradientTransformation`; what such a
        function may say of itself, `as_optimizer` tells. It holds a row of the registry after construction.
      batch_sizes: whole numbers from 1 to the number of training examples.
      space: hyperparameter -> its values, one or more; `learning_rate` must be among them. With `change.1`, a part of the
        budget, `learning_rate.1` holds from there on, and so on; see `lr_batch.problem.changes`.
      seeds: how many, at least 1, or a list of them, from 0 to 2**31 - 1. Trials of one share initial values and order.
      goal: held-out metric, direction and threshold, as a `Goal` or like "loss<0.2", "accuracy>0.95".
      budget: most training of one trial: optimizer steps, from 1 to a billion; or examples, "50_000examples" or
        "10epochs", with fewer steps at larger batches. Then it holds a `Length`.
      slack: a chunk ends once `slack` times the steps of its first lane to reach the goal are done, so every trial
        within that factor of the best is measured. At least 1; infinite switches racing off.
      extend: whether the grid of learning rates grows by itself where the best rate lies on its edge.
      follow: whether the best rate is followed through a grid, at less than half its examples; see `lr_batch.following`.
      lanes: how trials of a chunk are executed, "vmap", "blocks", "map" or "auto"; see `Workload.lanes`.
      regularizer: a name of `reg.REGULARIZERS` or a `reg.Regularizer`; its strengths are further names of `space`.
      schedule: a name of `lr_batch.SCHEDULES` or a `lr_batch.Schedule`: the rate of each step, `learning_rate` being its
        peak; None where rates stay. Its parameters are further names of `space` (`lr_batch.problem.scheduled`), lengths
        such as `decay_steps` and `warmup` in steps (500), as a part of the budget ("5%", 0.05) or in examples
        ("20_000examples", "10epochs"): afterwards the space holds them as numbers and the schedule their units.
      reached: "average": the goal is reached where the metric, averaged in log step, is on its good side; or "first": at
        the first evaluation there (Shallue et al., 2019). See `lr_batch.problem.reaching`.
      evaluation_growth: relative distance of neighbouring evaluations, above 0; None for the rule's own.
      evaluation_share: of the time of a study that evaluations may take, above 0, at most 1; None for a quarter, or 1
        where `reached` is "first". Below 1 they read parts of the held-out rows or come less often: `engine.cadence`.
      batch_schedule: how batches grow within a trial: text such as "x2@5epochs,x4@10epochs", or a list of (start, size);
        a size is a factor, "x2", or a number of examples. The batch sizes of the study are then those at the start.
      precision: "bfloat16" (with parameters and evaluations in float32), "float32" or "float64".
      statistics: what a model with batch statistics is evaluated with: "averaged", its running averages, or
        "recomputed", the moments of 1,024 training examples at each evaluation. None for the workload's own.
      group_size: examples that such a model normalises together, of which batch sizes are multiples; None as before.
      augment: of pictures in training, such as "crop:4,flip" or "none"; None for the workload's own; then that.
      mesh: of devices that each chunk is spread over, such as "lane=4,data=2"; None for one, or as few as hold a trial.
      remat: whether gradients compute activations again instead of keeping them, as `run` has it where none would fit.
      brisk: whether lanes are let go that have reached the goal or are almost surely lost, see `lr_batch.problem.brisk`.
      design: a search through ranges instead of the grid, as `hparam.search_design` makes it; `space` then holds one
        value of each further name, and afterwards also both ends of each range.

    Raises:
      ValueError: one line naming the field, the value, and what is allowed.
    """

    workload: Workload
    optimizer: optim.Optimizer
    batch_sizes: tuple[int, ...]
    space: Mapping[str, tuple[float, ...]]
    seeds: int | tuple[int, ...]
    goal: Goal
    budget: int | Length
    slack: float
    extend: bool
    follow: bool
    lanes: str
    regularizer: reg.Regularizer | None
    schedule: Schedule | None
    reached: str
    evaluation_growth: float
    evaluation_share: float
    batch_schedule: BatchSchedule | None
    precision: str
    design: Design | None
    statistics: str | None
    group_size: int | None
    augment: str | None
    mesh: MeshShape | None
    remat: bool
    brisk: bool
    notes: tuple[str, ...] = dataclasses.field(init=False)

    def __init__(
        self,
        workload: Workload | str | Callable[[], Workload] = "digits_mlp",
        optimizer: optim.Optimizer | str | Callable[[Mapping[str, Any]], Any] = "sgd",
        batch_sizes: Iterable[int] | None = None,
        space: Mapping[str, Iterable[float | str]] | None = None,
        *,
        seeds: int | Iterable[int] = 4,
        goal: Goal | str | None = None,
        budget: int | str | Length | None = None,
        slack: float = 2.0,
        extend: bool = True,
        follow: bool = False,
        lanes: str | None = None,
        regularizer: reg.Regularizer | str | None = None,
        schedule: Schedule | str | None = None,
        reached: str = AVERAGE,
        evaluation_growth: float | None = None,
        evaluation_share: float | None = None,
        batch_schedule: BatchSchedule | str | Sequence[tuple[Any, Any]] | None = None,
        precision: str = FLOAT32,
        statistics: str | None = None,
        group_size: int | None = None,
        augment: Augmentation | str | None = None,
        mesh: MeshShape | str | None = None,
        remat: bool = False,
        brisk: bool = False,
        design: Design | None = None,
    ):
        put = lambda name, value: object.__setattr__(self, name, value)  # frozen after this
        given = augmented("study", with_statistics(as_workload(workload), statistics, group_size), augment)
        put("workload", own := rematerialised(in_precision(given, precision), remat))
        plain = {"precision": precision, "reached": reached, "extend": extend, "slack": read_slack(slack)}
        made = {"mesh": read_mesh(mesh), "lanes": read_lanes(own.lanes if lanes is None else lanes)}
        for name, value in {**plain, **made, **in_use(own), "remat": remat}.items():
            put(name, value)
        put("optimizer", as_optimizer(optimizer))
        put("regularizer", as_regularizer(regularizer))
        put("goal", parse_goal(own.goal if goal is None else goal))
        in_float32("study: threshold of the goal", [self.goal.threshold])
        put("seeds", read_seeds(seeds))
        examples = num_examples(own.train_data)
        sizes, again = read_batch_sizes(own.batch_sizes if batch_sizes is None else batch_sizes, examples)
        put("budget", parse_budget(own.budget if budget is None else budget, examples))
        whole("budget in steps", steps_within(self.budget, sizes[0]), low=1, high=MAX_STEPS)
        put("batch_schedule", read_batch_schedule(batch_schedule, sizes, examples))
        put("design", check_design(design))
        read, listed = read_schedule(schedule, self._listed(space), examples)
        put("schedule", read)
        check_names(self.optimizer, self.regularizer, read, listed)
        axes, repeated_values = read_space(listed)
        put("batch_sizes", sizes)
        check_groups(self.trained_batch_sizes, own)
        put("space", with_changes(axes, self.design.searched if self.design else None))
        put("evaluation_growth", read_growth(evaluation_growth, reached))
        put("evaluation_share", read_share(evaluation_share, reached))
        put("follow", read_follow(follow, bool(design)))
        put("brisk", read_brisk(brisk, self.slack, reached, searched=bool(design)))
        put("notes", (*notes_on(again, repeated_values, remat=remat), *[BRISK] * self.brisk))
        self._check()

    def __repr__(self) -> str:
        return f"Study({self.workload.name} with {self.optimizer_name}, {self.goal}, trials: {self.num_trials:,})"

    @functools.cached_property
    def parts_stand_for_all(self) -> bool:
        """Whether an evaluation may read a part of the held-out rows."""
        return parts_stand_for_all(self.workload, self.goal)

    @property
    def optimizer_name(self) -> str:
        """The registry's name, or that of the user's function, with those of regularizer and schedule."""
        regularizer = f" + {self.regularizer.name}" if self.regularizer else ""
        batches = f", batch {self.batch_schedule}" if self.batch_schedule else ""
        precision = "" if self.precision == FLOAT32 else f", {self.precision}"
        schedule = f", {self.schedule.name} schedule" if self.schedule else ""
        return f"{self.optimizer.name}{regularizer}{schedule}{batches}{precision}"

    @property
    def lane_optimizer(self) -> LaneOptimizer:
        """What a lane is built from: the optimizer, with regularizer, schedule and changes around it if there are any."""
        return lane_optimizer(self.optimizer, self.regularizer, self.schedule, changes_of(self.space))

    def as_trained(
        self, settings: Iterable[Mapping[str, float]], batch_size: int, budget: int | None = None
    ) -> list[Mapping[str, float]]:
        """Settings as lanes read them: lengths and changes in steps, at a budget that may be another one."""
        budget, schedule = self.steps_at(batch_size) if budget is None else budget, self.schedule
        growing = self.batch_schedule
        steps = (lambda examples: growing.steps(batch_size, self.budget, examples)) if growing else None
        lengths = lambda one: schedule.in_steps(one, batch_size, budget, steps) if schedule else one
        return in_steps(settings, changes_of(self.space), budget, lengths)

    @property
    def streamed(self) -> bool:
        """Whether training examples are read while they are trained on."""
        return is_streamed(self.workload.train_data)

    @property
    def time_constant(self) -> float:
        """Of the average that reaches the goal, in log step; 0 where the first evaluation does."""
        return RULES[self.reached].time_constant

    def steps_at(self, batch_size: int) -> int:
        """Most optimizer steps of a trial at a batch size."""
        return steps_of_trials(self.budget, batch_size, self.batch_schedule)

    def examples(self, batch_size: int, steps: Any) -> Any:
        """Examples of the first `steps`, one number or several, of the trials that begin with a batch size."""
        growing = self.batch_schedule
        return growing.examples(batch_size, self.budget, steps) if growing else steps * batch_size

    @property
    def trained_batch_sizes(self) -> tuple[int, ...]:
        """All sizes that the batch of a step may have."""
        return self.batch_schedule.all_sizes(self.batch_sizes) if self.batch_schedule else self.batch_sizes

    @property
    def batch_phases(self) -> int:
        """Rows of `batch_table`; 0 where batches stay."""
        return len(self.batch_schedule.phases) + 1 if self.batch_schedule else 0

    def batch_table(self, batch_size: int) -> int | Int[np.ndarray, "phases 2"]:
        """The batch size of every step of a trial, as `lr_batch.lanes.race.batch_size_at` reads it."""
        return self.batch_schedule.table(batch_size, self.budget) if self.batch_schedule else batch_size

    @property
    def max_steps(self) -> int:
        """Most optimizer steps of any trial."""
        return self.steps_at(self.batch_sizes[0])

    @property
    def num_settings(self) -> int:
        """Settings at each batch size: of the grid, or feasible ones that a search is to find."""
        return self.design.searched.trials if self.design else math.prod(map(len, self.space.values()))

    @property
    def num_trials(self) -> int:
        seeds = self.seeds if isinstance(self.seeds, int) else len(self.seeds)  # which may be any number
        return len(self.batch_sizes) * seeds * self.num_settings

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seed of each repetition."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def settings(self) -> tuple[dict[str, float], ...]:
        """Those that each batch size begins with: the grid, or the first round of the search."""
        first = self.design and self.with_fixed(self.design.first(self.batch_sizes[0], self.max_steps))
        return product(self.space) if first is None else tuple(first)

    def with_fixed(self, searched: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
        """Settings that a search proposes, with what all of them share, in the order of the space."""
        return [{name: one.get(name, self.space[name][0]) for name in self.space} for one in searched]

    def _listed(self, space: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if space is None:
            space = {**self.optimizer.space, **(self.regularizer.space if self.regularizer else {})}
        return searched_space(space, self.design.searched) if self.design else space

    def _check(self) -> None:
        fewer = "fewer trials" if self.design else "a coarser grid"
        check_num_trials(self.num_trials, len(self.batch_sizes), self.num_settings, fewer)
        if self.design:  # which refuses rungs that are longer than the shortest budget
            self.design.first(self.batch_sizes[-1], self.steps_at(self.batch_sizes[-1]))
        check_division(self.mesh, self.trained_batch_sizes, self.workload.group)
        steps = {size: self.steps_at(size) for size in self.batch_sizes}
        check_space(self.optimizer, self.regularizer, self.schedule, self.space, steps)
        check_shapes("study", self.workload, self.goal)
        if self.regularizer:
            check_regularizer(self.regularizer, self.optimizer, self.workload)
