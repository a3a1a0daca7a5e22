"""One point of a sweep by itself: whether it can be computed at all, and with all care where the batch fails."""

from jaxtyping import Array

from svjax.dynamics.modes import check_has_spins, found_modes
from svjax.dynamics.steady_state import steady_state
from svjax.dynamics.step_size import check_step
from svjax.electrons.reach import check_poles, unwarned
from svjax.electrons.stationary import stationary
from svjax.engine.methods import as_method
from svjax.model.equations import State
from svjax.model.levels import constant_levels
from svjax.model.valve import SpinValve, aligned_spins, check
from svjax.reservoirs.bias import Bias, as_bias
from svjax.sweeps.batch import largest_torque, start_spins
from svjax.sweeps.tasks import ModesTask, RunTask, SteadyTask, Task


@unwarned()
def refusal(task: Task, valve: SpinValve, bias: Bias) -> str:
    """Why a point with a valve whose leaves have their shapes cannot be computed, in words; empty if it can."""
    try:
        check(valve)
        if isinstance(task, RunTask):
            for levels in (as_bias(bias, len(valve.lattice.contacts)), as_bias(None, len(valve.lattice.contacts))):
                check_step(valve, levels, task.step, as_method(task.method))
        else:
            if isinstance(task, ModesTask):
                check_has_spins(valve)
            check_poles(valve, aligned_spins(valve), constant_levels(valve, bias), refuse=True)
    except ValueError as error:
        return str(error)
    return ""


@unwarned()
def careful_start(task: RunTask, valve: SpinValve, key: Array | None) -> State:
    """The state in which a run starts; raises ValueError or RuntimeError if there is none."""
    if task.start == "equilibrium":
        return steady_state(valve, None)
    return stationary(valve, start_spins(task, valve, key))


@unwarned()
def careful_point(task: SteadyTask | ModesTask, valve: SpinValve, bias: Bias) -> tuple[dict[str, Array], str]:
    """What ``task`` wants of one point, nan for modes that were not found, and which these are, in words.

    Raises ValueError or RuntimeError where there is no steady state.
    """
    state, missing = steady_state(valve, bias, allow_unstable=task.allow_unstable), ""
    found = task.observables(valve)(valve, state) | {"residual": largest_torque(valve, state)}
    if isinstance(task, ModesTask):
        modes, missing = found_modes(valve, state, bias, count=task.count, order=task.order)
        found["rates"] = modes.rates
    return found, missing
