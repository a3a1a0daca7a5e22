"""Folders that hold datasets: put in place as a whole, written by one process at a time, told apart by their format."""

import asyncio
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zarr
from zarr.core.sync import sync

from svjax.storage.formats import short
from svjax.storage.lock import Lock
from svjax.storage.plain import store_format


def check_target(path: Path, overwrite: bool, kind: str) -> None:
    """Raise unless a dataset of this ``kind`` may be written to ``path``."""
    name = short(kind)
    if path.exists() and not overwrite:
        raise FileExistsError(f"Argument `out` must be a new folder, but {path} exists; `overwrite` replaces a {name}.")
    if path.exists() and not (path.is_dir() and (store_format(path) == kind or not any(path.iterdir()))):
        raise FileExistsError(f"Argument `out` must be a svjax {name} to be overwritten, but {path} is something else.")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise PermissionError(f"Argument `out` must lie in a folder that can be written, but {parent} cannot.")


def place(path: Path, build: Callable[[Path], object], overwrite: bool) -> Lock:
    """Let ``build`` make a store under another name and move it in place, so that it is whole or not there.

    Returns the lock on the new store. A store that is there by now raises FileExistsError, or is replaced if
    ``overwrite``, unless it is being written, which raises BlockingIOError.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    lock = old = None
    try:
        with saving(path):
            partial.mkdir(parents=True)
            build(partial)
            lock = Lock(partial)
            if path.exists() and overwrite:
                old = Lock(path)
                shutil.rmtree(path)
            try:
                partial.rename(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                raise FileExistsError(f"Argument `out` must be a new folder, but {path} has just appeared.") from None
    except BaseException:
        if lock is not None:
            lock.release()
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        if old is not None:
            old.release()
    return lock


@contextmanager
def saving(path: object) -> Iterator[None]:
    """Say of errors of the disk which store they hit, and that it is not lost; nothing is written after an error."""
    try:
        yield
    except BaseException as error:
        sync(_last_writes())
        if not isinstance(error, OSError) or isinstance(error, (BlockingIOError, FileExistsError)):
            raise
        why = error.strerror or str(error)
        raise OSError(f"The store {path} cannot be written ({why}); what was saved before is kept.") from error


async def _last_writes() -> None:
    """Wait for the files that zarr still writes: it writes several at a time, and one that fails does not stop them."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Say of what codecs and missing facts raise that it is a store that is damaged."""
    try:
        yield
    except (RuntimeError, KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"The store {path} is damaged ({type(error).__name__}: {error}). Of a sweep, `svjax resume` computes the "
            "points again whose broken chunk files in `status` are removed."
        ) from error


def array_of(group: zarr.Group, name: str) -> zarr.Array:
    """The array ``name`` of a group."""
    found = group[name]
    assert isinstance(found, zarr.Array)
    return found
