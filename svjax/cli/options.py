"""What `svjax run` can be told: one dataclass whose fields are the options and the keys of a TOML file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from svjax.cli.parameters import OPTIONS, Vector, rank, with_parameters
from svjax.cli.words import Count, numbers, unused_name

if TYPE_CHECKING:
    from svjax.model.valve import SpinValve
    from svjax.reservoirs.bias import VoltageDrop
    from svjax.reservoirs.poles import Poles


Method = Literal["rk38", "etd", "magnus"]

STRIP = ("length", "width", "pinned", "free", "buffer")
"""The options that only a strip has."""


@dataclass(frozen=True)
class ShapeOptions:
    """The strip, and how the Fermi functions of its leads are expanded: all that is no number of the physics."""

    config: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TOML]")] = None
    """A TOML file with any of the options below."""

    lattice: Path | None = None
    """A lattice file with a geometry of one's own, in place of the strip (see `load_lattice`); its levels stay unless
    mu_bar is given, and anisotropies and axes not given are zero and z unless it has two layers."""
    length: int = 12
    """Columns of the strip, from lead to lead [sites]."""
    width: int = 4
    """Rows of the strip [sites]."""
    pinned: int = 4
    """Columns of the pinned layer [sites]."""
    free: int = 4
    """Columns of the free layer [sites]."""
    buffer: int = 0
    """Columns of plain metal between each lead and its layer [sites]."""
    easy_axes: tuple[Vector, ...] = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    """Easy axes of the pinned and the free layer, x y z each [directions]."""
    poles: Count = "auto"
    """Poles of the Fermi function, N_P [number]; auto chooses optimized ones for temperature, levels and voltage."""
    pole_kind: Literal["pade", "matsubara", "optimized"] = "optimized"
    """Kind of the poles; 8 optimized ones are as good as 50 of Pade. The paper's are 30 of pade."""


