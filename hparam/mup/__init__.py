"""The maximal update parameterization (muP), and the check that coordinates do not depend on the width."""

from hparam.mup.coordinate_check import CoordinateCheck, coordinate_check
from hparam.mup.fan_growth import Fans, default_fans
from hparam.mup.mup import Factors, Mup, checked_kind, mup
from hparam.mup.zero_readout import zero_readout

__all__ = [
    "CoordinateCheck",
    "Factors",
    "Fans",
    "Mup",
    "checked_kind",
    "coordinate_check",
    "default_fans",
    "mup",
    "zero_readout",
]
