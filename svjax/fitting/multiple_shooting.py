"""Long horizons: how fast derivatives of a trace grow, and multiple shooting, which bounds that growth.

A trace is cut into segments, each with a start of its own, s_k; what the end of one misses of the start of the next,
the defect d_k = end_k - s_(k+1), is closed together with the fit. Every iteration carries along each segment the
derivatives S_k = ds_k/du and the correction D_k that closes the defects to first order,

    S_(k+1) = (d end_k/d s) S_k + d end_k/du,        D_(k+1) = (d end_k/d s) D_k + d_k,        D_0 = 0,

and solves the linear least squares of residual + (d residual/d s) D + J du for the step in u alone, however many
numbers a state has (Bock's condensing). At its end all defects vanish: it is a run of one valve from its true start.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from svjax.electrons.stationary import stationary
from svjax.engine.least_squares import Report, along
from svjax.fitting.targets import Trace, weighted
from svjax.model.equations import State
from svjax.model.valve import SpinValve
from svjax.reservoirs.bias import as_bias

CHAOTIC = 1e3
"""Derivatives that grow exponentially by more than this over a trace are called so."""


def growth_rate(t: np.ndarray, jacobian: np.ndarray) -> float:
    """The rate with which derivatives (T, ..., n) of a trace grow exponentially, or 0 where they do not.

    Their largest norms in eight windows are compared with e^(rate t) and with a power of t, as which the derivatives of
    a regular motion grow. Not finite derivatives have grown at an infinite rate.
    """
    norms = np.linalg.norm(np.asarray(jacobian).reshape(len(t), -1), axis=1)
    if not np.all(np.isfinite(norms)):
        return np.inf
    if len(t) < 16 or not np.any(norms):
        return 0.0
    windows = np.array_split(np.arange(len(t)), 8)
    middle = np.array([t[w].mean() for w in windows])
    heights = np.log([max(norms[w].max(), np.finfo(float).tiny) for w in windows])
    (rate, _), exponential = _line(middle, heights)
    power = _line(np.log(middle), heights)[1]
    return float(rate) if exponential < power and rate * (t[-1] - t[0]) > np.log(CHAOTIC) else 0.0


def _line(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    line, rest = np.polyfit(x, y, 1, full=True)[:2]
    return line, float(np.sum(rest))


def check_segments(trace: Trace) -> None:
    """Raise a ValueError where a trace cannot be cut into its segments."""
    n = trace.segments
    if n != int(n) or n < 1 or len(trace.t) % n:
        raise ValueError(f"Argument `segments` must divide the {len(trace.t)} times of the trace, but is {n}.")
    if n > 1 and not np.array_equal(trace.steps, trace.stride * np.arange(1, len(trace.t) + 1)):
        raise ValueError("Argument `t` must be evenly spaced from its spacing on for `segments`, but is not.")


def shoot(
    trace: Trace,
    model: Callable[[Array], tuple[SpinValve, object]],
    prior: Callable[[Array], Array],
    u: Array,
    report: Report,
    most: int = 30,
) -> Array:
    """u from multiple shooting of one trace under ``model`` (u -> valve, bias), for a polish to start from.

    The first starts of the segments come from the data where these are whole magnetisations, and else from the run at
    ``u``. Starts from the data are kept, their segments fitted on their own, until u comes to rest; then the defects
    are closed. Steps in u of more than a half are shortened, the corrections of the states with them.
    """
    states = _first_starts(trace, *model(u))
    sweep = eqx.filter_jit(partial(_sweep, trace, model))
    closed, good = jnp.zeros(()) if _whole(trace) else jnp.ones(()), u
    for number in range(1, most + 1):
        residuals, jacobian, corrections, defect = sweep(u, states, closed)
        known, slope = prior(u), jax.jacfwd(prior)(u)
        rows, values = np.concatenate([jacobian, slope]), np.concatenate([residuals, known])
        if not np.all(np.isfinite(rows)) or not np.all(np.isfinite(values)):
            return good
        good = u
        step = np.linalg.lstsq(rows, -values, rcond=1e-10)[0]
        length = min(1.0, 0.5 / max(np.abs(step).max(), 1e-300))
        u = u + length * step
        states = _moved(states, corrections, length * np.append(step, 1.0))
        report("shooting", number, float(values @ values) / 2, np.asarray(u))
        if closed and np.abs(step).max() < 1e-4 and float(defect) < 1e-4:
            break
        if np.abs(step).max() < 0.02 or number == most // 2:
            closed = jnp.ones(())
    return u


def _moved(states: State, corrections: State, lengths: np.ndarray) -> State:
    """States with multiples of their tangents (segments - 1, n + 1, ...) added, the spins again of length one."""
    states = jax.tree.map(lambda s, d: s + jnp.tensordot(lengths, d, (0, 1)), states, corrections)
    spins = states.spins / jnp.linalg.norm(states.spins, axis=-1, keepdims=True)
    return eqx.tree_at(lambda s: s.spins, states, spins)


def _sweep(trace: Trace, model, u: Array, states: State, closed: Array) -> tuple[Array, Array, State, Array]:
    """Residuals with the defects closed to first order, their derivatives, the tangents (S, D) of the segments' starts
    but the first, (segments - 1, n + 1, ...), and the largest defect of a spin. With ``closed`` = 0 instead of 1 the
    segments are left on their own: no tangents at their starts."""
    n, count = len(u), trace.segments
    steps = trace.stride * (len(trace.t) // count)
    turns = jnp.concatenate([jnp.eye(n), jnp.zeros((1, n))])
    first = lambda u: trace.first_state(model(u)[0])
    start, tangents = along(lambda du: jax.jvp(first, (u,), (du,)), turns)
    starts = jax.tree.map(lambda one, rest: jnp.concatenate([one[None], rest]), start, states)
    nexts = jax.tree.map(lambda rest: jnp.concatenate([rest, jnp.zeros_like(rest[:1])]), states)

    def one(tangents, segment):
        number, state, following = segment

        def run(u, state):
            valve, bias = model(u)
            found = trace.run(valve, bias, state, number * steps, steps)
            return found.state, found.observables["fitted"]

        move = lambda du, ds: jax.jvp(run, (u, state), (du, ds))
        (end, seen), (tangents, slopes) = along(move, turns, tangents)
        defect = jax.tree.map(jnp.subtract, end, following)
        tangents = jax.tree.map(lambda t, d: closed * t.at[-1].add(d), tangents, defect)
        return tangents, (seen + slopes[-1], slopes[:-1], tangents, jnp.max(jnp.abs(defect.spins)))

    numbers = jnp.arange(count)
    seen, slopes, corrections, defects = jax.lax.scan(one, tangents, (numbers, starts, nexts))[1]
    residuals = weighted(seen.reshape(trace.values.shape), trace)
    moved = jnp.moveaxis(slopes, 1, 0).reshape(n, *trace.values.shape)
    jacobian = jax.vmap(lambda slope: weighted(slope + trace.values, trace).ravel())(moved).T
    return residuals.ravel(), jacobian, jax.tree.map(lambda c: c[:-1], corrections), jnp.max(defects[:-1], initial=0.0)


def _first_starts(trace: Trace, valve: SpinValve, bias) -> State:
    """The states (segments - 1, ...) with which the segments but the first begin."""
    start = trace.first_state(valve)
    each = len(trace.t) // trace.segments
    cuts = each * np.arange(1, trace.segments)
    if _whole(trace):
        states = [_from_data(trace, valve, bias, start, int(k) - 1) for k in cuts]
    else:
        states = []
        for k in cuts:
            start = trace.run(valve, bias, start, int(trace.steps[k - each] - trace.stride), each * trace.stride).state
            states.append(start)
    return jax.tree.map(lambda *parts: jnp.stack(parts), *states)


def _whole(trace: Trace) -> bool:
    """Whether the data are whole magnetisations, with which segments can begin."""
    return trace.observable == "magnetization"


def _from_data(trace: Trace, valve: SpinValve, bias, start: State, k: int) -> State:
    """Each layer turned, as one, from its direction at the start to that of datum k; the electrons at rest."""
    layers, spins = valve.lattice.spin_layers, np.asarray(start.spins)
    sums = np.stack([spins[layers == layer].sum(0) for layer in range(len(valve.lattice.layers))])
    before, after = (part / np.linalg.norm(part, axis=-1, keepdims=True) for part in (sums, trace.values[k]))
    spins = np.stack([_turned(s, before[n], after[n]) for s, n in zip(spins, layers, strict=True)])
    if not valve.lattice.contacts:
        return stationary(valve, spins)
    of_time = as_bias(trace.bias if trace.bias is not None else bias, len(valve.lattice.contacts))
    return stationary(valve, spins, of_time(jnp.asarray(trace.t[k])))


def _turned(vector: np.ndarray, start: np.ndarray, end: np.ndarray) -> Float[np.ndarray, "3"]:
    """A vector under the shortest turn from one direction to another."""
    axis, cosine = np.cross(start, end), max(start @ end, -1 + 1e-6)
    turned = vector + np.cross(axis, vector) + np.cross(axis, np.cross(axis, vector)) / (1 + cosine)
    return turned / np.linalg.norm(turned)
