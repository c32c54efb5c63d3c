"""The command line `lr-batch`; `python -m runs` is the same."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence

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
        return failed(str(error), code)
    return DONE


def run(arguments: Sequence[str]) -> None:
    """Runs the command that the arguments name."""
    refuse_repeated(arguments)
    command = parsed(arguments)
    from runs.cache import use_compilation_cache
    from runs.folder import ARGUMENTS
    from runs.parse import UsageError

    use_compilation_cache()
    ARGUMENTS.set(tuple(arguments))
    try:
        command()
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:  # ours leaves no process; a user's model or optimizer may
        said = f"{type(error).__name__}: {error}"
        raise UsageError(f"code of the user's own ended the run: {said}") from error


def parsed(arguments: Sequence[str]) -> Callable[[], None]:
    """The command that the arguments name; SystemExit where they ask for help."""
    import tyro

    from runs.commands import COMMANDS
    from runs.parse import UsageError

    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        from optim.names import unknown

        raise UsageError(unknown("command", arguments[0], COMMANDS))
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="lr-batch", args=list(arguments), config=(tyro.conf.OmitArgPrefixes,)
            )
    except SystemExit as leaving:
        if leaving.code:
            raise UsageError(one_line(complaint.getvalue())) from None
        raise


def refuse_repeated(arguments: Sequence[str]) -> None:
    """The parser would take the last of several values and ignore the others."""
    from runs.parse import REPEATABLE, UsageError

    options = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    for option in options:
        if options.count(option) > 1 and option not in REPEATABLE:
            raise UsageError(f"{option} is given twice")


BORDER = "╭╮╰╯│─+| "


def one_line(box: str) -> str:
    """What a message that was set in a box with ruled sections has to say: what is wrong, and what was meant.

    >>> one_line("╭─ Wrong ──╮\\n│ No: --on │\\n│ ──── │\\n│ Perhaps you meant: │\\n│ --one INT │\\n╰──╯")
    'No: --on; did you mean --one?'
    """
    lines = [line.strip(BORDER) for line in box.splitlines()[1:]]  # the first has the title
    ruled = "\n".join("\f" if not line.strip("-") else line for line in lines)
    sections = [" ".join(section.split()) for section in ruled.split("\f")]
    said = next((section for section in sections if section), box.strip()).removeprefix("Error parsing ")
    hints = [section for section in sections if section.startswith("Perhaps you meant: ")]
    meant = [hint.split()[3].rstrip(",") for hint in hints]
    return f"{said}; did you mean {meant[0]}?" if meant else said


def exit_code(error: Exception) -> int | None:
    """The code of an error that is the user's to mend, None for a bug."""
    if isinstance(error, ValueError):
        return USAGE  # at once: the imports below take seconds
    import jax

    from lr_batch import StudyError
    from lr_batch.data import DataNotPrepared
    from runs.store import StoreError, StudyChanged

    if isinstance(error, StudyChanged | StudyError):
        return USAGE
    known = (StoreError, DataNotPrepared, OSError, jax.errors.JaxRuntimeError)
    return FAILED if isinstance(error, known) else None


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
