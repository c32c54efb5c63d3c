"""How many steps chunks are likely to take at a batch size where none has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


def expected_steps(ends: Mapping[int, float], batch_size: int) -> float:
    """Steps at a batch size from those at others.

    Between two known ones S(B) = S_min + E_min / B through both, or a power of B where that would leave no S_min; beyond
    them 1/sqrt(B), halfway between perfect scaling and none.

    >>> [round(expected_steps({16: 100.0, 64: 50.0}, size)) for size in (4, 16, 32, 256)]
    [200, 100, 67, 25]
    """
    known = sorted(ends)
    near = min(max(batch_size, known[0]), known[-1])
    if near != batch_size:
        return ends[near] * math.sqrt(near / batch_size)
    low, high = max(b for b in known if b <= near), min(b for b in known if b >= near)
    if low == high:
        return ends[low]
    e_min = (ends[low] - ends[high]) / (1 / low - 1 / high)
    s_min = ends[low] - e_min / low
    if s_min > 0 and e_min > 0:
        return s_min + e_min / batch_size
    steps = np.log([ends[low], ends[high]])
    return float(np.exp(np.interp(math.log(batch_size), np.log([low, high]), steps)))
