"""A small sweep as a program, for tests that kill it or give it other devices and processes.

python sweeping.py FOLDER DURATION [start | resume] [COORDINATOR RANK COUNT]
"""

import sys
from dataclasses import replace

import jax
import numpy as np
from helpers import small_valve

import svjax as sv

GRID = {"anisotropy[1]": [0.1, 0.2], "voltage": [0.0, 0.5, 1.0]}
TASK = sv.RunTask(60.0, dt=0.05, save_every=5, start="aligned", last_state=True, method="rk38")


def make(path, progress=None, **changes):
    arguments = dict(valve=small_valve(), grid=GRID, task=TASK, batch=2, out=path, progress=progress)
    return sv.sweep(**arguments | changes)


def save_always(monkeypatch=None):
    """Checkpoints after every segment."""
    from svjax.storage import row_buffer

    for name, value in (("SECONDS_PER_SAVE", 0.0), ("SAVING_SHARE", np.inf)):
        setattr(row_buffer, name, value) if monkeypatch is None else monkeypatch.setattr(row_buffer, name, value)


def main(path, duration, order, coordinator=None, rank=0, count=1):
    jax.config.update("jax_enable_x64", True)
    if coordinator is not None:
        sv.join_processes(coordinator, int(rank), int(count))
    save_always()
    task = replace(TASK, duration=float(duration))
    found = make(path, task=task) if order == "start" else sv.resume(path)
    assert (found["status"] == 1).all()
    print(f"{jax.local_device_count()} devices, process {jax.process_index()} of {jax.process_count()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
