"""Where two layers end, and when they switch, over voltage and field: runs of the microscopic LLG, all at once."""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from svjax.engine.arrays import Numbers, Vector, real_array, real_number, whole_number
from svjax.engine.lapack import lapack_on_one_thread
from svjax.macrospin.effective_llg import EffectiveLLG, effective_llg
from svjax.macrospin.model import TwoVectors, direction
from svjax.macrospin.rigid_layers import check_two_layers, of_layers
from svjax.model.levels import BiasLike
from svjax.model.valve import SpinValve, per_spin, prepare
from svjax.reservoirs.bias import symmetric

SAVES = 400
"""At how many times a run is looked at."""

TOGETHER = (4, 3, 2, 1)
"""Voltages whose runs are one call on a processor, the first number that divides all."""


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
    models: MutableMapping[int, EffectiveLLG] | None = None,
    progress: Callable[[str], object] | None = None,
) -> xr.Dataset:
    """The end of a run and the time of switching for every voltage and field, by `effective_llg`.

    One table is made for each voltage, as many at a time as there are processors, all for a precession as fast as the
    slow mode at the first; the runs at all voltages and fields are then one batched call on a GPU, and one for a few
    voltages on every processor else. A layer has switched when its component along its start first vanishes, on a
    straight line between two of 400 times.

    **Arguments:**

    - `voltages` (V,), `fields` (F,): the grid; a field B along ``axis`` (3,) is added to that of both layers.
    - `bias`: what a voltage means: `symmetric`, `asymmetric`, or a function of it such as ``lambda v: (0.0, v)``.
    - `start`: directions (2, 3) of the layers, the easy axes if None. A start at rest stays there.
    - `duration`: of a run, in 1/hopping; `rtol`: the tolerance of its steps; `angles`: as in `effective_llg`.
    - `models`: the equations by the number of their voltage, such as ``{}``: taken where they are there, and put there
      as soon as they are made. An interrupted diagram of the same arguments goes on with them.
    - `progress`: called with a line of text after each table.

    **Returns:** a dataset with ``final`` (voltage, field, layer, component) and ``switching_time`` (voltage, field,
    layer), nan where the layer did not switch. Errors as `effective_llg`.
    """
    diagram = empty_diagram(valve, voltages, fields, axis, start, duration, angles, rtol)
    levels = [bias(voltage) for voltage in diagram["voltage"].values]
    made = _models(valve, levels, angles, {} if models is None else models, progress)
    every = jax.tree.map(lambda *parts: jnp.stack(parts), *made)
    along, first = (direction(jnp.asarray(diagram.attrs[name]).reshape(-1, 3)) for name in ("axis", "start"))
    times = jnp.linspace(0.0, duration, SAVES + 1)
    results = _all_runs(every, jnp.asarray(diagram["field"].values)[:, None] * along, first, times, rtol)
    for name, values in zip(diagram.data_vars, results, strict=True):
        diagram[name].values[...] = values
    return diagram


def empty_diagram(
    valve: SpinValve,
    voltages: Numbers,
    fields: Numbers,
    axis: Numbers = (0.0, 0.0, 1.0),
    start: Numbers | None = None,
    duration: float = 3000.0,
    angles: int = 17,
    rtol: float = 1e-5,
) -> xr.Dataset:
    """The dataset of a `phase_diagram` of these arguments before anything is known, all nan; raises its ValueErrors."""
    valve = prepare(valve)
    check_two_layers(valve)
    grid = {"voltages": real_array(voltages, "voltages"), "fields": real_array(fields, "fields")}
    for name, values in grid.items():
        if values.ndim != 1 or not values.size or not np.all(np.isfinite(values)):
            raise ValueError(f"Argument `{name}` must be a list of finite numbers, but is {values}.")
    along = real_array(axis, "axis")
    if along.shape != (3,) or not np.linalg.norm(along) > 0:
        raise ValueError(f"Argument `axis` must be a direction (3,), but is {axis}.")
    if not real_number(duration, "duration") > 0:
        raise ValueError(f"Argument `duration` must be positive, but is {duration}.")
    first = of_layers(valve, per_spin(valve, "easy_axes")) if start is None else real_array(start, "start")
    if first.shape != (2, 3):
        raise ValueError(f"Argument `start` must be of shape (2, 3), but is of shape {first.shape}.")
    unknown = np.full((len(grid["voltages"]), len(grid["fields"]), 2, 3), np.nan, valve.dtype)
    return xr.Dataset(
        {
            "final": (("voltage", "field", "layer", "component"), unknown, {"units": "1"}),
            "switching_time": (("voltage", "field", "layer"), unknown[..., 0].copy(), {"units": "hbar/hopping"}),
        },
        {
            "voltage": ("voltage", np.asarray(grid["voltages"]), {"units": "hopping/e"}),
            "field": ("field", np.asarray(grid["fields"]), {"units": "hopping"}),
            "layer": [0, 1],
            "component": np.array(list("xyz"), dtype=object),
        },
        {
            "axis": np.asarray(along),
            "start": np.asarray(first).ravel(),
            "duration": float(duration),
            "angles": whole_number(angles, "angles", 4),
            "rtol": float(rtol),
        },
    )


