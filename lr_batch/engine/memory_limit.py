"""How much memory this process may use: the least of the machine, its control groups and its address space."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# What Python, JAX and the compiler take before anything is trained; measured: 0.2 GB once imported, 0.45 GB after
# the default study. It counts where a limit is set for this process, and is lost in the memory of a whole machine.
OWN_BYTES = 0.4e9
COMPILER_BYTES = 0.25e9  # addresses that compilation maps beside what is mapped already
GROUPS = "sys/fs/cgroup"
# Above "high" a process is slowed down until it nearly stops
V1, V2 = ("memory.limit_in_bytes",), ("memory.max", "memory.high")


class MemoryLimit(NamedTuple):
    """Bytes for what is trained, at least 0, and what sets the limit, in words."""

    bytes: float
    of: str


@functools.cache
def memory_limit() -> MemoryLimit:
    """The least limit, as it was when this was first asked: addresses are used up while a study runs."""
    return min([machine(), *control_groups(), *address_space()])


def machine() -> MemoryLimit:
    """All of the machine's memory."""
    return MemoryLimit(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "the machine")


def control_groups(root: Path = Path("/")) -> Iterator[MemoryLimit]:
    """Limits of every control group on the way from this process's to the root, of version 1 and 2.

    Args:
      root: where /proc and /sys are.
    """
    for folder, names in _groups(root):
        top = root / GROUPS
        for group in [folder, *folder.parents]:
            for name in names:
                if (limit := _bytes_in(group / name)) is not None:
                    yield MemoryLimit(max(0.0, limit - OWN_BYTES), "its control group")
            if group == top:
                break


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Folders of this process's control groups, and the files there that hold a limit."""
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        controllers, path = line.split(":", 2)[1:]
        if controllers == "":  # version 2, alone or beside version 1
            for mount in ("", "unified"):
                yield root / GROUPS / mount / path.lstrip("/"), V2
        elif "memory" in controllers.split(","):
            yield root / GROUPS / "memory" / path.lstrip("/"), V1


def address_space(root: Path = Path("/")) -> Iterator[MemoryLimit]:
    """What `ulimit -v` leaves: most of what is mapped when a study begins are libraries and stacks."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        mapped = re.search(r"VmSize:\s*(\d+) kB", _text(root / "proc/self/status") or "")
        used = int(mapped[1]) * 1024 if mapped else 0
        yield MemoryLimit(max(0.0, limit - used - COMPILER_BYTES), "its address space (ulimit -v)")


def _bytes_in(file: Path) -> int | None:
    text = (_text(file) or "").strip()
    return int(text) if text.isdigit() else None  # "max" means no limit


def _text(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None
