"""Where the runs of the command line start, and what they draw at random."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax import Array

    from svjax.model.valve import SpinValve


def random_key(seed: int | None, start: str, warm: bool) -> "Array | None":
    """The key of a seed; raises ValueError where something is drawn at random without one, or nothing with one."""
    import jax

    from svjax.engine.arrays import whole_number
    from svjax.model.noise import DRAWN

    if seed is None and start in DRAWN:
        raise ValueError(f"Argument `start` needs a seed where it is {start}, such as `--seed 1`, but has none.")
    if seed is None and warm:
        raise ValueError("Argument `spin_temperature` needs a seed for its noise, such as `--seed 1`, but has none.")
    if seed is not None and not warm and start not in DRAWN:
        raise ValueError("Argument `seed` has no effect where `spin_temperature` or `damping` is 0.")
    return None if seed is None else jax.random.key(whole_number(seed, "seed"))


def initial(start: str, equilibrium: Path | None, valve: "SpinValve", key: "Array | None") -> dict[str, Any]:
    """Arguments ``spins`` or ``equilibrium`` of `three_stage` for the options --start and --equilibrium."""
    from svjax.model import noise
    from svjax.simulations import runs, starts

    if equilibrium is not None:
        if start != "aligned":
            raise ValueError("Options --start and --equilibrium exclude each other.")
        return {"equilibrium": runs.load_equilibrium(runs.open_run(equilibrium))}
    if start in noise.STARTS:
        return {"spins": noise.drawn_spins(valve, start, key)}
    if not Path(start).expanduser().is_dir():
        try:
            return {"spins": starts.load_spins(start)}
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(str(error).replace("`path`", "`start`")) from None
    earlier = runs.open_run(start)
    differing = _differing(valve, runs.load_valve(earlier), start)
    if differing:
        print(f"svjax: the valve differs from that of {start} in {', '.join(differing)}.", file=sys.stderr)
    return {"equilibrium": runs.load_state(earlier)}


def _differing(valve: "SpinValve", earlier: "SpinValve", start: str) -> list[str]:
    """Parameters in which two valves differ; raises ValueError where one cannot go on from the other's state."""
    import equinox as eqx
    import numpy as np

    from svjax.model.valve import QUANTITIES, prepare

    valve, earlier = prepare(valve), prepare(earlier)
    if valve.lattice != earlier.lattice:
        raise ValueError(f"Argument `start` must be a run on the same lattice, but that of {start} is another.")
    if not eqx.tree_equal(valve.poles, earlier.poles):
        raise ValueError(f"Argument `poles` must be those of {start}, or not given.")
    pairs = {name: (getattr(valve, name), getattr(earlier, name)) for name in QUANTITIES}
    return [name for name, (one, other) in pairs.items() if not np.array_equal(*_broadcast(one, other))]


def _broadcast(one: Any, other: Any) -> Any:
    import numpy as np

    if one is None or other is None:
        return np.asarray(one is None), np.asarray(other is None)
    return np.broadcast_arrays(one, other)


def with_poles_of(start: str, valve: "SpinValve") -> "SpinValve":
    """The valve with the poles of the run that it starts from, if it does: they are what the run's Pi belongs to."""
    import equinox as eqx

    from svjax.model import noise
    from svjax.simulations import runs

    if start in noise.STARTS or not Path(start).expanduser().is_dir():
        return valve
    return eqx.tree_at(lambda v: v.poles, valve, runs.load_valve(runs.open_run(start)).poles)
