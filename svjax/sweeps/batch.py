"""Many points of a sweep at once: one compiled program for each thing that is done to a tile, on all local devices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, PyTree

from svjax.dynamics.eigenproblem import find_roots, linearization
from svjax.dynamics.evolve import graded_start, run_steps
from svjax.dynamics.modes import chosen_roots
from svjax.dynamics.stability import first_order_rates
from svjax.dynamics.steady_state import steady_state
from svjax.dynamics.step import Step
from svjax.dynamics.torques import is_isolated, torque_limit, unrest
from svjax.electrons.stationary import stationary, stationary_state
from svjax.engine.arrays import Numbers, Spins
from svjax.engine.methods import AbstractMethod
from svjax.model.equations import State, spins_derivative
from svjax.model.levels import constant_levels
from svjax.model.noise import drawn_spins
from svjax.model.valve import SpinValve
from svjax.observables.by_name import Observables
from svjax.reservoirs.bias import Bias, described
from svjax.simulations.plan import Quench
from svjax.sweeps.parameter_grid import SEED, with_values
from svjax.sweeps.tasks import ModesTask, RunTask, SteadyTask

Values = dict[str, Array]
"""Parameters by name, one number for each point."""
Where = dict[str, Any]
"""Where in its run a tile is, and what acts on all of its points alike."""
Point = tuple[Values, State, Array]
"""Parameters, state and number of one point."""


@dataclass(frozen=True)
class Spread:
    """How the points of a tile are spread: in equal shards over ``devices``, and ``width`` at once on each."""

    devices: tuple[Any, ...]
    width: int

    def __call__(self, function: Callable[[PyTree, PyTree], PyTree], shared: PyTree, points: PyTree) -> PyTree:
        """function(shared, point) of all points, which lead the arrays of ``points``; to be called inside ``jit``."""
        arrays, static = eqx.partition(shared, eqx.is_array)
        count = jax.tree.leaves(points)[0].shape[0]
        whole = np.minimum(np.arange(ceil(count / len(self.devices)) * len(self.devices)), count - 1)

        def shard(arrays: PyTree, points: PyTree) -> PyTree:
            each = lambda point: function(eqx.combine(arrays, static), point)
            return jax.lax.map(each, points, batch_size=self.width if self.width > 1 else None)

        split = PartitionSpec("point")
        spread = jax.shard_map(
            shard, mesh=self.mesh, in_specs=(PartitionSpec(), split), out_specs=split, check_vma=False
        )
        found = spread(arrays, jax.tree.map(lambda x: x[whole], points) if len(whole) > count else points)
        return jax.tree.map(lambda x: x[:count], found)

    @property
    def mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), ("point",))

    def place(self, points: PyTree) -> PyTree:
        """``points`` laid out over the devices in one way, whatever they come from: it belongs to the program."""
        count = jax.tree.leaves(points)[0].shape[0]
        spec = PartitionSpec() if count % len(self.devices) else PartitionSpec("point")
        return jax.device_put(points, NamedSharding(self.mesh, spec))


def spread_over(devices: tuple[Any, ...], points: int, on_cpu: int) -> Spread:
    """All points at once, but on a CPU groups of ``on_cpu``, one after the other."""
    return Spread(devices, on_cpu if devices[0].platform == "cpu" else ceil(points / len(devices)))


@eqx.filter_jit
def start_points(
    spread: Spread, task: RunTask, valve: SpinValve, bias: Bias, key: Array | None, points: PyTree
) -> tuple[State, Bool[Array, "points"]]:
    """Stage 0 of all ``points``, (values, numbers), and whether it is sound: that their electrons are unique, or that
    the steady state without bias was found and no mode of it grows."""

    def one(shared: tuple[SpinValve, Bias, Array | None], point: tuple[Values, Array]) -> tuple[State, Array]:
        valve, leads = with_values(*shared[:2], point[0])[0], len(shared[0].lattice.contacts)
        if task.start == "equilibrium":
            state = steady_state(valve, None)
            return state, is_steady(valve, None, state, allow_unstable=False)[1]
        spins = start_spins(task, valve, point_key(shared[2], *point))
        if leads:
            return stationary_state(valve, spins, jnp.zeros(leads, valve.j_sd.dtype))
        return stationary(valve, spins), jnp.array(True)

    return spread(one, (valve, bias, key), points)


def start_spins(task: RunTask, valve: SpinValve, key: Array | None) -> Spins:
    """The spins with which a run starts that does not start in equilibrium."""
    if isinstance(task.start, str):
        return drawn_spins(valve, task.start, key)
    return jnp.asarray(task.start, valve.dtype)


def point_key(key: Array | None, values: Mapping[str, Numbers], number: Array | int) -> Array | None:
    """The key of the point of that ``number``: of its own seed, or of the ``key`` of the sweep."""
    if SEED in values:
        return jax.random.key(jnp.asarray(values[SEED]).astype(jnp.uint32))
    return None if key is None else jax.random.fold_in(key, number)


@eqx.filter_jit
def quench_points(
    spread: Spread,
    method: AbstractMethod,
    observe: Observables,
    valve: SpinValve,
    bias: Bias,
    where: Where,
    points: PyTree,
) -> tuple[State, dict[str, Array]]:
    """What is observed of all ``points`` (as in `march_points`) at t = 0, and the states from which to go on: behind
    the first step where the method takes that one in parts."""

    def one(shared: tuple[SpinValve, Bias, Where], point: Point) -> tuple[State, dict[str, Array]]:
        step, state = _step(method, shared, point), point[1]
        return graded_start(step, state) if len(method.grades) > 1 else state, observe(step.valve, state)

    return spread(one, (valve, bias, where), points)


@eqx.filter_jit
def march_points(
    spread: Spread,
    method: AbstractMethod,
    observe: Observables | None,
    steps: int,
    save_every: int,
    valve: SpinValve,
    bias: Bias,
    where: Where,
    points: PyTree,
) -> tuple[State, dict[str, Array], Bool[Array, "points saves"]]:
    """All ``points`` (values, states and numbers) after further ``steps``: states, rows, and whether each row and the
    end are finite. ``where`` holds the step "dt", the number "first" of the first step, the number "done" of a step
    that is behind already, whether the bias is "on", the "drive" and the "key"."""

    def one(shared: tuple[SpinValve, Bias, Where], point: Point):
        where, step = shared[2], _step(method, shared, point)
        look = (lambda valve, state: {}) if observe is None else observe
        found, finite = run_steps(step, point[1], where["first"], where["done"], steps, save_every, look)
        return found.state, found.observables, finite

    return spread(one, (valve, bias, where), points)


def _step(method: AbstractMethod, shared: tuple[SpinValve, Bias, Where], point: Point) -> Step:
    """The step of one point."""
    valve, bias = with_values(*shared[:2], point[0])
    where = shared[2]
    key = point_key(where["key"], point[0], point[2])
    return Step(valve, Quench(described(bias), where["on"]), where["dt"], method, drive=where["drive"], key=key)


@eqx.filter_jit
def steady_points(
    spread: Spread, task: SteadyTask | ModesTask, valve: SpinValve, bias: Bias, values: Values
) -> tuple[dict[str, Array], Bool[Array, "points"]]:
    """What ``task`` wants of all points, and whether it was found."""

    def one(shared: tuple[SpinValve, Bias], values: Values) -> tuple[dict[str, Array], Array]:
        return steady_point(task, *with_values(*shared, values))

    return spread(one, (valve, bias), values)


def steady_point(task: SteadyTask | ModesTask, valve: SpinValve, bias: Bias) -> tuple[dict[str, Array], Array]:
    """What ``task`` wants of one point, for traced parameters, and whether it was found."""
    state = steady_state(valve, bias, allow_unstable=True)
    residual, good = is_steady(valve, bias, state, task.allow_unstable)
    found = task.observables(valve)(valve, state) | {"residual": residual}
    if isinstance(task, ModesTask) and len(state.spins):
        problem = linearization(valve, state, constant_levels(valve, bias))
        roots, chosen, wrong = chosen_roots(problem, task.count, task.order, find_roots)
        found["rates"], good = roots.rates[chosen], good & ~jnp.any(wrong)
    return found, good


def is_steady(valve: SpinValve, bias: Bias | None, state: State, allow_unstable: bool) -> tuple[Array, Array]:
    """max |S x B| of a state, and whether it is clearly steady and isolated, in a sound eigenbasis, and none of its
    modes grows.

    Where it is not clear, `steady_state` will say so.
    """
    residual, mu = largest_torque(valve, state), constant_levels(valve, bias)
    good = (residual <= 10 * torque_limit(valve.dtype)) & (unrest(valve, state, mu) <= torque_limit(valve.dtype))
    if len(state.spins):
        problem = linearization(valve, state, mu)
        stiff = problem.static_stiffness()
        good &= problem.basis.sound & is_isolated(stiff)
        good &= allow_unstable | jnp.all(first_order_rates(problem, stiff).real <= 0)
    return residual, good


def largest_torque(valve: SpinValve, state: State) -> Array:
    """max |S x B|, in units of the hopping."""
    return jnp.max(jnp.linalg.norm(spins_derivative(valve, state), axis=-1), initial=0.0)
