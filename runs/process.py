"""Processes, told apart on one machine and across machines."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from datetime import datetime
from pathlib import Path
from typing import NamedTuple


class Owner(NamedTuple):
    """A process; `started` tells it from a later one with the same pid. `since` is for people."""

    pid: int
    started: str
    host: str
    since: str

    def __str__(self) -> str:
        elsewhere = f" on {self.host}" if self.host != host() else ""
        return f"pid {self.pid}{elsewhere} since {self.since}"


def this_process() -> Owner:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return Owner(os.getpid(), started(os.getpid()) or "", host(), since)


def is_alive(owner: Owner) -> bool:
    """Whether this process is still alive; False for other hosts, whose processes cannot be seen."""
    return owner.host == host() and started(owner.pid) == owner.started


def has_ended(owner: Owner) -> bool:
    """Whether a process has certainly ended: it ran since this start of this machine, and is not there any more.

    Machines may share a name, but not the number of a start; where there are no such numbers, names have to do. A
    process of another user may be hidden and is then not known to have ended.
    """
    return (
        owner.host == host() and _is_of_this_boot(owner) and not is_alive(owner) and not _is_hidden(owner.pid)
    )


def _is_of_this_boot(owner: Owner) -> bool:
    boot = _boot()
    return boot is None or owner.started.startswith(f"{boot}:")


def _is_hidden(pid: int) -> bool:
    """Whether there is a process of another user's of which nothing can be read."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return started(pid) is None
    except (OSError, OverflowError):
        pass
    return False


def started(pid: int) -> str | None:
    """When process `pid` started, as a text to compare; None if there is none (or only its corpse)."""
    if Path("/proc/self/stat").exists():
        return _started_linux(pid)
    listing = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return listing.stdout.strip() or None


def _started_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold anything
    state, ticks = fields[0], fields[19]  # fields 3 and 22 of proc(5)
    return None if state in "ZX" else f"{_boot() or ''}:{ticks}"


def _boot() -> str | None:
    """The number of this start of the machine; None where there is none."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def host() -> str:
    """The scope of a pid: the machine and, in containers, the pid namespace."""
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()
