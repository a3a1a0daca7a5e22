"""Spins to start from that others have made: from a file, or from the end of another run."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from svjax.simulations.runs import load_state, open_run
from svjax.storage.plain import tidy_path

ROUNDED = 1e-2
"""How far from 1 the length of a spin in a file may be."""


def load_spins(path: str | os.PathLike) -> np.ndarray:
    """(N_S, 3) spins from a file, or the last ones of the run at ``path``.

    A file is numpy's (.npy) or text with x, y, z of a spin in each line, between blanks or commas, # before comments.
    Lengths that were rounded are made 1. Raises FileNotFoundError, or ValueError for anything else.
    """
    path = tidy_path(path)
    if path.is_dir():
        return np.asarray(load_state(open_run(path)).spins)
    if not path.exists():
        raise FileNotFoundError(f"Argument `path` must be a file of spins or a run, but {path} does not exist.")
    try:
        found = np.asarray(_numbers(path))
        if found.ndim != 2 or found.shape[1] != 3 or found.dtype.kind not in "if":
            raise ValueError(f"{found.dtype} of shape {found.shape}")
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"Argument `path` must hold x, y, z of each spin, but {path} does not ({error}).") from None
    length = np.linalg.norm(found, axis=1)
    wrong = np.flatnonzero(~(np.abs(length - 1) < ROUNDED))
    if wrong.size:
        raise ValueError(
            f"Argument `path` must hold spins of length 1, but spin {wrong[0]} of {path} has {length[wrong[0]]:.6g}."
        )
    return found / length[:, None]


def _numbers(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    lines = path.read_text(encoding="utf-8-sig").replace(",", " ").splitlines()
    return np.loadtxt([line for line in lines if line.split("#")[0].strip()] or ["nothing"], ndmin=2)
