"""The commands of `lr-batch`, one a file. Nothing heavy is imported before a command runs."""

from runs.commands.bench import Bench
from runs.commands.check import Check
from runs.commands.compare import Compare
from runs.commands.curve import Curve
from runs.commands.data import Data
from runs.commands.folders import Doctor, Export, Merge, Report, Verify
from runs.commands.gallery import Gallery
from runs.commands.goal import Goal
from runs.commands.list import List
from runs.commands.noise_scale import NoiseScale
from runs.commands.plan import Plan
from runs.commands.regularize import Regularize
from runs.commands.status import Status, Watch
from runs.commands.transfer import Transfer
from runs.commands.tune import Tune
from runs.commands.worker import Worker

COMMANDS = {
    "check": Check,
    "goal": Goal,
    "curve": Curve,
    "compare": Compare,
    "regularize": Regularize,
    "tune": Tune,
    "transfer": Transfer,
    "worker": Worker,
    "noise-scale": NoiseScale,
    "plan": Plan,
    "list": List,
    "data": Data,
    "status": Status,
    "watch": Watch,
    "report": Report,
    "export": Export,
    "verify": Verify,
    "merge": Merge,
    "doctor": Doctor,
    "bench": Bench,
    "gallery": Gallery,
}
