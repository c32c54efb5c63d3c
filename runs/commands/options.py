"""Options that several commands share, and the study they describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from runs import load, parse

if TYPE_CHECKING:
    from lr_batch import Study, Workload
    from runs.commands.search_options import SearchOptions


def optional(metavar: str) -> Any:
    """Of an option whose help says itself what happens without it."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


# What a study reads by the same name
AS_GIVEN = (
    *("batch_schedule", "precision", "statistics", "group_size", "augment", "reached", "evaluation_share"),
    *("extend", "follow", "brisk", "lanes", "mesh", "remat"),
)
# Off where it is not given, which needs no word: Python's False is none of the command line's.
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")]
Quiet = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.arg(
        help_behavior_hint="",
        help="No progress on stderr, for logs and cron: results, warnings and errors stay. lr-batch watch DIR shows the "
        "progress from elsewhere.",
    ),
]
# The parser's own words for a wrong number in an optional field are a paragraph.
WHOLE = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="INT",
    instance_from_str=lambda words: parse.whole_number(words[0]),
    is_instance=lambda value: isinstance(value, int),
    str_from_instance=lambda value: [str(value)],
)
NUMBER = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="FLOAT",
    instance_from_str=lambda words: parse.number(words[0]),
    is_instance=lambda value: isinstance(value, float),
    str_from_instance=lambda value: [str(value)],
)
# One setting each time: a list after the option would swallow the WORKLOAD behind it.
Settings = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUES")]


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """What is trained."""

    workload: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WORKLOAD")] = "digits_mlp"
    """A name of `lr-batch list workloads`, or FILE.py:NAME for your own Workload."""
    scale: Annotated[str | None, optional("SCALE")] = None
    """A size of a published panel, such as tiny or narrow; the same as WORKLOAD-SCALE. Default: the first of those that
    `lr-batch list workloads --json` names."""
    batch_sizes: Annotated[str | None, optional("LOW:HIGH:xFACTOR")] = None
    """Such as 1:1024:x2, or a list 1,2,8. Default: the workload's."""
    learning_rates: Annotated[str | None, optional("LOW:HIGH:NUM")] = None
    """Such as 1e-3:4:16, log-spaced, or a list 0.1,0.3. Default: the optimizer's."""
    set: Settings = ()
    """Values of a further hyperparameter, such as momentum=0.9,0.99, or of a schedule, such as end_factor=0,0.1.
    Lengths: decay_steps=500, or 50% of the budget, or 20_000examples or 10epochs (fewer steps at larger batches)."""
    seeds: Annotated[str, tyro.conf.arg(metavar="INT")] = "4"
    """Trials of each setting, with different initial parameters and order of examples; or a list 10,11,12."""
    goal: Annotated[str | None, optional("METRIC<NUMBER")] = None
    """Held-out goal such as "loss<0.2" or "accuracy>0.95", or auto for what lr-batch goal proposes. Default: the
    workload's."""
    reached: Literal["average", "first"] = "average"
    """When it counts: on the average of the metric in log step, which belongs to the training alone; or at the first
    evaluation there, Shallue's definition, which depends on how often it is evaluated and on the metric's noise."""
    evaluation_share: Annotated[float | None, optional("SHARE")] = None
    """Part of the time that evaluations may take: where all held-out rows would take longer, each evaluation reads some
    of them in turn, or comes later where some do not stand for all. 1 reads all of them each time. Default: 0.25, or 1
    with --reached first."""
    budget: Annotated[str | None, optional("STEPS")] = None
    """Most optimizer steps of one trial, or 10epochs or 50_000examples, with fewer steps at larger batches. Default:
    the workload's."""
    batch_schedule: Annotated[str | None, optional("SIZE@START,...")] = None
    """Batches that grow within a trial: x2@5epochs,x4@10epochs; or 64@1000 from step 1,000 on. --batch-sizes are those at
    the start."""
    precision: Literal["bfloat16", "float32", "float64"] = "float32"
    """Of the training loss and its gradients; under bfloat16 parameters and evaluations stay in float32."""
    statistics: Annotated[Literal["averaged", "recomputed"] | None, optional("{averaged,recomputed}")] = None
    """What a model with batch statistics is evaluated with: its running averages, or the moments of 1,024 training
    examples at each evaluation. Default: the workload's."""
    group_size: Annotated[int | None, WHOLE, optional("INT")] = None
    """Examples that such a model normalises together; batch sizes are multiples of it. Default: the workload's, mostly
    32."""
    augment: Annotated[str | None, optional("crop:4,flip")] = None
    """What happens to pictures in training: crop:4 (of the picture in a frame of 4 zeros), flip, resized_crop (8 % to all
    of it), several of them, or none. Default: the workload's."""
    racing: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: --racing)")] = True
    """End a batch size's trials once the best is known: answers stay, cost falls."""
    extend: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: --extend)")] = True
    """Grow the grid of learning rates where the best one lies on its edge."""
    stream: Flag = False
    """Read training examples from the disk, or from the memory of the host, while they are trained on, though they would
    fit: the numbers are the same. By default only what takes more than half of a chunk's memory is streamed."""
    no_stream: Flag = False
    """Read them into memory first, though they take more."""
    follow: Flag = False
    """Follow the best rate from batch size to batch size instead of training the whole grid: less than half of its
    examples, answers as exact. Default: where a step is expensive, as for networks of millions of operations."""
    no_follow: Flag = False
    """Train the whole grid, also where a step is expensive."""
    brisk: Flag = False
    """Let trials go that have reached the goal or almost surely will not while it counts: a tenth to two fifths fewer
    examples. For trials that run one by one or in blocks; goals tighter than this one are then not read off."""
    lanes: Annotated[Literal["vmap", "blocks", "map", "auto"] | None, optional("{vmap,blocks,map,auto}")] = (
        None
    )
    """How trials are executed: all at once, in blocks, or one by one. Default: the workload's, mostly auto."""
    mesh: Annotated[str | None, optional("lane=N,data=N")] = None
    """Spread each chunk over several devices: its lanes along the one axis, the examples of every batch along the other;
    with state=spread also parameters and optimizer state of a trial. Default: one device a chunk, or as few as hold a
    trial that is too large for one."""

    remat: Flag = False
    """Compute activations a second time in the backward pass instead of keeping them: less memory for a third more time.
    Default: where a trial would not fit into memory otherwise."""
    device: Annotated[str | None, optional("cpu|gpu:0")] = None
    """Where to train: cpu, gpu for all of them, gpu:0 for one. Default: what JAX finds."""

    def __post_init__(self) -> None:
        # One name from here on, which workers read too
        if self.scale is not None and ":" not in self.workload:
            object.__setattr__(self, "workload", f"{self.workload}-{self.scale}")
            object.__setattr__(self, "scale", None)

    def study(
        self,
        optimizer: str,
        schedule: str = "constant",
        regularizer: str | None = None,
        *,
        search: SearchOptions | None = None,
        without: Collection[str] = (),
    ) -> Study:
        """The study for one optimizer, a registered name or FILE.py:NAME, and one schedule; names of `--set` and
        `--space` that are of other schedules are left out."""
        import lr_batch
        import reg

        if self.scale is not None:
            raise parse.UsageError(
                f"--scale is for names of `lr-batch list workloads`, not for {self.workload!r}"
            )
        if self.precision == "float64":
            import jax

            jax.config.update("jax_enable_x64", True)  # before anything is traced
        row = lr_batch.as_optimizer(load.named_or_loaded("--optimizer", optimizer))
        workload = self._workload()
        default = {**row.space, **(reg.REGULARIZERS[regularizer].space if regularizer else {})}
        design, space, units = None, self._space(default), {}
        if search and search.searches:
            if self.learning_rates is not None:
                raise parse.UsageError(
                    "--learning-rates lists a grid; beside --search give --space 'learning_rate=log(LOW,HIGH)'"
                )
            fixed = {name: values for name, values in self._space({}).items() if name not in without}
            search = dataclasses.replace(search, space=search.without(without))
            examples = lr_batch.num_examples(workload.train_data)
            design, space, units = search.design(fixed, default, examples)
        study = lr_batch.Study(
            workload=workload,
            optimizer=row,
            batch_sizes=None if self.batch_sizes is None else parse.batch_sizes(self.batch_sizes),
            space={name: listed for name, listed in space.items() if name not in without},
            design=design,
            schedule=lr_batch.Schedule(schedule, units) if units else schedule,
            regularizer=regularizer,
            seeds=parse.seeds(str(self.seeds)),
            goal=self.with_goal(optimizer).goal,
            budget=None if self.budget is None else parse.budget(str(self.budget)),
            slack=2.0 if self.racing else float("inf"),
            **{name: getattr(self, name) for name in AS_GIVEN},
        )
        _refuse_stopping(study)
        return dataclasses.replace(study, follow=True) if self._follows(study) else study

    def _follows(self, study: Study) -> bool:
        """Whether the best rate is followed where it was not asked for."""
        if self.follow and self.no_follow:
            raise parse.UsageError("--follow and --no-follow are opposites; give one")
        if self.no_follow or study.design:
            return False
        from lr_batch.engine import is_expensive

        try:
            return is_expensive(study)
        except Exception:  # of the user's code; what is wrong with it, `check` says
            return False

    def _workload(self) -> Workload:
        """The workload with its examples where they are to be held."""
        import lr_batch
        from lr_batch.workloads import on_disk

        if self.stream and self.no_stream:
            raise parse.UsageError("--stream and --no-stream are opposites; give one")
        named = load.named_or_loaded("workload", self.workload)
        in_records = on_disk(named) if self.stream and isinstance(named, str) else None
        workload = in_records or lr_batch.as_workload(named)
        return lr_batch.streamed(workload, True if self.stream else False if self.no_stream else None)

    def with_goal(self, optimizer: str) -> StudyOptions:
        """The options with a goal in the place of "auto"."""
        if self.goal != "auto":
            return self
        from runs.commands.goal import propose

        return dataclasses.replace(self, goal=str(propose(self.workload, optimizer).goal))

    def _space(self, default: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float | str]]:
        space: dict[str, Sequence[float | str]] = {**default, **parse.settings(self.set)}
        if self.learning_rates is not None:
            if any(text.startswith("learning_rate=") for text in self.set):
                raise parse.UsageError("--learning-rates and --set learning_rate are the same; give one")
            space["learning_rate"] = parse.values("--learning-rates", self.learning_rates)
        return space


