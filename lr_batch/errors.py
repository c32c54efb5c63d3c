"""Errors that end a study with one line for its user."""


class StudyError(RuntimeError):
    """The study cannot go on: what was wrong, what is allowed, what to do."""


def first_line(error: BaseException) -> str:
    """Type and first line of an error whose full text is for someone else."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
