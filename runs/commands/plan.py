"""`lr-batch plan`: a measured curve, and what a step costs on a cluster, make a plan."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import tyro

from runs import parse
from runs.commands.folders import Folder
from runs.commands.options import NUMBER, Flag


@dataclasses.dataclass(frozen=True)
class Plan:
    """From a folder of `lr-batch curve`: for every number of devices the best batch size, its rate, steps, wall time and
    device time with intervals, the front of time against cost, and its knee. Trains nothing.

    A step is taken to last as long as one device's share of the batch, at --examples-per-second, and the overhead.
    Batch sizes beyond those measured are marked as predicted; figure and plan.json go into the folder.
    """

    folder: Folder
    examples_per_second: Annotated[float, NUMBER, tyro.conf.arg(metavar="RATE")]
    """Of one device, training the model that the plan is for, at the batches that it will see."""
    devices: Annotated[str, tyro.conf.arg(metavar="LOW:HIGH:xFACTOR")] = "1:1024:x2"
    """How many; or a list 8,16,64."""
    overhead: Annotated[float, NUMBER, tyro.conf.arg(metavar="MS")] = 0.0
    """Milliseconds of every step beside its examples: to start it, and to add up gradients over the devices. Without any,
    batches as small as one example a device cost nothing, and the plan says so."""
    json: Flag = False
    """Print plan.json on stdout instead."""

    def __call__(self) -> None:
        devices = parse.batch_sizes(self.devices, "--devices")
        rate, overhead = self.examples_per_second, self.overhead
        for option, value, least in (
            ("--examples-per-second", rate, "> 0"),
            ("--overhead", overhead, ">= 0"),
        ):
            if not (0 < value < float("inf") or (value == 0 and least == ">= 0")):
                raise ValueError(f"{option}: must be a number {least}, got {value:g}")
        if min(devices) < 1:
            raise ValueError(f"--devices: must be 1 or more, got {min(devices)}")
        from lr_batch import Cluster
        from runs.plan.outcome import planned, print_plan, write_plan
        from runs.write import json_text

        plan = planned(self.folder, devices, Cluster(rate, overhead / 1e3))
        summary = write_plan(plan, self.folder)
        if self.json:
            print(json_text(summary))
            return
        print_plan(plan, sys.stdout)
        print(f"\nplan.png and plan.json: {self.folder}")
