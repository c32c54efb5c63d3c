"""`--ray`: the chunks of a study are trained by a Ray cluster."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

from runs.workers.errors import WorkersError

END_SECONDS = 10.0  # that the bridge has to give its chunks back


@contextlib.contextmanager
def ray_bridge(address: str, folder: Path) -> Generator[Callable[[], None], None, None]:
    """A process that hands the chunks of `folder` to Ray, and what raises once it has ended.

    Args:
      address: of a cluster, or "auto" for the one that runs on this machine.
      folder: see `runs.workers.folder`; Ray's processes need not see it.
    """
    with tempfile.TemporaryFile("w+") as said:
        call = [sys.executable, "-m", "runs.workers.ray_bridge", address, str(folder)]
        bridge = subprocess.Popen(call, stderr=said, stdout=subprocess.DEVNULL, start_new_session=True)

        def check() -> None:
            if bridge.poll() is not None:
                said.seek(0)
                lines = said.read().strip().splitlines() or [f"exit code {bridge.returncode}"]
                raise WorkersError(
                    f"{lines[-1]}" if "--ray" in lines[-1] else f"--ray: it ended: {lines[-1]}"
                )

        try:
            yield check
        finally:
            bridge.terminate()
            try:
                bridge.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                bridge.kill()
                bridge.wait()
