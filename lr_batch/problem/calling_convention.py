"""The one form that every model takes, and how a model learns whether it is in training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from lr_batch.problem.depends import depends_on
from lr_batch.problem.workload import Key, PyTree

# Keywords of models: that they train, that they do not, and where noise comes from.
TRAINING = ("train", "training", "is_training", "is_train", "train_mode")
EVALUATION = (
    *("deterministic", "eval", "evaluate", "inference", "eval_mode", "is_eval", "is_deterministic"),
    *("evaluation", "is_evaluation", "test", "testing", "is_test", "use_running_average"),
)
KEYS = ("key", "rng", "prng", "prng_key", "rng_key", "random_key", "dropout_key", "dropout_rng", "noise_key")
RNGS = "rngs"


class Model(NamedTuple):
    """A model as two pure functions.

    Attributes:
      init: `(key, x) -> params`, x being one row of the inputs, `[1, ...]`.
      apply: `(params, x, key, **further) -> outputs`. With a key the model trains (dropout
        on, drawn from the key); with None it is evaluated.
      dropout: `(params, x) -> text`, a layer of the model that drops units at a rate above 0, or "".
      switches: keywords of its call with a boolean default that are not known here.
    """

    init: Callable[[Key, jax.Array], PyTree]
    apply: Callable[..., Any]
    dropout: Callable[[PyTree, jax.Array], str] = lambda params, x: ""
    switches: Mapping[str, bool] = {}


class Call(NamedTuple):
    """What a model is called with beside its inputs, by name."""

    training: tuple[str, ...]
    evaluation: tuple[str, ...]
    keys: tuple[str, ...]
    rngs: bool
    switches: Mapping[str, bool]

    @classmethod
    def of(cls, function: Callable, inputs: int) -> Call:
        """Reads the signature of a function that takes so many inputs first.

        Raises:
          ValueError: for an argument without default that is not known.
        """
        further = _parameters(function)[inputs:]
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
            {name: default for name, default in further if name not in known and isinstance(default, bool)},
        )

    def keywords(self, key: Key | None, rngs: Any = None) -> dict[str, Any]:
        """The keywords that say whether the model trains, and where its noise comes from."""
        training = key is not None
        modes = dict.fromkeys(self.training, training) | dict.fromkeys(self.evaluation, not training)
        return modes | dict.fromkeys(self.keys, key) | ({RNGS: rngs} if self.rngs else {})


def _parameters(function: Callable) -> list[tuple[str, Any]]:
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return []
    return [(p.name, p.default) for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def refuse_state(collections: set[str]) -> None:
    """Only parameters are trained: a running average would silently stay at its first value."""
    if collections:
        raise ValueError(
            f"from_arrays: the model changes state besides its parameters ({', '.join(sorted(collections))}); "
            "use a layer without running averages, such as LayerNorm or GroupNorm"
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

    def is_noisy(**further):
        return depends_on(lambda key, params, x: model.apply(params, x, key, **further), key, params, x)

    if is_noisy():
        return
    known = ", ".join((*TRAINING, *EVALUATION))
    for name, default in model.switches.items():
        if is_noisy(**{name: not default}):
            raise ValueError(
                f"from_arrays: the model's noise is switched on by {name!r}, which is not known: it would train "
                f"without; call the keyword one of {known}"
            )
    if dropout := model.dropout(params, x):
        raise ValueError(
            f"from_arrays: {dropout}, but the training loss does not depend on the key: it would train without "
            f"dropout; let __call__ take a keyword that switches it on, one of {known}"
        )
