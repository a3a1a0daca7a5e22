"""Where two layers end, and when they switch, over voltage and field: runs of the microscopic LLG, all at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from svjax.engine.arrays import Numbers, Vector, real_array, real_number, whole_number
from svjax.engine.eigenbasis import lapack_on_one_thread
from svjax.macrospin.effective_llg import EffectiveLLG, effective_llg
from svjax.macrospin.model import TwoVectors, direction
from svjax.model.levels import BiasLike
from svjax.model.valve import SpinValve
from svjax.reservoirs.bias import symmetric

SAVES = 400
"""At how many times a run is looked at."""


def phase_diagram(
    valve: SpinValve,
    voltages: Numbers,
    fields: Numbers,
    *,
    bias: Callable[[float], BiasLike] = symmetric,
    axis: Numbers = (0.0, 0.0, 1.0),
    start: Numbers | None = None,
    duration: float = 3000.0,
    angles: int = 17,
    rtol: float = 1e-5,
    progress: Callable[[str], object] | None = None,
) -> xr.Dataset:
    """The end of a run and the time of switching for every voltage and field, by `effective_llg`.

    One table is made for each voltage, as many at a time as there are processors, all for a precession as fast as the
    slow mode at the first; the runs at all voltages and fields are then one batched call. A layer has switched at the
    first of 400 times at which its component along its start is negative.

    **Arguments:**

    - `voltages` (V,), `fields` (F,): the grid; a field B along ``axis`` (3,) is added to that of both layers.
    - `bias`: what a voltage means: `symmetric`, `asymmetric`, or a function of it such as ``lambda v: (0.0, v)``.
    - `start`: directions (2, 3) of the layers, the easy axes if None. A start at rest stays there.
    - `duration`: of a run, in 1/hopping; `rtol`: the tolerance of its steps; `angles`: as in `effective_llg`.
    - `progress`: called with a line of text after each table.

    **Returns:** a dataset with ``final`` (voltage, field, layer, component) and ``switching_time`` (voltage, field,
    layer), nan where the layer did not switch. Errors as `effective_llg`.
    """
    grid = {"voltages": real_array(voltages, "voltages"), "fields": real_array(fields, "fields")}
    for name, values in grid.items():
        if values.ndim != 1 or not values.size or not np.all(np.isfinite(values)):
            raise ValueError(f"Argument `{name}` must be a list of finite numbers, but is {values}.")
    along = real_array(axis, "axis")
    if along.shape != (3,) or not np.linalg.norm(along) > 0:
        raise ValueError(f"Argument `axis` must be a direction (3,), but is {axis}.")
    if not real_number(duration, "duration") > 0:
        raise ValueError(f"Argument `duration` must be positive, but is {duration}.")
    levels = [bias(voltage) for voltage in np.asarray(grid["voltages"])]
    models = _models(valve, levels, whole_number(angles, "angles", 4), progress)
    first = models[0].easy_axes if start is None else real_array(start, "start")
    if first.shape != (2, 3):
        raise ValueError(f"Argument `start` must be of shape (2, 3), but is of shape {first.shape}.")
    every = jax.tree.map(lambda *parts: jnp.stack(parts), *models)
    times = jnp.linspace(0.0, duration, SAVES + 1)
    final, switched = _runs(every, grid["fields"][:, None] * direction(along), direction(first), times, rtol)
    return xr.Dataset(
        {
            "final": (("voltage", "field", "layer", "component"), np.asarray(final), {"units": "1"}),
            "switching_time": (("voltage", "field", "layer"), np.asarray(switched), {"units": "hbar/hopping"}),
        },
        {
            "voltage": ("voltage", np.asarray(grid["voltages"]), {"units": "hopping/e"}),
            "field": ("field", np.asarray(grid["fields"]), {"units": "hopping"}),
            "layer": [0, 1],
            "component": np.array(list("xyz"), dtype=object),
        },
        {
            "axis": np.asarray(direction(along)),
            "start": np.asarray(first).ravel(),
            "duration": float(duration),
            "angles": int(angles),
        },
    )


def _models(
    valve: SpinValve, levels: list[BiasLike], angles: int, progress: Callable[[str], object] | None
) -> list[EffectiveLLG]:
    """The equations at all levels, each with its table."""
    models, rate = [], effective_llg(valve, levels[0], angles=4).rate
    with lapack_on_one_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for model in pool.map(lambda mu: effective_llg(valve, mu, angles=angles, at=rate), levels):
            models.append(model)
            if progress is not None:
                progress(f"Table {len(models)} of {len(levels)}: error {float(model.table.error):.1e}")
    return models


@eqx.filter_jit
def _runs(
    models: EffectiveLLG, fields: Float[Array, "fields 3"], start: TwoVectors, times: Array, rtol: float
) -> tuple[Float[Array, "voltages fields 2 3"], Float[Array, "voltages fields 2"]]:
    def one(model: EffectiveLLG, field: Vector) -> tuple[TwoVectors, Float[Array, "2"]]:
        whole = eqx.tree_at(lambda x: x.field, model, model.field + field)

        def advance(m: TwoVectors, ends: Array) -> tuple[TwoVectors, TwoVectors]:  # keeps no buffer of all times
            m = whole.solve(m, ends, rtol=rtol, atol=rtol)[-1]
            return m, m

        _, m = jax.lax.scan(advance, start, jnp.stack([times[:-1], times[1:]], 1))
        m = jnp.concatenate([start[None], m])
        against = jnp.sum(m * start, -1) < 0
        when = jnp.where(jnp.any(against, 0), times[jnp.argmax(against, 0)], jnp.nan)
        return m[-1], when

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(models, fields)
