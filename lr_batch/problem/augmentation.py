"""Pictures that are cut, turned and scaled at random while they are trained on: on the host, once for all lanes.

What happens to an example is a pure function of the seed, the epoch and the example, so of the seed, the step and its
place in the batch: trials that differ in batch size see the same pictures, and one that was killed goes on with them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from lr_batch.problem.column import arrays_of, columns_of
from lr_batch.problem.mixing import uniforms
from lr_batch.problem.workload import PyTree, Workload
from optim.arguments import shown
from optim.functions import check_functions
from optim.names import unknown

Pictures = Float[np.ndarray, "m height width channels"]
Draws = Float[np.ndarray, "m draws"]
NONE = "none"
MAX_PADDING = 64
SMALLEST_AREA = 0.08  # of the picture, and the ratios of width to height: Szegedy et al. (2015), section 6
RATIOS = (3 / 4, 4 / 3)


class Augmentation(NamedTuple):
    """Changes inputs of the training, never their shape; what is held out stays as it is.

    Attributes:
      name: part of what identifies a study: another function needs another name.
      draws: random numbers in [0, 1) that it takes for each example.
      apply: `(x [m, ...], draws [m, draws]) -> x [m, ...]`, of NumPy arrays; a row of the result depends on the same
        rows of the arguments alone.
    """

    name: str
    draws: int
    apply: Callable[[Any, Draws], Any]


def crop(padding: int) -> Augmentation:
    """A part, as large as the picture, of the picture in a frame of `padding` zeros (He et al., 2016, section 4.2)."""

    def apply(x: Pictures, draws: Draws) -> Pictures:
        framed = np.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
        rows, columns = (draws * (2 * padding + 1)).astype(np.int64).T
        rows, columns = rows[:, None] + np.arange(x.shape[1]), columns[:, None] + np.arange(x.shape[2])
        return framed[np.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]]

    return Augmentation(f"crop:{padding}", 2, apply)


def flip() -> Augmentation:
    """The picture or, as often, its mirror image."""
    mirrored = lambda x, draws: np.where(draws[:, :1, None, None] < 0.5, x[:, :, ::-1], x)
    return Augmentation("flip", 1, mirrored)


def resized_crop(smallest: float) -> Augmentation:
    """A rectangle of the picture scaled to the picture's size, bilinear (Szegedy et al., 2015, section 6).

    Its area is uniform from `smallest` to 1 of the picture's, the logarithm of its ratio of width to height uniform
    between those of 3/4 and 4/3. Sides longer than the picture's are cut to it, where others draw again.
    """

    def apply(x: Pictures, draws: Draws) -> Pictures:
        size = np.array(x.shape[1:3], np.float64)
        area = np.prod(size) * (smallest + (1 - smallest) * draws[:, 0])
        low, high = np.log(RATIOS)
        ratio = np.exp(low + (high - low) * draws[:, 1])
        sides = np.minimum(np.sqrt(np.stack([area / ratio, area * ratio], axis=1)), size)
        corners = draws[:, 2:4] * (size - sides)
        return np.stack([_scaled(*row) for row in zip(x, corners, sides, strict=True)])

    short = (
        f"{smallest:g}"  # six digits: the name is part of a study's identity, so no two areas may share one
    )
    name = short if float(short) == smallest else repr(smallest)
    return Augmentation(f"resized_crop:{name}", 4, apply)


def _scaled(picture: np.ndarray, corner: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """A rectangle of a picture in the size of the picture, interpolated along one axis after the other."""
    for axis, (start, side) in enumerate(zip(corner, sides, strict=True)):
        size = picture.shape[axis]
        places = np.clip(start + (np.arange(size) + 0.5) * side / size - 0.5, 0, size - 1)
        low = places.astype(np.int64)
        share = (places - low).astype(picture.dtype).reshape(-1, *(1,) * (2 - axis))
        before, after = picture.take(low, axis), picture.take(np.minimum(low + 1, size - 1), axis)
        picture = before + share * (after - before)
    return picture


def _padding(text: str) -> Augmentation:
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_PADDING:
        raise ValueError(f"crop: takes the width of its frame, from 1 to {MAX_PADDING} pixels, got {text!r}")
    return crop(int(text))


def _area(text: str) -> Augmentation:
    try:
        smallest = float(text or SMALLEST_AREA)
    except ValueError:
        smallest = math.nan
    if not 0 < smallest <= 1:
        raise ValueError(
            f"resized_crop: takes the smallest part of a picture, above 0, at most 1, got {text!r}"
        )
    return resized_crop(smallest)


def _flip(text: str) -> Augmentation:
    if text:
        raise ValueError(f"flip takes nothing, got {text!r}")
    return flip()


KINDS: dict[str, Callable[[str], Augmentation]] = {"crop": _padding, "flip": _flip, "resized_crop": _area}


def read_augmentation(owner: str, given: Any) -> Augmentation | None:
    """Of text such as "crop:4,flip", one behind the other; None for "none" and for None.

    Raises:
      ValueError: in one line, with what there is.

    >>> read_augmentation("study", "crop:4,flip").name
    'crop:4,flip'
    """
    if given is None or isinstance(given, Augmentation):
        return given
    if not isinstance(given, str):
        raise ValueError(
            f"{owner}: augment must be text such as 'crop:4,flip' or an Augmentation, got {type(given).__name__}"
        )
    if given == NONE:
        return None
    return in_turn([_read(owner, part) for part in given.split(",")])


def _read(owner: str, part: str) -> Augmentation:
    kind, _, rest = part.strip().partition(":")
    if kind not in KINDS:
        raise ValueError(f"{owner}: {unknown('augmentation', kind, [*KINDS, NONE])}, such as 'crop:4,flip'")
    try:
        return KINDS[kind](rest)
    except ValueError as error:
        raise ValueError(f"{owner}: augment: {error}") from error


def in_turn(parts: Sequence[Augmentation]) -> Augmentation:
    """One augmentation behind the other, each with draws of its own."""
    ends = np.cumsum([part.draws for part in parts])

    def apply(x, draws):
        for part, end in zip(parts, ends, strict=True):
            x = part.apply(x, draws[:, end - part.draws : end])
        return x

    return Augmentation(",".join(part.name for part in parts), int(ends[-1]), apply)


def augmented(owner: str, workload: Workload, given: Any) -> Workload:
    """The workload with another augmentation; None leaves its own, "none" takes it away.

    Examples that are augmented come to the device in windows: those in memory as columns that stay in the host's.

    Raises:
      ValueError: in one line, where there is no such augmentation, or the inputs are no pictures.
    """
    own = workload.augment
    if own is not None and not isinstance(own, Augmentation):
        raise ValueError(
            f"{workload.name}: augment must be a lr_batch.Augmentation or None, got {shown(own)}"
        )
    for one in (own, given):
        if isinstance(one, Augmentation):
            check_functions(f"{owner}: augmentation {one.name}", Augmentation, one._asdict())
    if given is None or (own and own.name == getattr(given, "name", given)):
        return workload
    wanted = read_augmentation(owner, given)
    if wanted is None:
        return workload._replace(augment=None, train_data=arrays_of(workload.train_data)) if own else workload
    data = workload.train_data
    shape = data["x"].shape[1:] if isinstance(data, dict) and "x" in data else None
    kinds = {part.partition(":")[0] for part in wanted.name.split(",")}
    if kinds <= set(KINDS) and (shape is None or len(shape) != 3 or data["x"].dtype.kind != "f"):
        what = "has no inputs x" if shape is None else f"has rows of shape {shape}, {data['x'].dtype}"
        raise ValueError(
            f"{owner}: augmentation is of pictures [height, width, channels] of numbers; {workload.name} {what}"
        )
    return workload._replace(augment=wanted, train_data=columns_of(data))


def augmented_rows(
    augment: Augmentation | None, data: PyTree, seed: int, epochs: np.ndarray, examples: np.ndarray
) -> PyTree:
    """Rows of the training data as they are trained on.

    Raises:
      ValueError: where the augmentation changes the shape or the dtype of inputs.
    """
    if augment is None or not len(examples):
        return data
    x = data["x"]
    changed = augment.apply(x, uniforms(seed, epochs, examples, augment.draws))
    if np.shape(changed) != x.shape or changed.dtype != x.dtype:
        raise ValueError(
            f"augmentation {augment.name}: must return {x.dtype} {x.shape}, as it is given, got "
            f"{getattr(changed, 'dtype', type(changed).__name__)} {np.shape(changed)}"
        )
    return {**data, "x": changed}


def refuse_augmentation(owner: str, workload: Workload) -> None:
    """Raises ValueError: what trains on arrays in the device's memory would leave it out silently."""
    if workload.augment:
        raise ValueError(
            f"{owner}: trains on examples as they are, and {workload.name} augments them ({workload.augment.name}); "
            f"take augment={NONE!r}, on the command line --augment {NONE}"
        )