def _models(
    valve: SpinValve,
    levels: list[BiasLike],
    angles: int,
    found: MutableMapping[int, EffectiveLLG],
    progress: Callable[[str], object] | None,
) -> list[EffectiveLLG]:
    """The equations at all levels, each with its table, those that are not ``found`` put there by their threads."""
    rate = next((model.rate for model in found.values()), None)
    rate = effective_llg(valve, levels[0], angles=4).rate if rate is None else rate

    def model(number: int) -> EffectiveLLG:
        if number not in found:
            found[number] = effective_llg(valve, levels[number], angles=angles, at=rate)
        return found[number]

    models = []
    with lapack_on_one_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for made in pool.map(model, range(len(levels))):
            models.append(made)
            if progress is not None:
                progress(f"Table {len(models)} of {len(levels)}: error {float(made.table.error):.1e}")
    return models


Results = tuple[Float[Array, "voltages fields 2 3"], Float[Array, "voltages fields 2"]]


def _all_runs(
    models: EffectiveLLG, fields: Float[Array, "fields 3"], start: TwoVectors, times: Array, rtol: float
) -> Results:
    """`_runs`, of a few voltages at a time where there is no GPU: what goes together waits for the slowest."""
    count = len(models.mu)
    size = count if jax.default_backend() != "cpu" else next(n for n in TOGETHER if count % n == 0)
    parts = [jax.tree.map(lambda x, k=k: x[k : k + size], models) for k in range(0, count, size)]
    run = lambda part: jax.block_until_ready(_runs(part, fields, start, times, rtol))
    first = run(parts[0])  # the others take its program
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return jax.tree.map(lambda *x: jnp.concatenate(x), first, *pool.map(run, parts[1:]))


@eqx.filter_jit
def _runs(
    models: EffectiveLLG, fields: Float[Array, "fields 3"], start: TwoVectors, times: Array, rtol: float
) -> Results:
    def one(model: EffectiveLLG, field: Vector) -> tuple[TwoVectors, Float[Array, "2"]]:
        whole = eqx.tree_at(lambda x: x.field, model, model.field + field)

        def advance(m: TwoVectors, ends: Array) -> tuple[TwoVectors, TwoVectors]:  # keeps no buffer of all times
            m = whole.solve(m, ends, rtol=rtol, atol=rtol)[-1]
            return m, m

        _, m = jax.lax.scan(advance, start, jnp.stack([times[:-1], times[1:]], 1))
        return m[-1], _switched(jnp.sum(jnp.concatenate([start[None], m]) * start, -1), times)

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(models, fields)


def _switched(along: Float[Array, "times 2"], times: Float[Array, "times"]) -> Float[Array, "2"]:
    """When each layer's component ``along`` its start first vanishes, on a straight line between two times."""
    first, layers = jnp.argmax(along < 0, 0), np.arange(2)
    before, after = along[first - 1, layers], along[first, layers]
    crossed = times[first] + (times[first] - times[first - 1]) * after / (before - after)
    return jnp.where(jnp.any(along < 0, 0), crossed, jnp.nan)
