"""Which file system a folder lies on, and whether it is one over a network."""

from __future__ import annotations

import os
from pathlib import Path

MOUNTS = Path("/proc/mounts")
# SQLite's log is shared memory, which no two machines have in common; locks and renames are their servers' affair.
NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "9p",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "orangefs",
    }
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.cephfs", "fuse.juicefs", "fuse.s3fs", "fuse.gcsfuse", "virtiofs"}
)


def file_system(path: Path) -> str:
    """Its name, such as "ext4" or "nfs4"; "unknown" where the machine does not tell.

    Args:
      path: need not exist; its nearest folder that does is taken.
    """
    path = path.absolute()
    while not path.exists():
        path = path.parent
    place, best, found = os.path.realpath(path), "", "unknown"
    try:
        mounts = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return found
    for line in mounts:
        _, mounted, kind, *_ = line.split(" ")
        mounted = mounted.replace("\\040", " ")
        inside = place == mounted or place.startswith(mounted.rstrip("/") + "/")
        if inside and len(mounted) >= len(best):  # the last one mounted at a place hides those before
            best, found = mounted, kind
    return found


def is_network(kind: str) -> bool:
    """Whether other machines may write to it too."""
    return kind in NETWORK
