"""Processes, told apart on one machine and across machines."""

from __future__ import annotations

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


def started(pid: int) -> str | None:
    """When process `pid` started, as a text to compare; None if there is none (or only its corpse)."""
    if Path("/proc/self/stat").exists():
        return _started_linux(pid)
    listing = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return listing.stdout.strip() or None


def _started_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold anything
    state, ticks = fields[0], fields[19]  # fields 3 and 22 of proc(5)
    return None if state in "ZX" else f"{boot}:{ticks}"


def host() -> str:
    """The scope of a pid: the machine and, in containers, the pid namespace."""
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()
