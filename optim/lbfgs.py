"""L-BFGS with a line search on the batch of the step, or with a fixed step."""

from __future__ import annotations

import jax
import optax

from optim.range import POSITIVE, ScalarOrSchedule, check_choice, check_count, hyperparameters


def on_batch(search: optax.GradientTransformationExtraArgs) -> optax.GradientTransformationExtraArgs:
    """A line search of Optax that takes a tree without leaves, and names the extra arguments it misses."""

    def init_fn(params):
        return search.init(params) if jax.tree.leaves(params) else optax.EmptyState()

    def update_fn(updates, state, params=None, *, value=None, grad=None, value_fn=None, **extra):
        del extra
        if value_fn is None or value is None or grad is None:
            raise ValueError("lbfgs: a line search needs the extra arguments value, grad, value_fn of update")
        if not jax.tree.leaves(updates):
            return updates, state
        return search.update(updates, state, params, value=value, grad=grad, value_fn=value_fn)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@hyperparameters(learning_rate=POSITIVE)
def lbfgs(
    learning_rate: ScalarOrSchedule = 1.0,
    *,
    line_search: str = "zoom",
    memory_size: int = 10,
    max_search_steps: int = 20,
) -> optax.GradientTransformationExtraArgs:
    """Limited-memory BFGS, theta <- theta - s H g (Liu & Nocedal, 1989, algorithm 2.1).

    H g is the two-loop recursion over the last `memory_size` differences of parameters and
    gradients, with the scaled initial matrix of their equation 2.6.

    On mini-batches the differences mix two batches and the method is a heuristic: the line
    search, on the batch of the step, is what keeps it stable. With a fixed step a digits
    network diverged at 0.1 and stalled at 0.01, where Adam trained.

    Args:
      learning_rate: the direction is multiplied by it before the search, which then only
        shortens: s <= lr. Without a search s = lr. 1 is right for full batches.
      line_search: "zoom" (strong Wolfe conditions; Nocedal & Wright, 2006, algorithm 3.5; up
        to `max_search_steps` gradients a step), "backtracking" (Armijo; losses only), or
        "none". The searches need the extra arguments value, grad and value_fn of `update`, all on
        the batch of the step; "zoom" differentiates value_fn in reverse mode.
      memory_size: number of differences kept, >= 1; the state is 2 `memory_size` + 2 or 3
        times the parameters.
    """
    check_choice("lbfgs", "line_search", line_search, ("zoom", "backtracking", "none"))
    check_count("lbfgs", "memory_size", memory_size)
    check_count("lbfgs", "max_search_steps", max_search_steps)
    direction = optax.chain(optax.scale_by_lbfgs(memory_size), optax.scale_by_learning_rate(learning_rate))
    if line_search == "none":
        return direction
    if line_search == "zoom":
        search = optax.scale_by_zoom_linesearch(
            max_search_steps, max_learning_rate=1.0, initial_guess_strategy="one"
        )
    else:
        search = optax.scale_by_backtracking_linesearch(max_search_steps, max_learning_rate=1.0)
    return optax.chain(direction, on_batch(search))
