"""Drives: valves whose parameters depend on time. A drive is a function (valve, t) -> valve.

The equations of motion stay exact for any dependence on time of all parameters but Gamma_l, T_l and the poles, which
stand in the memory of Pi_lp. The spins themselves may be given as a function of the time, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from svjax.engine.arrays import Numbers, Scalar, Spins, known, real_array, whole_number
from svjax.engine.shown import Shown
from svjax.model.parameters import set_parameters
from svjax.model.valve import QUANTITIES, SpinValve, check_spins, per_spin, prepare
from svjax.reservoirs.bias import steep, straight_lines

Drive = Callable[[SpinValve, Array], SpinValve]
SpinPath = Callable[[Array], Spins]
"""The spins as a function of the time, t -> (N_S, 3)."""


def _real(name: str) -> Callable[[Numbers], Array]:
    return lambda value: real_array(value, name)


class Envelope(Shown, eqx.Module):
    """exp(-(t - center)^2/(2 width^2)) cos(omega (t - center) + phase): a pulse, with ``width`` inf an oscillation."""

    units: ClassVar = {"center": "hbar/hopping", "width": "hbar/hopping", "omega": "hopping", "phase": "rad"}

    center: Scalar = eqx.field(converter=_real("center"), default=0.0)
    width: Scalar = eqx.field(converter=_real("width"), default=np.inf)
    omega: Scalar = eqx.field(converter=_real("omega"), default=0.0)
    phase: Scalar = eqx.field(converter=_real("phase"), default=0.0)

    def __call__(self, t: Array) -> Array:
        since = t - self.center
        return jnp.exp(-((since / self.width) ** 2) / 2) * jnp.cos(self.omega * since + self.phase)


class FieldPulse(Shown, eqx.Module):
    """A magnetic field ``amplitude`` (3,) times an `Envelope` on top of that of the valve, on all spins or a layer."""

    units: ClassVar = {"amplitude": "hopping"}

    amplitude: Float[Array, "3"] = eqx.field(converter=_real("amplitude"))
    envelope: Envelope
    layer: int | None = eqx.field(static=True)

    def __init__(self, amplitude, center=0.0, width=np.inf, omega=0.0, phase=0.0, layer=None):
        self.amplitude = amplitude
        self.envelope = Envelope(center, width, omega, phase)
        self.layer = None if layer is None else whole_number(layer, "layer")

    def __call__(self, valve: SpinValve, t: Array) -> SpinValve:
        field = valve.field + 0.0
        more = self.amplitude * self.envelope(t)
        if self.layer is not None:
            on = jnp.asarray(valve.lattice.spin_layers == self.layer)[:, None]
            field, more = per_spin(valve, "field"), jnp.where(on, more, 0)
        return eqx.tree_at(lambda v: v.field, valve, (field + more).astype(valve.dtype))


class PeierlsPulse(Shown, eqx.Module):
    """A vector potential A(t) = ``amplitude`` (3,) times an `Envelope`: A_ij -> A_ij e^(i A(t).(r_i - r_j)).

    For particles of charge one, which E = -dA/dt pushes along E; A in units of hbar per bond length. Light in the
    dipole approximation; needs the lattice's positions.
    """

    amplitude: Float[Array, "3"] = eqx.field(converter=_real("amplitude"))
    envelope: Envelope

    def __init__(self, amplitude, center=0.0, width=np.inf, omega=0.0, phase=0.0):
        self.amplitude = amplitude
        self.envelope = Envelope(center, width, omega, phase)

    def __call__(self, valve: SpinValve, t: Array) -> SpinValve:
        lattice = valve.lattice
        if not lattice.positions:
            raise ValueError("Argument `drive` with a vector potential needs a lattice with positions.")
        places = np.array(lattice.positions)
        i, j = lattice.bond_array.T
        phase = jnp.exp(1j * (places[i] - places[j]) @ (self.amplitude * self.envelope(t)))
        bonds = jnp.ones(len(i), valve.dtype) if valve.bonds is None else valve.bonds
        driven = bonds * phase.reshape(-1, *[1] * (bonds.ndim - 1))
        driven = driven.astype(jnp.result_type(valve.dtype, jnp.complex64))
        return eqx.tree_at(lambda v: v.bonds, valve, driven, is_leaf=lambda x: x is None)


class Ramp(Shown, eqx.Module):
    """The parameter ``name`` ("j_sd", "anisotropy[1]") by straight lines between ``values`` (n,) at ``times`` (n,),
    constant before and after."""

    units: ClassVar = {"times": "hbar/hopping"}

    name: str = eqx.field(static=True)
    times: Float[Array, "n"] = eqx.field(converter=_real("times"))
    values: Float[Array, "n"] = eqx.field(converter=_real("values"))

    def __check_init__(self):
        if self.times.ndim != 1 or self.times.shape != self.values.shape or not self.times.size:
            raise ValueError(f"Arguments `times` and `values` must be lists of one length, but are {self.times.shape}.")

    def __call__(self, valve: SpinValve, t: Array) -> SpinValve:
        return set_parameters(valve, None, {self.name: straight_lines(t, self.times, self.values)})[0]


def drive_breaks(drive: Drive, dt: Array) -> Float[Array, "breaks"]:
    """Times at which a drive changes faster than steps of ``dt`` follow: those of a `Ramp`, of other drives none."""
    return steep(drive.times, drive.values, dt) if isinstance(drive, Ramp) else jnp.zeros(0)


def check_drive(valve: SpinValve, drive: Drive) -> None:
    """Raise ValueError for a drive that does not return a valve on the same lattice, or that touches what it must not.

    The drive is traced, not sampled: a leaf that it must not touch has to come out as it went in.
    """
    valve = prepare(valve)
    leaves, tree = jax.tree.flatten(valve)
    found: list[Any] = []

    def outputs(leaves, t):
        driven = drive(jax.tree.unflatten(tree, leaves), t)
        if not isinstance(driven, SpinValve) or driven.lattice != valve.lattice:
            raise ValueError("Argument `drive` must return a valve on the same lattice, but does not.")
        fixed = [name for name, kind in QUANTITIES.items() if not kind.driven] + ["poles", "bands"]
        parts = {name: jax.tree.leaves(getattr(driven, name)) for name in fixed}
        found.extend((name, k) for name, part in parts.items() for k in range(len(part)))
        return [leaf for part in parts.values() for leaf in part]

    jaxpr = jax.make_jaxpr(outputs)(leaves, jnp.zeros((), valve.dtype)).jaxpr
    given = {id(variable) for variable in jaxpr.invars[: len(leaves)]}
    touched = [name for (name, _), out in zip(found, jaxpr.outvars, strict=True) if id(out) not in given]
    if touched:
        raise ValueError(f"Argument `drive` must not change `{touched[0]}`: it may not depend on time.")


def check_spin_path(valve: SpinValve, spins: SpinPath, start: Numbers, duration: float) -> None:
    """Raise ValueError unless ``spins`` gives unit vectors (N_S, 3) for every time, tried at some of a run's.

    Lengths are looked at where the times and the numbers in ``spins`` are known.
    """
    if not callable(spins):
        raise ValueError(f"Argument `spins` must be a function of the time, but is of type {type(spins).__name__}.")
    try:
        found = jax.eval_shape(lambda t: jnp.asarray(spins(t)), jnp.zeros((), valve.dtype))
    except (TypeError, jax.errors.JAXTypeError) as error:
        raise ValueError(
            "Argument `spins` must be a function of the time made of operations of jax.numpy (`jnp.where` in place of "
            f"`if`), but is not: {str(error).splitlines()[0]}"
        ) from None
    shape = (len(valve.lattice.spin_sites), 3)
    if found.shape != shape or jnp.iscomplexobj(found):
        raise ValueError(
            f"Argument `spins` must give real vectors of shape {shape}, but gives {found.dtype}{list(found.shape)}."
        )
    if known(start):
        times = np.asarray(start) + duration * np.linspace(0, 1, 65)
        for one in jax.vmap(lambda t: jnp.asarray(spins(t)))(jnp.asarray(times, valve.dtype)):
            check_spins(valve, one)
