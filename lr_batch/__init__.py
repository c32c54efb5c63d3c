"""Measures which learning rate and which batch size a training problem wants.

Public is what this module lists, and four sub-packages: `lr_batch.workloads` and `lr_batch.schedules` (factories by
name), `lr_batch.data` (data sets on this machine) and `lr_batch.engine` (the compiled chunk, for what is built on it
or takes it apart). Everything else may change from one version to the next.
"""

from lr_batch.namesakes import refuse_namesakes

refuse_namesakes(("optim", "reg"))  # before anything imports them

from lr_batch.analysis.best_of_trials import BestOfTrials, best_of_trials
from lr_batch.analysis.best_settings import best_settings
from lr_batch.analysis.cluster_plan import Cluster, ClusterPlan, PlannedRow, cluster_plan
from lr_batch.analysis.critical_batch import CriticalBatchSize, Ratio, critical_batch_size, ratio
from lr_batch.analysis.critical_exponents import CriticalExponents, critical_exponents
from lr_batch.analysis.goals import CriticalAtGoal, at_goal, critical_by_goal
from lr_batch.analysis.held_out_sizes import HeldOutSize, held_out_sizes
from lr_batch.analysis.intervals import LEVEL, Estimate, estimate, holm, in_log, positive_estimate
from lr_batch.analysis.learning_rate_law import LearningRateLaw, learning_rate_law
from lr_batch.analysis.lineages import Piece, pieces
from lr_batch.analysis.measured_curve import TOLERANCE, Slope
from lr_batch.analysis.optimum import Optimum
from lr_batch.analysis.quadratic_curve import QuadraticCurve, quadratic_curve
from lr_batch.analysis.ranking import Ranked, ranking
from lr_batch.analysis.strength import BestStrength, StrengthRow, best_strengths, strength_rows
from lr_batch.checks import check
from lr_batch.data.records import records
from lr_batch.data.texts import texts
from lr_batch.design import CHOICE, Asked, Axis, Design, Rounds, Searched
from lr_batch.engine.chunk import ChunkStore
from lr_batch.engine.placement import streamed
from lr_batch.engine.programs import Programs
from lr_batch.errors import StudyError
from lr_batch.generalization import ArrayStore, Generalization, generalize
from lr_batch.grid import log_grid
from lr_batch.noise.dual_norms import NormScales, norm_scales
from lr_batch.noise.measure import measure_noise_scale
from lr_batch.noise.scale import NoiseScale, gradient_noise_scale
from lr_batch.noise.training import NoisePoint, TrainingNoise, noise_along_training
from lr_batch.problem.augmentation import Augmentation
from lr_batch.problem.batch_schedule import BatchSchedule, steps_of_trials
from lr_batch.problem.changes import Changes
from lr_batch.problem.from_arrays import from_arrays
from lr_batch.problem.lengths import Length, parse_length, steps_within
from lr_batch.problem.regularized import RegularizedOptimizer
from lr_batch.problem.scheduled import Schedule
from lr_batch.problem.whole_set import Metric
from lr_batch.problem.workload import Goal, Workload, num_examples
from lr_batch.proposal import Proposal, propose_goal
from lr_batch.resolve import as_optimizer, as_workload
from lr_batch.result import BUDGET, DIVERGED, REACHED, Curve, EngineReport, Result, Trial, longest_trials
from lr_batch.rounds import planned_chunks
from lr_batch.schedules import SCHEDULES
from lr_batch.study import Study
from lr_batch.sweep import run
from lr_batch.tally import Best, Progress
from lr_batch.workloads import WORKLOADS
from optim.users_error import first_line

__version__ = "0.1.0"

__all__ = [
    "BUDGET",
    "Best",
    "DIVERGED",
    "REACHED",
    "SCHEDULES",
    "TOLERANCE",
    "WORKLOADS",
    "ArrayStore",
    "Asked",
    "Augmentation",
    "Axis",
    "BatchSchedule",
    "BestOfTrials",
    "BestStrength",
    "CHOICE",
    "Changes",
    "ChunkStore",
    "Cluster",
    "ClusterPlan",
    "CriticalBatchSize",
    "CriticalExponents",
    "CriticalAtGoal",
    "Curve",
    "Design",
    "HeldOutSize",
    "LEVEL",
    "EngineReport",
    "Estimate",
    "Generalization",
    "Goal",
    "LearningRateLaw",
    "Length",
    "Metric",
    "NoisePoint",
    "NoiseScale",
    "NormScales",
    "Optimum",
    "Piece",
    "PlannedRow",
    "Programs",
    "Proposal",
    "Progress",
    "QuadraticCurve",
    "Ranked",
    "Ratio",
    "RegularizedOptimizer",
    "Result",
    "Rounds",
    "Schedule",
    "Searched",
    "Slope",
    "StrengthRow",
    "Study",
    "StudyError",
    "TrainingNoise",
    "Trial",
    "Workload",
    "__version__",
    "as_optimizer",
    "at_goal",
    "as_workload",
    "best_of_trials",
    "best_settings",
    "best_strengths",
    "check",
    "cluster_plan",
    "critical_batch_size",
    "critical_exponents",
    "critical_by_goal",
    "estimate",
    "first_line",
    "from_arrays",
    "generalize",
    "gradient_noise_scale",
    "held_out_sizes",
    "holm",
    "in_log",
    "learning_rate_law",
    "log_grid",
    "longest_trials",
    "measure_noise_scale",
    "noise_along_training",
    "norm_scales",
    "num_examples",
    "parse_length",
    "pieces",
    "planned_chunks",
    "positive_estimate",
    "propose_goal",
    "quadratic_curve",
    "ranking",
    "ratio",
    "records",
    "run",
    "steps_of_trials",
    "steps_within",
    "streamed",
    "strength_rows",
    "texts",
]
