"""The three stages of the paper's Sec. III B.

Stage 0: aligned spins and stationary electrons at zero bias. Stage 1, t < 0: relaxation at zero bias. Stage 2, from the
quench at t = 0 on: the bias is on. Times are step * dt from an integer step, which is negative in stage 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxtyping import Array, ArrayLike

from svjax.model.drives import Drive
from svjax.model.equations import State
from svjax.model.valve import SpinValve
from svjax.observables.by_name import Observe
from svjax.reservoirs.bias import Bias
from svjax.simulations.loop import Progress, Run, Writer, carry_out
from svjax.simulations.plan import Equilibrium, plan_three_stage


def three_stage(
    valve: SpinValve,
    bias: Bias | ArrayLike | None,
    *,
    relax: float = 1500.0,
    duration: float = 1000.0,
    dt: float | None = None,
    save_every: int | None = None,
    method: str = "etd",
    spins: ArrayLike | None = None,
    equilibrium: Equilibrium | State | None = None,
    observe: Observe | Sequence[str] | None = None,
    drive: Drive | None = None,
    key: Array | None = None,
    progress: Callable[[Progress], object] | None = None,
    writer: Writer | None = None,
) -> Run:
    """The three-stage protocol of Sec. III B: stationary electrons, relaxation at zero bias, quench to ``bias``.

    **Arguments:**

    - `bias`: as in `evolve`; its time is 0 at the quench.
    - `relax`, `duration`: of stages 1 and 2, in 1/hopping, whole numbers of steps; both may be 0.
    - `dt`, `save_every`, `method`, `observe`: as in `evolve`. Saves are counted from the quench: t = 0 is always saved.
    - `spins`: (N_S, 3) of stage 0; along the easy axes if None.
    - `equilibrium`: replaces stages 0 and 1: `run.equilibrium` of an earlier run, `prepare_equilibrium(valve)`, or a
      `State` to quench from.
    - `drive`: as in `evolve`. It acts from the quench on, on the run's time axis, as the bias does: stages 0 and 1
      know nothing of it, and the row at t = 0 is that of the valve without it.
    - `key`: as in `evolve`. The spins' bath is there from the start: stage 1 has its noise too (and with enough
      damping ends in thermal equilibrium). The noise of a step depends on the key and the step's number, which is
      negative in stage 1, so that runs from one equilibrium under other keys are an ensemble.
    - `progress`: called with a `Progress` after each segment of about 500 steps.
    - `writer`: saves each segment, for instance ``RunWriter("runs/first")``.

    **Returns:** a `Run`. Ctrl-C raises `Interrupted` (a KeyboardInterrupt) and a state that becomes non-finite
    `DivergedRun`; both carry what was saved as ``.run``.
    """
    plan = plan_three_stage(
        valve,
        bias,
        relax=relax,
        duration=duration,
        dt=dt,
        save_every=save_every,
        method=method,
        spins=spins,
        equilibrium=equilibrium,
        observe=observe,
        drive=drive,
        key=key,
    )
    return carry_out(plan, progress, writer)


def prepare_equilibrium(
    valve: SpinValve,
    *,
    relax: float = 1500.0,
    dt: float | None = None,
    save_every: int | None = None,
    method: str = "etd",
    spins: ArrayLike | None = None,
    observe: Observe | Sequence[str] | None = None,
    key: Array | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Equilibrium:
    """Stages 0 and 1 alone, with the arguments of `three_stage`, to be quenched to any number of voltages."""
    found = three_stage(
        valve,
        None,
        relax=relax,
        duration=0.0,
        dt=dt,
        save_every=save_every,
        method=method,
        spins=spins,
        observe=observe,
        key=key,
        progress=progress,
    ).equilibrium
    assert found is not None
    return found
