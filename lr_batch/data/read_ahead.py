"""Reads ahead of the training, in threads of Grain: an element is a window of whole steps, and its number all its state.

Neither Grain's shuffle nor its state is used: the order is that of `lr_batch.lanes.order`, and a run that was killed
begins at the window of its step.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

from lr_batch.errors import StudyError
from lr_batch.problem.trees import PyTree

AHEAD = 2  # windows that are read before they are asked for
THREADS = 2


def grain() -> Any:
    """The package, which is imported only where data are streamed.

    Raises:
      StudyError: where it is not installed.
    """
    try:
        return importlib.import_module("grain")
    except ImportError as error:
        raise StudyError(
            f"streaming and augmentation read ahead by Grain, which cannot be imported ({error}); run: pip install "
            "'lr-batch[stream]', or train with --no-stream --augment none where the data fit into memory"
        ) from error


def can_read_ahead() -> bool:
    """Whether Grain is installed; it is not imported."""
    return importlib.util.find_spec("grain") is not None


class _Elements:
    """What Grain calls a source with random access."""

    def __init__(self, read: Callable[[int], PyTree], count: int):
        self.read, self.count = read, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: Any) -> PyTree:
        return self.read(int(number))


class ReadAhead:
    """The elements 0, 1, ... of a function of their number, read while the one before is used.

    Args:
      read: `number -> element`; called from several threads.
      count: how many elements there are, at least 1.

    Attributes:
      waited: seconds that `next` was waited for.
    """

    def __init__(self, read: Callable[[int], PyTree], count: int):
        package = grain()
        options = package.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD)
        elements = package.MapDataset.source(_Elements(read, count))
        self._iterator = iter(elements.to_iter_dataset(options))
        self.waited = 0.0

    def next(self) -> PyTree:
        """The next element; an error of reading it is raised here."""
        began = time.monotonic()
        try:
            return next(self._iterator)
        finally:
            self.waited += time.monotonic() - began

    def close(self) -> None:
        """Ends the threads."""
        self._iterator.close()
