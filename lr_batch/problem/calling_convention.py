"""The one form that every model takes, and how a model learns whether it is in training."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.problem.depends import depends_on
from lr_batch.problem.statistics import (
    Averages,
    by_path,
    leaves_made_of,
    refuse_averages_in_training,
    shares_of,
)
from lr_batch.problem.trees import Key, PyTree

# Keywords of models: that they train, that they do not, and where noise comes from.
TRAINING = ("train", "training", "is_training", "is_train", "train_mode")
EVALUATION = (
    *("deterministic", "eval", "evaluate", "inference", "eval_mode", "is_eval", "is_deterministic"),
    *("evaluation", "is_evaluation", "test", "testing", "is_test", "use_running_average"),
)
KEYS = ("key", "rng", "prng", "prng_key", "rng_key", "random_key", "dropout_key", "dropout_rng", "noise_key")
RNGS = "rngs"


def no_dropout(params: PyTree, x: jax.Array) -> str:
    """Of a model whose layers are not known."""
    del params, x
    return ""


class Model(NamedTuple):
    """A model as two pure functions.

    Attributes:
      init: `(key, x) -> params`, x being one row of the inputs, `[1, ...]`.
      apply: `(params, x, key, **further) -> outputs`. With a key the model trains (dropout
        on, drawn from the key); with None it is evaluated.
      dropout: `(params, x) -> text`, a layer of the model that drops units at a rate above 0, or "".
      switches: keywords of its call that are not known here and may mean training, with their defaults.
      moving: running averages of batch statistics, None where it keeps none.
    """

    init: Callable[[Key, jax.Array], PyTree]
    apply: Callable[..., Any]
    dropout: Callable[[PyTree, jax.Array], str] = no_dropout
    switches: Mapping[str, Any] = {}
    moving: Moving | None = None


class Moving(NamedTuple):
    """Running averages of a model: before the first step, as a call in training moves them, and what it returns by them.

    `train` is `(params, averages, x, key) -> (outputs, averages)`, `evaluate` is `(params, averages, x) -> outputs`;
    `shares` as in `lr_batch.problem.statistics`.
    """

    initial: Averages
    train: Callable[[PyTree, Averages, jax.Array, Key], tuple[Any, Averages]]
    evaluate: Callable[[PyTree, Averages, jax.Array], Any]
    shares: Mapping[str, float]


class Call(NamedTuple):
    """What a model is called with beside its inputs, by name."""

    training: tuple[str, ...]
    evaluation: tuple[str, ...]
    keys: tuple[str, ...]
    rngs: bool
    switches: Mapping[str, Any]

    @classmethod
    def of(cls, function: Callable, inputs: int) -> Call:
        """Reads the signature of a function that takes so many inputs first.

        Raises:
          ValueError: for an argument without default that is not known.
        """
        further = parameters(function)[inputs:]
        known = (*TRAINING, *EVALUATION, *KEYS, RNGS)
        for name, default in further:
            if default is inspect.Parameter.empty and name not in known:
                raise ValueError(
                    f"from_arrays: the model needs {name!r}, which is not known: it is called with its inputs and, "
                    f"where it takes them, {', '.join(known)}; give {name!r} a default"
                )
        return cls(
            *(tuple(name for name, _ in further if name in some) for some in (TRAINING, EVALUATION, KEYS)),
            any(name == RNGS for name, _ in further),
            {name: default for name, default in further if name not in known and others_of(default, None)},
        )

    @property
    def is_told(self) -> bool:
        """Whether the model is told that it trains."""
        return bool(self.training or self.evaluation)

    def keywords(self, key: Key | None, rngs: Any = None) -> dict[str, Any]:
        """The keywords that say whether the model trains, and where its noise comes from."""
        training = key is not None
        modes = dict.fromkeys(self.training, training) | dict.fromkeys(self.evaluation, not training)
        return modes | dict.fromkeys(self.keys, key) | ({RNGS: rngs} if self.rngs else {})


def others_of(default: Any, key: Key | None) -> tuple[Any, ...]:
    """Values of a keyword that may mean training where its default does not; None may stand for a key.

    >>> others_of(False, None), others_of(0, None), others_of("eval", None)[:2], others_of(0.5, None)
    ((True,), (1,), ('train', 'training'), ())
    """
    if isinstance(default, bool | int):
        return (type(default)(1 - default),) if default in (0, 1) else ()
    if isinstance(default, str):
        return tuple(name for name in TRAINING if name != default)
    return (True, False, key) if default is None else ()


def parameters(function: Callable) -> list[tuple[str, Any]]:
    """Names of what a function takes, with their defaults."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return []
    return [(p.name, p.default) for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def moving_of(
    call: Callable[[PyTree, Averages, Any, Key | None], tuple[Any, Averages]],
    moving: Averages,
    params: PyTree,
    x: Any,
) -> Moving | None:
    """The running averages of a model, None where it has none.

    Args:
      call: the model, `(params, averages, x, key) -> (outputs, averages)`; with a key it trains.
      moving: those leaves of its state that a call in training makes of its inputs, at their first values.
      params, x: to measure on how averages move.

    Raises:
      ValueError: where they are no running averages, or are read in training.
    """
    if not moving:
        return None
    key = jax.random.key(0)
    refuse_averages_in_training(lambda averages: call(params, averages, x, key)[0], moving)
    after = lambda averages, params, x, key: call(params, averages, x, key)[1]
    shares = shares_of(after, moving, params, x, key)
    return Moving(
        moving,
        call,
        lambda params, averages, x: call(params, averages, x, None)[0],
        shares,
    )


def split_state(
    after: Callable[[Any, PyTree], PyTree], before: PyTree, changed: PyTree, x: Any, params: PyTree
) -> Averages:
    """The leaves of a state that a call in training makes of its inputs, at their first values.

    Args:
      after: (inputs, parameters) -> state after a call in training.
      before, changed: the state before and after one.
      x, params: inputs and parameters.

    Raises:
      ValueError: naming state that changes by itself, such as a counter, or with the parameters, such as an average of
        them, which at the first call may be what it was; or a random key.
    """
    first, then = by_path(before), by_path(changed)
    refuse_keys(first)
    if first.keys() != then.keys():
        refuse_state(first.keys() ^ then.keys())
    moving = leaves_made_of(x, after, params)
    of_params = leaves_made_of(params, lambda params, x: after(x, params), x)
    changes = {name for name in first if not np.array_equal(first[name], then[name])}
    refuse_state((of_params | changes) - moving)
    return {name: first[name] for name in sorted(moving)}


def refuse_keys(state: Mapping[str, Any]) -> None:
    """A random key that is state, and no stream, draws the same at every step."""
    keys = [
        name for name, leaf in state.items() if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)
    ]
    if keys:
        raise ValueError(
            f"from_arrays: the model keeps a random key ({', '.join(sorted(keys))}), which would draw the same at every "
            "step: draw from its random streams (nnx.Rngs, make_rng), or keep what was drawn once as an array"
        )


