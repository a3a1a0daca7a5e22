"""What `svjax sweep` can be told: the options of a valve, any of which may be a range, and what to do with them."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from svjax.cli.options import Count, Method, ShapeOptions, ValveOptions
from svjax.cli.parameters import OPTIONS, rank, texts, with_parameters
from svjax.cli.starting import random_key
from svjax.cli.words import numbers, unused_name

if TYPE_CHECKING:
    from svjax.model.valve import SpinValve
    from svjax.reservoirs.bias import VoltageDrop
    from svjax.sweeps.tasks import Task

OF_RUNS = ("start", "relax", "duration", "dt", "method", "save_every", "observe", "last_state", "seed")
WITHOUT_EFFECT = {"run": ("modes", "allow_unstable"), "steady": (*OF_RUNS, "modes"), "modes": OF_RUNS}
"""Options that a task does not look at."""


@dataclass(frozen=True)
class SweepOptions(with_parameters("Ranges", ShapeOptions, words=True)):
    """Run many valves: every number may be a range.

    Ranges are first:last:count (--voltage 0:8:65) or lists (--j-sd 2,3); all their combinations are computed, in
    batches and on all devices, and saved to one dataset. A sweep that was stopped goes on with `svjax resume`. A range
    that starts below zero needs an equals sign (--voltage=-1:1:5). Every option is also a key of the TOML file.
    """

    poles: Count = 8
    """Poles of the Fermi function, N_P [number]; auto chooses optimized ones for temperatures, levels and voltages."""
    pole_kind: Literal["pade", "matsubara", "optimized"] = "optimized"
    """Kind of the poles."""

    voltage: str = "1"
    """Voltage, from the quench on, V [gamma/e]."""
    drop: Literal["symmetric", "asymmetric"] = "symmetric"
    """Levels of the leads: V/2 and -V/2 (symmetric), or V and 0 (asymmetric)."""
    zipped: bool = False
    """Take the first of all ranges together, then the second, instead of all combinations."""

    task: Literal["run", "steady", "modes"] = "run"
    """At every point a run, the steady state, or the steady state and its relaxation modes."""
    start: str = "equilibrium"
    """Runs start from equilibrium, the steady state without voltage; or from spins: aligned, random, thermal (at the
    spin temperature), those of a file with x y z of each, or the last ones of a run."""
    relax: float = 0.0
    """Time at zero bias before the quench, from spins that are not in equilibrium [hbar/gamma]."""
    duration: float = 1000.0
    """Time of the runs after the quench [hbar/gamma]."""
    dt: float | None = None
    """Time step; as long as all valves and biases allow if not given [hbar/gamma]."""
    method: Method = "etd"
    """etd: exponential steps, which follow any poles. magnus: exact electrons in steps two to three times as long, at a
    constant bias. rk38: the paper's Runge-Kutta method, with steps of 0.02."""
    save_every: int | None = None
    """Steps between saves; about every 0.5 hbar/gamma if not given [steps]."""
    observe: tuple[str, ...] = ()
    """What to save of runs, such as magnetization spins energy; magnetisations and currents if not given."""
    seed: str | None = None
    """Of random starts, and of the noise that spins with a damping have at a spin temperature: one, from which each
    point has its own, or a range, --seed 1:16:16 for an ensemble [number]."""
    last_state: bool = False
    """Keep the last state of every run."""
    modes: int = 4
    """Relaxation modes to find at each point [number]."""
    allow_unstable: bool = False
    """Keep steady states of which a mode grows."""

    batch: int | None = None
    """Points that are computed at once; chosen by the memory if not given [number]."""
    coordinator: str | None = None
    """Address host:port of process 0, where several processes share a sweep without SLURM."""
    rank: int | None = None
    """Number of this process, from 0 on."""
    processes: int | None = None
    """Number of all processes."""
    out: Path | None = None
    """Folder for the results; a new one in runs/ if not given."""
    overwrite: bool = False
    """Replace the sweep that the folder holds."""

    def valve(self) -> "SpinValve":
        """The valve of these options, with the first number of every range."""
        import equinox as eqx
        import jax.numpy as jnp

        from svjax.electrons import reach
        from svjax.sweeps import parameter_grid, sweep_plan

        given = {option.name: getattr(self, option.name) for option in fields(ShapeOptions)}
        given |= {name: _first(name, getattr(self, name)) for name in OPTIONS}
        built = ValveOptions(**given).valve()
        if self.poles == "auto":
            grid = parameter_grid.make_grid(built, self.bias(), self.grid(), self.zipped, seeds=True)
            corners = sweep_plan.corners(built, self.bias(), grid)
            levels = ((point, mu) for point, several in corners for mu in several)
            chosen = reach.poles_reaching([(built, jnp.zeros(2)), *levels])
            built = eqx.tree_at(lambda v: v.poles, built, chosen)
        return built

    def bias(self) -> "VoltageDrop":
        """The voltage drop of these options, with the first voltage."""
        from svjax.reservoirs import bias

        voltage = numbers("voltage", self.voltage)[0]
        return getattr(bias, self.drop)(voltage)

    def grid(self) -> dict[str, list[float]]:
        """The options that are ranges: parameters and their values."""
        words = {}
        for name in OPTIONS:
            words |= (mine := texts(name, getattr(self, name)))
            several, vector = rank(OPTIONS[name])
            if several and not vector and len(mine) == 1 and mine[name].count(",") == 1:
                first, second = mine[name].split(",")
                raise ValueError(
                    f"Argument `{name}` must be `{first} {second}` for a value each or `{first}:{second}:2` for two "
                    f"points of a sweep, but is {mine[name]!r}, which could be either."
                )
        words["voltage"] = self.voltage
        if self.seed is not None:
            words["seed"] = self.seed
        found = {name: values for name, text in words.items() if len(values := numbers(name, text)) > 1}
        if not found:
            raise ValueError("At least one number must be a range, such as --voltage 0:8:65, but none is.")
        return found

    def what(self) -> "Task":
        """The task of these options."""
        from svjax.engine.arrays import whole_number
        from svjax.model.noise import STARTS
        from svjax.simulations import starts
        from svjax.sweeps import tasks

        for option in fields(self):
            if option.name in WITHOUT_EFFECT[self.task] and getattr(self, option.name) != option.default:
                word = option.name.replace("_", "-")
                raise ValueError(f"Option --{word} has no effect with --task {self.task}.")
        whole_number(self.modes, "modes", 1)
        seeds = [] if self.seed is None else _whole("seed", self.seed)
        key = random_key(seeds[0] if seeds else None, self.start, self._is_warm()) if self.task == "run" else None
        if self.task == "steady":
            return tasks.SteadyTask(self.allow_unstable)
        if self.task == "modes":
            return tasks.ModesTask(self.modes, allow_unstable=self.allow_unstable)
        return tasks.RunTask(
            self.duration,
            self.dt,
            self.method,
            self.save_every,
            self.observe or None,
            self.start if self.start in ("equilibrium", *STARTS) else starts.load_spins(self.start),
            self.relax,
            self.last_state,
            key=None if len(seeds) > 1 else key,
        )

    def _is_warm(self) -> bool:
        """Whether spins of some point have thermal noise."""
        words = {**texts("spin_temperature", self.spin_temperature), **texts("damping", self.damping)}
        largest = {name.split("[")[0]: max(numbers(name, text)) for name, text in words.items()}
        return min(largest.values()) > 0

    def folder(self) -> Path:
        """Where the sweep goes: `out`, or a name made of what is swept that is still free."""
        axes = "-".join(self.grid())
        label = f"{self.length}x{self.width}" if self.lattice is None else self.lattice.stem
        return self.out or unused_name(f"{label}-{self.task}-{axes}", self.overwrite)


def _whole(name: str, text: str) -> list[int]:
    """The numbers of an option that counts."""
    found = numbers(name, text)
    if not all(math.isfinite(number) and number == int(number) >= 0 for number in found):
        raise ValueError(f"Argument `{name}` must be whole numbers of at least 0, but is {text}.")
    return [int(number) for number in found]


def _first(name: str, value: Any) -> Any:
    """The first number of every range of an option."""
    if isinstance(value, tuple):
        return tuple(_first(name, part) for part in value)
    return value if value is None else numbers(name, value)[0]