@dataclass(frozen=True)
class ValveOptions(with_parameters("Parameters", ShapeOptions, words=False)):
    """The valve on the strip or on a lattice of one's own."""

    def valve(self) -> "SpinValve":
        """The valve of these options."""
        import equinox as eqx
        import jax.numpy as jnp

        from svjax.electrons import reach
        from svjax.lattices import geometries
        from svjax.model import valve
        from svjax.storage import lattice_file

        if self.lattice is None:
            shape = self.length, self.width, self.pinned, self.free
            geometries.square(*shape, buffer=self.buffer)
            layers = (self.pinned > 0) + (self.free > 0)
            physics = self._physics({"layers": layers, "leads": 2})
            built = valve.SpinValve.square(*shape, buffer=self.buffer, **physics, poles=self._expansion())
        else:
            for name in STRIP:
                if getattr(self, name) != self._default(name):
                    raise ValueError(f"Option --{name} has no effect with --lattice.")
            bare = lattice_file.load_lattice(self.lattice)
            physics = self._physics(bare.lattice.sizes)
            built = lattice_file.load_lattice(self.lattice, **physics, poles=self._expansion())
        if self.poles == "auto" and len(built.lattice.contacts) == 2:
            levels = [drop(jnp.zeros(())) for drop in self.drops()]
            if any(reach.bound_of_pole_error(built, mu) > reach.TOLERANCE for mu in levels):
                chosen = reach.poles_reaching((built, mu) for mu in levels)
                built = eqx.tree_at(lambda v: v.poles, built, chosen)
        return built

    def _physics(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """The parameters, one value or one for each of what there is; those of the paper's two layers only for two."""
        counts = {name: sizes[str(kind.shapes[0][0])] for name, kind in OPTIONS.items() if rank(kind)[0]}
        physics = {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}
        for name, count in (counts | {"easy_axes": sizes["layers"]}).items():
            value = getattr(self, name)
            if self.lattice is not None and len(value) > count and value == self._default(name):
                physics.pop(name, None)
                continue
            if len(value) not in (1, count):
                raise ValueError(f"Argument `{name}` must be one value or {count} of them, but has {len(value)}.")
            physics[name] = value[0] if len(value) == 1 else value
        return physics

    def _default(self, name: str) -> Any:
        return next(option.default for option in fields(self) if option.name == name)

    def label(self) -> str:
        """The geometry in a name of a folder."""
        return f"{self.length}x{self.width}" if self.lattice is None else self.lattice.stem

    def drops(self) -> "list[VoltageDrop]":
        """The voltage drops between which those of these options lie."""
        return []

    def _expansion(self) -> "Poles | str":
        from svjax.reservoirs import poles

        kinds = {"pade": poles.pade_poles, "matsubara": poles.matsubara_poles, "optimized": poles.optimized_poles}
        if self.poles == "auto":
            return "auto"
        try:
            return kinds[self.pole_kind](self.poles)
        except ValueError as error:
            raise ValueError(str(error).replace("`n`", "`poles`")) from None


@dataclass(frozen=True)
class RunOptions(ValveOptions):
    """Run a spin valve through the three stages of its protocol and keep the run.

    Aligned spins (stage 0), relaxation at zero bias (stage 1), quench to a voltage (stage 2). Without options it is the
    valve of the paper's Sec. III B. Energies are in units of the hopping gamma, times in hbar/gamma. Every option is
    also a key of the TOML file (j_sd = 6.0); options given here win.
    """

    voltage: float = 1.0
    """Voltage from the quench on, V [gamma/e]."""
    drop: Literal["symmetric", "asymmetric"] = "symmetric"
    """Levels of the leads: V/2 and -V/2 (symmetric), or V and 0 (asymmetric)."""

    relax: float = 1500.0
    """Time at zero bias before the quench, stage 1 [hbar/gamma]."""
    duration: float = 1000.0
    """Time after the quench, stage 2 [hbar/gamma]."""
    dt: float | None = None
    """Time step; as long as the valve and the bias allow if not given [hbar/gamma]."""
    method: Method = "etd"
    """etd: exponential steps, which follow any poles. magnus: exact electrons in steps two to three times as long, at a
    constant bias. rk38: the paper's Runge-Kutta method, with steps of 0.02."""
    save_every: int | None = None
    """Steps between saves; about every 0.5 hbar/gamma if not given [steps]."""
    observe: tuple[str, ...] = ()
    """What to save, such as magnetization spins energy; magnetisations and currents if not given."""
    seed: int | None = None
    """Of random starts, and of the noise that spins with a damping have at a spin temperature [number]."""
    start: str = "aligned"
    """Spins of stage 0: aligned, random, thermal (at the spin temperature), or a file with x y z of each; or a run,
    from whose last state this one goes on."""
    equilibrium: Path | None = None
    """A run of the same valve whose stages 0 and 1 are taken instead of computing them."""
    out: Path | None = None
    """Folder for the run and its pictures; a new one in runs/ if not given."""
    overwrite: bool = False
    """Replace the run that the folder holds."""

    def bias(self) -> "VoltageDrop":
        """The voltage drop of these options."""
        from svjax.reservoirs import bias

        if not math.isfinite(self.voltage):
            raise ValueError(f"Argument `voltage` must be finite, but is {self.voltage}.")
        return getattr(bias, self.drop)(self.voltage)

    def valve(self) -> "SpinValve":
        """The valve of these options; with the poles of the run that it goes on from, unless others are given."""
        from svjax.cli import starting

        return starting.with_poles_of(self.start, super().valve()) if self.poles == "auto" else super().valve()

    def drops(self) -> "list[VoltageDrop]":
        return [self.bias()]

    def folder(self) -> Path:
        """Where the run goes: `out`, or a name made of the main parameters that is still free."""
        return self.out or unused_name(f"{self.label()}-jsd{self.j_sd:g}-{self.drop}-V{self.voltage:g}", self.overwrite)


@dataclass(frozen=True)
class VoltagesOptions(ValveOptions):
    """A valve at several voltages."""

    voltage: str = "0:8:33"
    """Voltages, first:last:count or a list 0,0.5,1 [gamma/e]."""
    drop: Literal["symmetric", "asymmetric"] = "symmetric"
    """Levels of the leads: V/2 and -V/2 (symmetric), or V and 0 (asymmetric)."""

    def voltages(self) -> list[float]:
        """The voltages of these options."""
        return numbers("voltage", self.voltage)

    def drops(self) -> "list[VoltageDrop]":
        from svjax.reservoirs import bias

        return [getattr(bias, self.drop)(end(self.voltages())) for end in (min, max)]


@dataclass(frozen=True)
class SteadyOptions(VoltagesOptions):
    """Solve for the steady states of a valve along a range of voltages, in their order, and for how fast they relax.

    Magnetisations, currents, torques and relaxation times, without any run. Units and TOML file as for `svjax run`.
    """

    modes: int = 4
    """Relaxation modes to find at each voltage [number]."""
    out: Path | None = None
    """Folder for the dataset and its picture; a new one in runs/ if not given."""
    overwrite: bool = False
    """Replace the curve that the folder holds."""

    def folder(self) -> Path:
        """Where the curve goes: `out`, or a name made of the main parameters that is still free."""
        return self.out or unused_name(f"{self.label()}-jsd{self.j_sd:g}-{self.drop}-steady", self.overwrite)
