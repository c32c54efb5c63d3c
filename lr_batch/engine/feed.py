"""Takes a chunk from evaluation to evaluation: on data that lie on the device, or on windows that are read meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from lr_batch.data.read_ahead import ReadAhead
from lr_batch.engine.place import Place, everywhere
from lr_batch.engine.processes import put
from lr_batch.engine.windows import Windows
from lr_batch.lanes.race import Carry, Terms

if TYPE_CHECKING:
    from lr_batch.engine.programs import Engine


class Feed:
    """Of a chunk whose data lie on its device. A context: what reads for it ends with it.

    Attributes:
      waited: seconds in which the device stood still for want of data.
    """

    waited = 0.0

    def __init__(self, engine: Engine, device: Place, terms: Terms):
        self.engine, self.device, self.terms = engine, device, terms

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def advance(self, carry: Carry, stop: int) -> Carry:
        """Trains and evaluates up to evaluation number `stop`, or the end of the race. Uses up `carry`."""
        carry = self.engine.placed(self.device, carry)
        args = put((self.terms, np.int32(stop)), everywhere(self.device))
        return self.engine.advanced(self.device, carry, *args, self.engine.data(self.device))


class StreamedFeed(Feed):
    """The same where examples are streamed: the host counts the steps, the device trains a window of them at a time."""

    def __init__(self, engine: Engine, device: Place, terms: Terms, carry: Carry):
        super().__init__(engine, device, terms)
        cadence, sizes = np.asarray(terms.cadence), np.asarray(terms.batch_size)
        first, last = int(carry.draw.step), int(cadence[int(terms.num_evals) - 1])
        table = int(sizes) if sizes.ndim == 0 else sizes
        self.windows = Windows(int(carry.draw.seed), table, engine.window_rows, first, max(last, first + 1))
        self._cadence, self._number, self._train = cadence, -1, None
        data, augment = engine.workload.train_data, engine.workload.augment
        self._ahead = ReadAhead(lambda number: self.windows.read(number, data, augment), self.windows.count)
        self._data = engine.data(device)
        self.terms = put(terms, everywhere(device))

    def __exit__(self, *exception: object) -> None:
        self._ahead.close()

    @property
    def waited(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride] read only here
        return self._ahead.waited

    def advance(self, carry: Carry, stop: int) -> Carry:
        carry = self.engine.placed(self.device, carry)
        place = everywhere(self.device)
        evals, step, running = int(carry.evals), int(carry.draw.step), bool(carry.running)
        while running and evals < stop:
            goal = int(self._cadence[evals])
            begins, ends = (self.windows.begins(number) for number in (self._number, self._number + 1))
            if self._train is None or (step == ends and goal > step):
                jax.block_until_ready(carry)  # so that waiting for data is told from waiting for the device
                self._train, self._number = put(self._ahead.next(), place), self._number + 1
                begins, ends = (self.windows.begins(number) for number in (self._number, self._number + 1))
            steps = min(goal, ends) - step
            carry = self._trained(carry, steps, step, begins)
            step += steps
            if step == goal:
                evals, running = evals + 1, bool(carry.running)
        return carry

    def _trained(self, carry: Carry, steps: int, step: int, begins: int) -> Carry:
        offset = self.windows.examples_before(step) - self.windows.examples_before(begins)
        counts = put((np.int32(steps), np.int32(offset)), everywhere(self.device))
        data = self._data._replace(train=self._train)
        return self.engine.advanced(self.device, carry, self.terms, *counts, data)
