"""Checkpoints that survive anything: two generations, each a checksum and plain arrays, exchanged by renaming.

A checkpoint is written under another name, flushed to the disk and only then renamed, after the one before it was
renamed to be the previous one. So there is always a whole one; a torn one does not match its checksum and is skipped.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"svjax checkpoint 1\n"
FACTS = "facts.json"
FOLDER = ".checkpoints"
"""Where in a store they lie."""

Contents = tuple[dict[str, np.ndarray], dict[str, Any]]
"""Arrays by name and facts (numbers and texts) by name."""


class Checkpoint:
    """The two generations of one checkpoint, files ``name`` and ``name.previous`` of ``folder``."""

    def __init__(self, folder: Path, name: str):
        self.path = folder / name
        self.previous = self.path.with_name(f"{name}.previous")
        self.newest_is_whole = False

    def save(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Replace the checkpoint. Facts must be plain data that JSON can hold."""
        payload = io.BytesIO()
        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        np.savez(payload, allow_pickle=False, **{FACTS: text}, **arrays)
        body = payload.getbuffer()
        partial = self.path.with_name(f"{self.path.name}.partial")
        self.path.parent.mkdir(exist_ok=True)
        with open(partial, "wb") as file:
            file.write(MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n")
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        if self.newest_is_whole:
            os.replace(self.path, self.previous)
        os.replace(partial, self.path)
        _flush_folder(self.path.parent)
        self.newest_is_whole = True

    def load(self) -> Contents | None:
        """The newest checkpoint that is whole; None if there is none."""
        newest = _read(self.path)
        self.newest_is_whole = newest is not None
        return _read(self.previous) if newest is None else newest

    def remove(self) -> None:
        """Delete both generations."""
        for path in (self.path, self.previous, self.path.with_name(f"{self.path.name}.partial")):
            path.unlink(missing_ok=True)


def _read(path: Path) -> Contents | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    start = len(MAGIC) + 65
    body = memoryview(data)[start:]
    if data[:start] != MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n":
        return None
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        facts = json.loads(arrays.pop(FACTS).tobytes())
    except (KeyError, ValueError, zipfile.BadZipFile):
        return None
    return arrays, facts


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
