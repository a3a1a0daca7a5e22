"""One writer at a time: a lock on a folder that the kernel releases when its process ends, however it ends."""

import errno
import warnings
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: stores can be read, and written without a lock
    fcntl = None

NAME = ".lock"

_held: set[tuple[int, int]] = set()
"""Device and inode of the lock files that this process holds: the kernel does not refuse a process its own locks."""


class Lock:
    """The right to write to a store.

    Each process of a job holds one byte of the lock file, the byte of its ``rank``. Rank 0 first asks for all bytes,
    so that it finds out whether any process of another job is still writing. Raises BlockingIOError if one is.
    """

    def __init__(self, folder: Path, rank: int = 0):
        path = folder / NAME
        if path.exists() and _identity(path) in _held:
            raise BlockingIOError(f"The store {folder} is being written by this very process.")
        self.file = open(path, "a+b")  # noqa: SIM115
        try:
            if fcntl is None:
                raise OSError(errno.ENOLCK, "no locks")
            if rank == 0:
                fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.lockf(self.file, fcntl.LOCK_UN, 0, 1)
            else:
                fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, rank)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                self.file.close()
                raise BlockingIOError(f"The store {folder} is being written by another process.") from None
            warnings.warn(f"{folder} lies on a disk without locks: see that nothing else writes to it.", stacklevel=2)
        self.identity = _identity(path)
        _held.add(self.identity)

    def release(self) -> None:
        """Give the store free."""
        _held.discard(self.identity)
        self.file.close()


def is_locked(folder: Path) -> bool:
    """Whether some process is writing to the store."""
    path = folder / NAME
    if not path.exists() or _identity(path) in _held or fcntl is None:
        return path.exists() and _identity(path) in _held
    with open(path, "rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a shared lock of its own; closing the file gives it free
        except OSError as error:
            return error.errno in (errno.EACCES, errno.EAGAIN)
    return False


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
