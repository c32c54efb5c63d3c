"""The command line `lr-batch`; `python -m runs` is the same."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from runs.interrupts import INTERRUPTED, interruptible
from runs.xla_flags import set_xla_flags

DONE, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 2 bad usage, 130 interrupted, 1 anything else.

    What is the user's to mend is one line on stderr; only a bug of ours shows a traceback.
    """
    set_xla_flags()
    prepare_streams()
    try:
        with interruptible():
            run(sys.argv[1:] if arguments is None else list(arguments))
            sys.stdout.flush()
    except KeyboardInterrupt as interrupt:  # which says what is kept, where anything is
        return failed(str(interrupt) or "interrupted", INTERRUPTED)
    except BrokenPipeError:
        give_stdout_up()
    except SystemExit:  # --help
        return DONE
    except Exception as error:
        if (code := exit_code(error)) is None:
            raise
        return failed(in_one_line(error), code)
    return DONE


def run(arguments: Sequence[str]) -> None:
    """Runs the command that the arguments name."""
    from runs.arguments import answered, parsed

    if answered(arguments):
        return
    command = parsed(arguments)
    from runs.cache import use_compilation_cache
    from runs.devices import require_devices, use_device
    from runs.folder import ARGUMENTS
    from runs.parse import UsageError
    from runs.progress import QUIET

    use_device(getattr(getattr(command, "study", command), "device", None))
    if getattr(command, "needs_devices", True):
        require_devices()
        use_compilation_cache()
    ARGUMENTS.set(tuple(arguments))
    QUIET.set(getattr(getattr(command, "output", command), "quiet", False))
    try:
        command()
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:  # ours leaves no process; a user's model or optimizer may
        said = f"{type(error).__name__}: {error}"
        raise UsageError(f"code of the user's own ended the run: {said}") from error


def exit_code(error: Exception) -> int | None:
    """The code of an error that is the user's to mend, None for a bug."""
    if isinstance(error, ValueError | MemoryError):
        return USAGE  # at once: the imports below take seconds
    import jax

    from lr_batch import StudyError
    from lr_batch.data import DataNotPrepared
    from runs.store import StoreError, StudyChanged
    from runs.workers.errors import WorkersError

    if isinstance(error, StudyChanged | StudyError):
        return USAGE
    known = (StoreError, WorkersError, DataNotPrepared, OSError, jax.errors.JaxRuntimeError)
    return FAILED if isinstance(error, known) else None


def in_one_line(error: Exception) -> str:
    """What an error says, and for those that are not ours what it is about."""
    import json

    if isinstance(error, MemoryError):
        return f"out of memory: {error}; take smaller data or fewer trials, or raise the limit of the process"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, json.JSONDecodeError):
        return f"a file that must hold JSON is damaged: {error}; lr-batch verify DIR names what is damaged in a folder"
    if type(error).__name__ == "JaxRuntimeError":
        said = str(error).strip().partition("\n")[0]
        return (
            f"JAX failed while it ran the study: {said}; what was finished is kept, the same command goes on"
        )
    return str(error)


def failed(message: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        from runs.text import harmless

        print(f"lr-batch: {harmless(' '.join(message.split()))}", file=sys.stderr)
    return code


def prepare_streams() -> None:
    """Makes printing safe: to a stream that our caller has closed, and of what its encoding does not know."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # for the rest of the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def give_stdout_up() -> None:
    """The reader of our output has left: what is still to be flushed when the process ends goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