def refuse_state(names: Collection[str]) -> None:
    """State that no batch statistics are would silently stay at its first value."""
    if names:
        named = ", ".join(name or "all of it" for name in sorted(names))
        raise ValueError(
            f"from_arrays: the model changes state besides its parameters ({named}) that is no "
            "running average of its batches: only batch statistics are kept up; use a layer without such state"
        )


def refuse_silent_dropout(model: Model, params: PyTree, x: jax.Array) -> None:
    """Refuses a model whose noise nothing switches on: it would be trained without noise.

    Args:
      model: as `as_model` returns it.
      params, x: shapes of its parameters and of a few inputs.

    Raises:
      ValueError: naming the layer, or the keyword that switches it on.
    """
    key = jax.eval_shape(jax.random.key, 0)

    def is_noisy(further=lambda key: {}):
        return depends_on(lambda key, params, x: model.apply(params, x, key, **further(key)), key, params, x)

    if is_noisy():
        return
    if name := switch_of(model.switches, key, is_noisy):
        raise ValueError(
            f"from_arrays: the model's noise is switched on by {name!r}, which is not known: it would train "
            f"without; call the keyword one of {_known(model.switches[name])}"
        )
    if dropout := model.dropout(params, x):
        raise ValueError(
            f"from_arrays: {dropout}, but the training loss does not depend on the key: it would train without "
            f"dropout; let __call__ take a keyword that switches it on, one of {_known(True)}"
        )


def refuse_resting_averages(
    switches: Mapping[str, Any], after: Callable[[Any, Mapping[str, Any]], PyTree], x: Any
) -> None:
    """Refuses a model whose batch statistics nothing switches on: it would train with those that it begins with.

    Args:
      switches: as in `Model`.
      after: (inputs, further keywords) -> state after a call in training.
      x: inputs.

    Raises:
      ValueError: naming the keyword that switches them on.
    """
    key = jax.random.key(0)
    moves = lambda further: bool(leaves_made_of(x, lambda x: after(x, further(key))))
    if name := switch_of(switches, key, moves):
        raise ValueError(
            f"from_arrays: the model's batch statistics are switched on by {name!r}, which is not known: it would train "
            f"without; call the keyword one of {_known(True)}"
        )


def switch_of(switches: Mapping[str, Any], key: Any, acts: Callable[[Callable], bool]) -> str | None:
    """The first keyword that, at another value than its default, lets `acts(key -> keywords)` be true."""
    for name, default in switches.items():
        for place in range(len(others_of(default, key))):
            with contextlib.suppress(Exception):  # it need not take that value
                if acts(lambda key: {name: others_of(default, key)[place]}):
                    return name
    return None


def _known(default: Any) -> str:
    """Keywords that a model may take in the place of one that is not known."""
    known = ", ".join((*TRAINING, *EVALUATION))
    return ", ".join(KEYS) + ", or " + known if default is None else known
