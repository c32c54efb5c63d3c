"""Measures which learning rate and which batch size a training problem wants."""

from lr_batch.analysis.critical_batch import CriticalBatchSize, critical_batch_size
from lr_batch.analysis.learning_rate_law import LearningRateLaw, learning_rate_law
from lr_batch.analysis.noise_scale import gradient_noise_scale, measure_noise_scale
from lr_batch.analysis.optimum import Optimum, best_settings
from lr_batch.grid import log_grid
from lr_batch.problem.from_arrays import from_arrays
from lr_batch.problem.workload import Goal, Workload
from lr_batch.resolve import as_optimizer, as_workload
from lr_batch.result import Result, Trial
from lr_batch.schedules import SCHEDULES
from lr_batch.study import Study
from lr_batch.sweep import run
from lr_batch.workloads import WORKLOADS

__all__ = [
    "SCHEDULES",
    "WORKLOADS",
    "CriticalBatchSize",
    "Goal",
    "LearningRateLaw",
    "Optimum",
    "Result",
    "Study",
    "Trial",
    "Workload",
    "as_optimizer",
    "as_workload",
    "best_settings",
    "critical_batch_size",
    "from_arrays",
    "gradient_noise_scale",
    "learning_rate_law",
    "log_grid",
    "measure_noise_scale",
    "run",
]
