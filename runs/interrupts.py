"""What Ctrl-C and SIGTERM do: once, finish what is in flight and stop; twice, stop now."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turns the first signal into KeyboardInterrupt and the second into the end of the process.

    The end at any moment is safe: the store loses nothing that it has acknowledged.
    """
    count = 0

    def handle(number, frame):
        nonlocal count
        count += 1
        if count > 1:
            os._exit(130)
        with contextlib.suppress(OSError, ValueError):
            said = "lr-batch: finishing the chunks in flight; once more to stop now"
            print(said, file=sys.stderr, flush=True)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only that one is given signals
        yield
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
