"""What can go wrong with a store, each as one line for the user."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used as asked; the message is one line with the path and the need."""


class BadFolder(StoreError, ValueError):
    """A folder that cannot be used: name another path."""


class StoreInUse(StoreError):
    """Another process writes to the store."""


class StudyChanged(StoreError):
    """The folder holds another study than the one asked for; the message shows the difference."""
