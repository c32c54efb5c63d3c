"""L-BFGS with a line search on the batch of the step, or with a fixed step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from optim.hyperparameters import hyperparameters
from optim.masks import refuse_parts
from optim.moments import refuse_complex
from optim.range import COUNT, POSITIVE, Choice, ScalarOrSchedule, Whole


def _on_batch(search: optax.GradientTransformationExtraArgs) -> optax.GradientTransformationExtraArgs:
    """A line search of Optax that takes a tree without leaves, and names the extra arguments it misses."""

    def init_fn(params):
        refuse_complex("lbfgs", params)  # the search differentiates the loss, without conjugates
        return search.init(params) if jax.tree.leaves(params) else optax.EmptyState()

    def update_fn(updates, state, params=None, *, value=None, grad=None, value_fn=None, **extra):
        del extra
        if value_fn is None or value is None or grad is None:
            raise ValueError("lbfgs: a line search needs the extra arguments value, grad, value_fn of update")
        refuse_parts("lbfgs", params)
        if not jax.tree.leaves(updates):
            return updates, state
        return search.update(updates, state, params, value=value, grad=grad, value_fn=value_fn)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _own_buffers(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """`inner` with a first state whose parts share no array, so that parameters and state can be donated."""
    init_fn = lambda params: jax.tree.map(jnp.array, inner.init(params))
    return optax.GradientTransformationExtraArgs(init_fn, optax.with_extra_args_support(inner).update)


@hyperparameters(
    learning_rate=POSITIVE,
    line_search=Choice(("zoom", "backtracking", "none")),
    memory_size=COUNT,
    max_search_steps=COUNT,
)
def lbfgs(
    learning_rate: ScalarOrSchedule = 1.0,
    *,
    line_search: str = "zoom",
    memory_size: int | Whole = Whole(10),
    max_search_steps: int | Whole = Whole(20),
) -> optax.GradientTransformationExtraArgs:
    """Limited-memory BFGS, theta <- theta - s H g (Liu & Nocedal, 1989, algorithm 2.1).

    H g is the two-loop recursion over the last `memory_size` differences of parameters and
    gradients, with the scaled initial matrix of their equation 2.6.

    On mini-batches the differences mix two batches and the method is a heuristic: the line
    search, on the batch of the step, is what keeps it stable. With a fixed step a digits
    network diverged at 0.1 and stalled at 0.01, where Adam trained.

    Args:
      learning_rate: the direction is multiplied by it before the search, which then only
        shortens: s <= lr. Without a search s = lr. In (0, inf), a number or a schedule; 1 is right for
        full batches.
      line_search: "zoom" (strong Wolfe conditions; Nocedal & Wright, 2006, algorithm 3.5; up
        to `max_search_steps` gradients a step), "backtracking" (Armijo; losses only), or
        "none". The searches need the extra arguments value, grad and value_fn of `update`, all on
        the batch of the step; "zoom" differentiates value_fn in reverse mode.
      memory_size: number of differences kept, >= 1; the state is 2 `memory_size` + 2 or 3
        times the parameters.
      max_search_steps: tries of one search, >= 1.

    Raises:
      ValueError: from `init` where a search meets complex parameters; from `update` where a search misses one of its
        arguments, or stands in `optax.masked` or `optax.partition`.

    Optax's recursion and search, which it calls, refuse `jax.shard_map` with different parameters on the devices
    and meshes with explicit axes.

    >>> tx = lbfgs()  # the loss is w^2 / 2
    >>> square = lambda w: w**2 / 2
    >>> print(tx.update(3.0, tx.init(3.0), 3.0, value=4.5, grad=3.0, value_fn=square)[0])
    -1.0
    """
    direction = optax.chain(optax.scale_by_lbfgs(memory_size), optax.scale_by_learning_rate(learning_rate))
    if line_search == "none":
        return _own_buffers(direction)
    if line_search == "zoom":
        search = optax.scale_by_zoom_linesearch(
            max_search_steps, max_learning_rate=1.0, initial_guess_strategy="one"
        )
    else:
        search = optax.scale_by_backtracking_linesearch(max_search_steps, max_learning_rate=1.0)
    return _own_buffers(optax.chain(direction, _on_batch(search)))
