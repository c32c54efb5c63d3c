"""The commands of `lr-batch`, one a file. Nothing heavy is imported before a command runs."""

from runs.commands.curve import Curve

COMMANDS = {"curve": Curve}
