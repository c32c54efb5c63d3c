"""Errors that end a study with one line for its user."""

from __future__ import annotations


class StudyError(RuntimeError):
    """The study cannot go on: what was wrong, what is allowed, what to do."""
