"""What a name or a user's own object stands for: a `Workload`, an `optim.Optimizer`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import optax

import optim
import reg
from lr_batch.problem.statistics import Statistics
from lr_batch.problem.whole_set import Metric
from lr_batch.problem.workload import Workload
from lr_batch.workloads import WORKLOADS
from optim.arguments import explain_arguments, shown, type_of
from optim.functions import check_functions
from optim.users_error import first_line

# Attributes by which a user's function says more of itself, and what they must be.
HOOKS: dict[str, Any] = {
    "name": str,
    "hparams": Mapping,
    "space": Mapping,
    "eval_params": Callable,
    "step_kind": str,
}

# Fields of a `Workload`, the kinds that they may have, and these in words.
FUNCTION = "a function"
FIELDS: dict[str, tuple[Any, str]] = {
    "name": (str, "text"),
    "init": (Callable, FUNCTION),
    "loss": (Callable, FUNCTION),
    "evaluate": (Callable, FUNCTION),
    "weights": (Callable | None, "a function or None"),
    "metrics": (Mapping, "a mapping from the names of those that are no means to lr_batch.Metric"),
    "stand_in": (str, "text"),
    "statistics": (Statistics | None, "lr_batch.problem.statistics.Statistics or None"),
}


def as_workload(workload: Workload | str | Callable[..., Workload], **options: Any) -> Workload:
    """The workload that `workload` stands for.

    Args:
      workload: a name of `lr_batch.WORKLOADS`, a `Workload`, or a function that makes one.
      options: arguments of the function, or of that of the name, such as `width=128`; none for a `Workload`.

    Raises:
      ValueError: one line: an unknown name, something else than a workload, options of one that is made already,
        or what the function failed with.
      lr_batch.data.DataNotPrepared: where the data of a name are not on this machine.

    >>> as_workload("digits_mlp", width=16).name
    'digits_mlp'
    """
    if isinstance(workload, str):
        return WORKLOADS[workload](**options)
    if options and isinstance(workload, Workload):
        raise ValueError(f"workload: {workload.name} is made already, so it takes no {', '.join(options)}")
    made: Any = _called(workload, options) if callable(workload) else workload
    if not isinstance(made, Workload):
        raise ValueError(
            f"workload must be a name, a Workload or a function that makes one, got {_kind(made)}"
        )
    _check_fields(made)
    return made


@explain_arguments
def as_optimizer(optimizer: optim.Optimizer | str | Callable[[Mapping[str, Any]], Any]) -> optim.Optimizer:
    """The registry's row of `optimizer`, or a row around a user's own function.

    A function `hparams -> optax.GradientTransformation` may say more of itself by attributes, each optional:
    `eval_params`, `(opt_state, params) -> params` to evaluate at, for a method that averages its iterates (by
    default the average of a schedule-free method, ours or Optax's, that is found in the state);
    `space`, the default grid (else that of SGD); `hparams`, an `optim.Range` for each hyperparameter (else the
    learning rate must be positive and any other number is allowed); `name`; and `step_kind`, "sgd", "adam" or
    "muon", for muP.

    Args:
      optimizer: a name of `optim.OPTIMIZERS`, one of its rows, or such a function.

    Raises:
      ValueError: one line: an unknown name, something that cannot be called, or an attribute of a wrong kind.

    >>> as_optimizer(lambda hparams: optax.sgd(hparams["learning_rate"])).space == optim.OPTIMIZERS["sgd"].space
    True
    """
    if isinstance(optimizer, str):
        return optim.OPTIMIZERS[optimizer]
    if isinstance(optimizer, optim.Optimizer):
        return _checked(optimizer)
    if not callable(optimizer):
        wrap = (
            "; wrap it as `lambda hparams: ...`"
            if isinstance(optimizer, optax.GradientTransformation)
            else ""
        )
        raise ValueError(
            "optimizer must be a name or a function hparams -> optax.GradientTransformation, "
            f"got {type_of(optimizer)}{wrap}"
        )
    said = {hook: getattr(optimizer, hook) for hook in HOOKS if getattr(optimizer, hook, None) is not None}
    name = said.pop("name", getattr(optimizer, "__name__", "custom"))
    _check_hooks(name, {"name": name, **said})
    return _checked(
        optim.Optimizer(
            name=name,
            make=optimizer if isinstance(optimizer, Hashable) else optimizer.__call__,
            hparams=said.pop("hparams", {"learning_rate": optim.Range(low=0.0, low_open=True)}),
            space=said.pop("space", optim.OPTIMIZERS["sgd"].space),
            paper="",
            further=getattr(optimizer, "hparams", None) is None,
            eval_params=said.pop("eval_params", optim.eval_params),
            **said,
        )
    )


def _checked(optimizer: optim.Optimizer) -> optim.Optimizer:
    check_functions(f"optimizer {optimizer.name}", optim.Optimizer, optimizer._asdict())
    return optimizer


def as_regularizer(regularizer: reg.Regularizer | str | None) -> reg.Regularizer | None:
    """The registry's row of a name, or what is one; None where there is none.

    Raises:
      ValueError: one line: an unknown name, or something else than a regularizer.
    """
    if isinstance(regularizer, str):
        return reg.REGULARIZERS[regularizer]
    if not isinstance(regularizer, reg.Regularizer | None):
        kind = type(regularizer).__name__
        raise ValueError(f"study: regularizer must be a name or a reg.Regularizer, got {kind}")
    if regularizer is not None:
        check_functions(f"regularizer {regularizer.name}", reg.Regularizer, regularizer._asdict())
    return regularizer


def _check_hooks(name: Any, said: Mapping[str, Any]) -> None:
    for hook, value in said.items():
        if not isinstance(value, HOOKS[hook]):
            kind = HOOKS[hook].__name__.lower()
            raise ValueError(f"optimizer {name}: its attribute {hook} must be a {kind}, got {value!r}")


def _check_fields(workload: Workload) -> None:
    """Raises ValueError, in one line, where a field that is used before anything is traced is of another kind."""
    for field, (kinds, words) in FIELDS.items():
        value = getattr(workload, field)
        if not isinstance(value, kinds):
            raise ValueError(f"workload: {field} must be {words}, got {shown(value)}")
    for name, metric in workload.metrics.items():
        if not isinstance(metric, Metric):
            raise ValueError(
                "workload: metrics must map names to lr_batch.Metric(init, accumulate, finish), "
                f"{name} is {shown(metric)}"
            )
        check_functions(f"workload: {name}", Metric, metric._asdict())
    check_functions("workload", Workload, workload._asdict())


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _called(factory: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """The user's own code may raise whatever it likes, and leave the process too."""
    try:
        return factory(**options)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        name = getattr(factory, "__name__", "it")
        raise ValueError(f"workload: calling {name}() failed: {first_line(error)}") from error
