"""What Ctrl-C and SIGTERM do: once, finish what is in flight and stop; twice, stop now."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Generator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130
PAUSE = 0.02  # seconds until a signal that came at a bad moment comes again


@contextlib.contextmanager
def interruptible() -> Generator[None, None, None]:
    """Turns the first signal into KeyboardInterrupt and the second into the end of the process.

    The end at any moment is safe: the store loses nothing that it has acknowledged.
    """
    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        # C++ libraries that are half loaded do not survive an exception
        if within(frame, "<frozen importlib"):
            stop_now("interrupted")
        if within(frame, "_xla_gc_callback"):  # Python ignores exceptions there
            threading.Timer(PAUSE, os.kill, (os.getpid(), number)).start()
            return
        count += 1
        if count > 1:
            stop_now()
        say("finishing the chunks in flight; once more to stop now")
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only that one is given signals
        yield
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        # Once interrupted, whatever comes while the process ends ends it
        for number, handler in before.items():
            signal.signal(number, (lambda *_: stop_now()) if count else handler)


def within(frame: FrameType | None, where: str) -> bool:
    """Whether a function of that name, or of a file whose name begins so, is being called."""
    while frame is not None:
        if frame.f_code.co_name == where or frame.f_code.co_filename.startswith(where):
            return True
        frame = frame.f_back
    return False


def stop_now(message: str | None = None) -> None:
    """Ends the process without waiting for threads."""
    if message:
        say(message)
    os._exit(INTERRUPTED)


def say(message: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"lr-batch: {message}", file=sys.stderr, flush=True)
