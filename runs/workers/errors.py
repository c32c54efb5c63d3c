"""What can go wrong with a folder of workers, each as one line for the user."""

from __future__ import annotations


class WorkersError(Exception):
    """The folder or what a worker has delivered cannot be used."""


class NotAWorkFolder(WorkersError, ValueError):
    """A folder that cannot be used: name another path."""


class Damaged(WorkersError):
    """A file does not hold what was written into it."""


class Unfit(WorkersError):
    """This worker cannot train a study, or must not: the reason in one line."""
