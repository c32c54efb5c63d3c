"""The command line `lr-batch`; `python -m runs` is the same."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence

from runs.xla_flags import set_xla_flags

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 2 bad usage, 130 interrupted, 1 anything else.

    What is the user's to mend is one line on stderr; only a bug of ours shows a traceback.
    """
    set_xla_flags()
    command = parsed(sys.argv[1:] if arguments is None else arguments)
    from runs.cache import use_compilation_cache
    from runs.interrupts import interruptible

    use_compilation_cache()
    try:
        with interruptible():
            command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return failed("interrupted; everything finished is kept, the same command goes on from there", INTERRUPTED)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (the reader of our output has left)
    except Exception as error:
        if (code := exit_code(error)) is None:
            raise
        return failed(str(error), code)
    return DONE


def parsed(arguments: Sequence[str]):
    """The command that the arguments name. Leaves the process where they are wrong (2) or ask for help (0)."""
    import tyro

    from runs.commands import COMMANDS

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="lr-batch", args=list(arguments), config=(tyro.conf.OmitArgPrefixes,)
            )
    except SystemExit as leaving:
        if leaving.code:
            sys.exit(failed(one_line(complaint.getvalue()), USAGE))
        raise


def one_line(box: str) -> str:
    """The words of a message that was set in a box of several lines."""
    lines = [line.strip("╭╮╰╯│─ \n") for line in box.splitlines()]
    words = [line for line in lines[1:] if line and not line.startswith("For full helptext")]
    return " ".join(words) or box.strip()


def exit_code(error: Exception) -> int | None:
    """The code of an error that is the user's to mend, None for a bug."""
    from lr_batch.data import DataNotPrepared
    from lr_batch.errors import StudyError
    from runs.store import StoreError, StoreInUse, StudyChanged

    if isinstance(error, ValueError | StudyChanged):
        return USAGE
    known = (StudyError, StoreError, StoreInUse, DataNotPrepared, OSError)
    return FAILED if isinstance(error, known) else None


def failed(message: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        print(f"lr-batch: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