def _refuse_stopping(study: Study) -> None:
    """Before anything is compiled; `lr_batch.run` refuses it too."""
    if study.regularizer and study.regularizer.stop:
        name = study.regularizer.name
        raise parse.UsageError(
            f"--regularizer {name} ends trials, and so does the race to the goal; lr-batch regularize --regularizer "
            f"{name} measures it"
        )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """Where the results go."""

    out: Annotated[Path | None, optional("DIR")] = None
    """Folder of the study. Default: ./lr-batch-results/NAME. The same command again resumes there."""
    json: Flag = False
    """Print the summary alone, as JSON, on stdout."""
    quiet: Quiet = False
    add: Flag = False
    """The folder holds this study with another grid: keep its trials and add the missing ones."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Whether it is trained and how long, and the file that says what."""

    time_limit: Annotated[str | None, optional("TIME")] = None
    """Such as 30m, 90s or 1h30m, for everything together: what is finished by then is kept and told; the same command
    goes on."""
    dry_run: Flag = False
    """Say what would be trained, in how much memory and about how much time, from two steps at each batch size and the
    race of one seed at the smallest and the largest, of 20 s at most; then stop."""
    config: Annotated[Path | None, optional("FILE")] = None
    """A TOML file of options with these names, such as `seeds = 8`, and `workload`; what it has is not typed again."""
    save_config: Annotated[Path | None, optional("FILE")] = None
    """Write the options of this study to a file for --config."""

    def save(self, command: Any) -> None:
        """Writes the options of the command down where that is asked for."""
        from runs.config import save_config

        if self.save_config:
            save_config(command, self.save_config)

    @property
    def seconds(self) -> float | None:
        """Of the time limit."""
        return None if self.time_limit is None else parse.seconds("--time-limit", self.time_limit)
