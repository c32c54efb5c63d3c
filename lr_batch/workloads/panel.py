"""What the nine panels of Shallue et al. (2019), figure 1, and their relatives have in common.

A panel is one data set, one kind of network in several sizes, a goal, and how the paper trains it. Its sizes are its
scales: those that are published, and "tiny", the same architecture in small, which trains on a stand-in in minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float

from lr_batch.problem.calling_convention import Call
from lr_batch.problem.from_arrays import from_arrays
from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.examples import Examples
from optim.names import unknown

TINY = "tiny"


class Scale(NamedTuple):
    """One size of a network, and what is asked of it.

    Attributes:
      model: in Flax.
      inputs: shape of one example.
      num_params: trainable parameters, for `lr-batch list`, which traces nothing.
      goal: held-out.
      batch_sizes: published range where there is one; those above the number of examples are left out.
      budget: most steps of a trial.
      micro_batch: most examples differentiated at once.
      dtype: of the inputs.
      pieces: subwords of the vocabulary; 0 where its tokens are bytes, or none.
      augment: what happens to pictures in training, see `lr_batch.problem.augmentation`.
    """

    model: nn.Module
    inputs: tuple[int, ...]
    num_params: int
    goal: Goal
    batch_sizes: Sequence[int]
    budget: int
    micro_batch: int = 256
    dtype: str = "float32"
    pieces: int = 0
    augment: str | None = None

    @property
    def param_shapes(self) -> Any:
        """Tree of the parameters' shapes; no memory is taken."""
        key = jax.eval_shape(lambda: jax.random.key(0))
        x = jax.ShapeDtypeStruct((1, *self.inputs), np.dtype(self.dtype))
        keywords = Call.of(self.model.__call__, inputs=1).keywords(None)
        return jax.eval_shape(lambda key, x: self.model.init(key, x, **keywords), key, x)["params"]


class Recipe(NamedTuple):
    """How the paper trains a panel, in the words of `lr-batch curve`; ranges and number of trials of tiny are ours.

    Attributes:
      optimizer, schedule, regularizer: by name.
      space: ranges of what is searched, by quasi-random draws at every batch size.
      trials: feasible ones at each batch size.
    """

    optimizer: str
    schedule: str
    space: tuple[str, ...]
    trials: int = 100
    regularizer: str | None = None


RANGES = ("learning_rate=log(1e-4,10)", "momentum=log1m(0,0.999)")
NESTEROV = Recipe("nesterov", "constant", RANGES)
DECAYING = Recipe(
    "nesterov",
    "linear",
    (*RANGES, "decay_steps=linear(10%,100%)", "end_factor=choice(1e-3,1e-2,1e-1)"),
)
# Tiny networks learn at rates of a narrower range, where fewer trials find the best one.
TINY_TRIALS = 12
TINY_RANGES = ("learning_rate=log(1e-3,1)", "momentum=log1m(0,0.95)")
# As is usual for these networks; the paper's own words are not at hand.
SMALL_PICTURES, LARGE_PICTURES = "crop:4,flip", "resized_crop,flip"


class Panel(NamedTuple):
    """A problem with its sizes.

    Attributes:
      name: of the workload at the first of its scales.
      data: name of its data set.
      scales: by name; the first is meant where none is asked for.
      read: `(data, inputs, on_disk=...) -> Examples`.
      published: which choices are the paper's, as far as its text and figures say.
      chosen: which are ours.
      recipe: how it is trained where nothing is said; None for a grid of rates with SGD.
      loss: `(outputs, y) -> [m]`, or of each part of an example.
    """

    name: str
    data: str
    scales: Mapping[str, Scale]
    read: Callable[..., Examples]
    published: str
    chosen: str
    recipe: Recipe | None = NESTEROV
    loss: Callable[..., Any] = optax.softmax_cross_entropy_with_integer_labels

    def scale(self, name: str = "") -> Scale:
        """The scale of that name.

        Raises:
          ValueError: naming those that there are.
        """
        if name and name not in self.scales:
            raise ValueError(f"{self.name}: {unknown('scale', name, self.scales)}")
        return self.scales[name] if name else next(iter(self.scales.values()))

    def recipe_at(self, scale: str = "") -> Recipe | None:
        """The recipe, with fewer trials in narrower ranges where the network is tiny."""
        if self.recipe is None or self.scale(scale) is not self.scales.get(TINY):
            return self.recipe
        return self.recipe._replace(
            trials=TINY_TRIALS, space=(*TINY_RANGES, *self.recipe.space[len(RANGES) :])
        )

    def workload(self, scale: str = "", *, on_disk: bool = False) -> Workload:
        """The workload at a scale, on the prepared data set or, where there is none, on its stand-in.

        Args:
          scale: by name; "" for the first.
          on_disk: whether prepared pictures are read from their records while they are trained on.

        Raises:
          ValueError: for an unknown scale, or one that takes larger pictures than there are.
          DataNotPrepared: with the command that prepares the data.
        """
        size = self.scale(scale)
        subwords = {"pieces": size.pieces} if size.pieces else {}
        examples = self.read(self.data, size.inputs, on_disk=on_disk, **subwords)
        self._check_shape(size, examples)
        name = self.name if size is self.scale() else f"{self.name}-{scale}"
        made = from_arrays(
            size.model,
            train=examples.train,
            held_out=examples.held_out,
            weights=examples.weights,
            loss=self.loss,
            goal=size.goal,
            name=f"stand-in-{name}" if examples.stand_in else name,  # first, since figures cut long names
            budget=size.budget,
            batch_sizes=[n for n in size.batch_sizes if n <= len(examples.train[0])],
            micro_batch=size.micro_batch,
            augment=size.augment,
        )
        return made._replace(stand_in=examples.stand_in)

    def _check_shape(self, size: Scale, examples: Examples) -> None:
        there, wanted = ("x".join(map(str, shape)) for shape in (examples.train[0].shape[1:], size.inputs))
        if there != wanted:
            data = "the stand-in" if examples.stand_in else "the data set"
            raise ValueError(
                f"{self.name} takes pictures of {wanted}, and {data} of {self.data} has {there}; take the scale tiny, "
                f"{self.name}-{TINY}"
            )


def powers_of_2(low: int, high: int) -> tuple[int, ...]:
    """From `low` to `high`, both powers of 2.

    >>> powers_of_2(8, 64)
    (8, 16, 32, 64)
    """
    return tuple(2**i for i in range(low.bit_length() - 1, high.bit_length()))


def sigmoid_cross_entropy(logits: Float[Array, "m labels"], y: Any) -> Float[Array, " m"]:
    """Sum over the labels, each of which an example has or has not."""
    return optax.sigmoid_binary_cross_entropy(logits, y).sum(axis=-1)


# The head starts small, so that the loss starts at ln(classes); He-normal weights would start it above.
small_start = nn.initializers.variance_scaling(0.001, "fan_in", "normal")
