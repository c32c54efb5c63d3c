"""One network at any width, under the standard parameterization and under muP."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

import hparam
import optim
from hparam.mup.fan_growth import FansRule, default_fans
from lr_batch import Workload, as_optimizer, as_workload, num_examples

STANDARD, MUP = "standard", "muP"
PARAMETERIZATIONS = (STANDARD, MUP)
MEASURED_ROWS = 512  # training examples on which the final loss is measured


class Family(NamedTuple):
    """One network at any width.

    Attributes:
      make: `width -> Workload`. If it takes `base_width` too, that is what muP changes in the network itself.
      optimizer: what `lr_batch.as_optimizer` takes; muP needs to know its `step_kind`.
      base_width: where the two parameterizations are the same.
      options: further arguments of `make`, such as `layers`.
      zero_readout: output weights of muP start at zero, at the base width too.
      measured: "training" or "held-out": whose loss.
      fans: which axes of a parameter are its input and its output, see `hparam.mup`.
    """

    make: Callable[..., Workload]
    optimizer: optim.Optimizer | str
    base_width: int
    options: Mapping[str, int] = {}
    zero_readout: bool = True
    measured: str = "training"
    fans: FansRule = default_fans

    def member(self, parameterization: str, width: int) -> tuple[Workload, optim.Optimizer]:
        """Workload and optimizer of one width."""
        if parameterization == STANDARD:
            workload, optimizer = self._network(width), as_optimizer(self.optimizer)
        else:
            scaled = hparam.mup(self._under_mup(self.base_width), self._under_mup(width), fans=self.fans)
            workload, optimizer = scaled.workload(), scaled.optimizer(self.optimizer)
        return workload._replace(name=f"{workload.name}, width {width}, {parameterization}"), optimizer

    def _under_mup(self, width: int) -> Workload:
        """What muP changes in the network itself."""
        takes_base = "base_width" in inspect.signature(self.make).parameters
        own = {"base_width": self.base_width} if takes_base else {}
        network = self._network(width, **own)
        if not self.zero_readout:
            return network
        return hparam.zero_readout(network, self._network(2 * width, **own), self.fans)

    def _network(self, width: int, **own: int) -> Workload:
        workload = as_workload(self.make, width=width, **self.options, **own)
        if self.measured == "training":
            return workload._replace(eval_data=evenly_spaced(workload.train_data, MEASURED_ROWS))
        return workload


def evenly_spaced(data: Any, rows: int) -> Any:
    """At most `rows` of the examples."""
    total = num_examples(data)
    index = np.linspace(0, total - 1, min(rows, total)).astype(int)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], data)
