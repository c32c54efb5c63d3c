"""Measures which learning rate and which batch size a training problem wants."""

from lr_batch.from_arrays import from_arrays
from lr_batch.grid import log_grid
from lr_batch.result import Result, Trial
from lr_batch.study import Study
from lr_batch.sweep import run
from lr_batch.workload import Goal, Workload
from lr_batch.workloads import WORKLOADS

__all__ = ["WORKLOADS", "Goal", "Result", "Study", "Trial", "Workload", "from_arrays", "log_grid", "run"]
