"""Expected loss, steps to goal and best rate of the noisy quadratic, from its second moments.

Zhang et al. (2019), "Which algorithmic choices matter at which batch sizes?", section 3 and
appendix: coordinates are independent, w_0 ~ N(0, I), and the gradient h_i w_i carries noise of
variance h_i / B, so E[w_i^2] follows a linear recursion that depends on nothing else. Everything
is float64; long stretches of steps are taken by repeated squaring, never one by one.
"""

from lr_batch.workloads.noisy_quadratic_theory.method import Method, curvature
from lr_batch.workloads.noisy_quadratic_theory.optimal import OptimalRate, optimal
from lr_batch.workloads.noisy_quadratic_theory.phases import Phase, phases_of
from lr_batch.workloads.noisy_quadratic_theory.steps import expected_loss, steps_to_goal

__all__ = [
    "Method",
    "OptimalRate",
    "Phase",
    "curvature",
    "expected_loss",
    "optimal",
    "phases_of",
    "steps_to_goal",
]
