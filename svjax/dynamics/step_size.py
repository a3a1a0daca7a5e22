"""How long a step may be: whole steps of a duration, the stability limit of a method, and a step to start with."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from svjax.engine.arrays import Numbers, host_array, known
from svjax.engine.methods import AbstractMethod, as_method
from svjax.model.extended import extended
from svjax.model.hamiltonian import hopping_reach
from svjax.model.leads import broadening
from svjax.model.valve import SpinValve, lead_poles, per_spin, prepare
from svjax.reservoirs.bias import Bias, as_bias, described

COARSE = 2.2
"""How much longer than an accurate step one may be without a warning."""
SPIN_LOSS = 1e-7
"""What a spin that precesses at a right angle to its field may lose of its length per unit of time in `suggest_dt`: the
classic methods shorten it by (omega dt)^6/144 in each step."""


def whole_steps(duration: float, dt: float, argument: str = "duration") -> int:
    """duration / dt, which must be a whole number of steps; ``argument`` is the name of the duration in errors."""
    for name, value in {argument: duration, "dt": dt}.items():
        if np.ndim(host_array(value, name)):
            raise ValueError(f"Argument `{name}` must be one number, but has shape {np.shape(value)}.")
        if not np.isfinite(value) or value < 0 or (name == "dt" and value == 0):
            raise ValueError(f"Argument `{name}` must be a positive number, but is {value}.")
    duration, dt = float(duration), float(dt)
    steps = round(duration / dt)
    if abs(steps * dt - duration) > 1e-9 * max(duration, dt):
        raise ValueError(
            f"Argument `{argument}` must be a whole number of steps of dt = {dt:g}, but is {duration:g} "
            f"(nearest: {steps * dt:.10g})."
        )
    return steps


def default_dt(valve: SpinValve, bias: Bias | Numbers | None, method: str, *durations: float) -> float:
    """The longest step not beyond `suggest_dt` of which all ``durations`` are whole numbers; of a `prepare`d valve."""
    leaves = jax.tree.leaves((valve, bias))
    if not known(*leaves):
        raise ValueError("Argument `dt` must be given inside of jit, grad or vmap, where none can be chosen.")
    most = rates(valve, bias).suggested(as_method(method))
    for name, value in zip(("duration", "relax"), durations, strict=False):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"Argument `{name}` must be a positive number, but is {value}.")
    exact = [Fraction(repr(float(value))) for value in durations if value]
    if not exact:
        return most
    below = math.lcm(*(part.denominator for part in exact))
    common = math.gcd(*(int(part * below) for part in exact)) / below
    return common / math.ceil(common / most * (1 - 1e-9))


def stability_limit(valve: SpinValve, bias: Bias | Numbers | None = None, method: str = "rk38") -> float:
    """The longest stable step, from bounds on the eigenvalues of the equations of rho, Pi and the spins.

    Pi_lp decays with xi_p/beta_l + i (H - mu_l), rho turns with differences of levels, which lie within Gershgorin's
    bound, and spins precess at twice their largest field at most. mu_l is taken at all times. Beyond the limit the
    amplification factor of one of them exceeds one. The exponential method takes the decay exactly, and without it the
    poles set no limit.
    """
    return rates(prepare(valve), bias).stable(as_method(method))


def suggest_dt(valve: SpinValve, bias: Bias | Numbers | None = None, method: str = "rk38") -> float:
    """A step, in 1/hopping, that keeps the error of a run near 1e-5, rounded down to 1, 2, 2.5 or 5 times 10^n.

    At most one radian of the fastest turning of rho and Pi per step (2.5 for "magnus"), a loss of `SPIN_LOSS` by the
    spins' uniform precession, and 0.8 of `stability_limit`.
    """
    return rates(prepare(valve), bias).suggested(as_method(method))


@dataclass(frozen=True)
class Rates:
    """Bounds on how fast everything moves in a run, in hopping/hbar.

    Levels of the ``electrons`` lie no further from those of the sites; Pi of each lead turns with ``turning`` and
    decays with ``decays``, rho with ``broadening`` at most; a spin precesses in a ``field``, all of them together with
    ``uniform``.
    """

    electrons: float
    turning: tuple[float, ...]
    decays: tuple[float, ...]
    broadening: float
    field: float
    uniform: float

    def stable(self, rule: AbstractMethod) -> float:
        """`stability_limit`."""
        steps = [rule.longest_step(2j * self.electrons), rule.longest_spin_step(2 * self.field)]
        steps += [rule.longest_step(1j * turn, decay) for turn, decay in zip(self.turning, self.decays, strict=True)]
        return min(steps + [rule.longest_step(-self.broadening)] * bool(self.turning))

    def accurate(self, rule: AbstractMethod) -> dict[str, float]:
        """The steps in which the electrons turn by as much as ``rule`` follows, the levels of the leads against those
        of the valve, too, and the spins lose `SPIN_LOSS`."""
        turns = {"electrons": 2 * self.electrons, "levels of the leads": max(self.turning, default=0.0)}
        found = {name: rule.radians / rate for name, rate in turns.items() if rate}
        spins = rule.spin_steps * (144 * SPIN_LOSS / self.uniform) ** 0.2 / self.uniform if self.uniform else 0.0
        return found | ({"spins": spins} if self.uniform else {})

    def suggested(self, rule: AbstractMethod) -> float:
        """`suggest_dt`."""
        most = min(0.8 * self.stable(rule), 1.0, *self.accurate(rule).values())
        power = 10.0 ** np.floor(np.log10(most))
        return float(f"{max(digit for digit in (1, 2, 2.5, 5) if digit * power <= most * (1 + 1e-9)) * power:.2g}")


def rates(valve: SpinValve, bias: Bias | Numbers | None) -> Rates:
    """Those of a valve that is `prepare`d, with the sites of its leads' bands, whose levels move with those of the
    leads."""
    leads = len(valve.lattice.contacts)
    valve = extended(valve, jnp.zeros(leads, valve.dtype))
    pairs = zip(lead_poles(valve), valve.temperature, strict=True) if leads else ()
    uniform = np.linalg.norm(per_spin(valve, "field"), axis=-1) + 2 * np.abs(per_spin(valve, "anisotropy"))
    return Rates(
        electrons=_reach(valve),
        turning=tuple(_turning(valve, bias)) if leads else (),
        decays=tuple(float(np.max(poles.xi)) * float(temperature) for poles, temperature in pairs),
        broadening=float(np.max(np.linalg.norm(np.asarray(broadening(valve)), 2, axis=(1, 2)))) if leads else 0.0,
        field=_largest_field(valve),
        uniform=float(np.max(uniform, initial=0.0)),
    )


def _reach(valve: SpinValve) -> float:
    """No level lies further from those of the sites."""
    return hopping_reach(valve) + float(np.max(np.abs(valve.j_sd), initial=0.0)) / 2


def _turning(valve: SpinValve, bias: Bias | Numbers | None) -> list[float]:
    """The largest |level - mu_l| at any time, for each lead."""
    levels = np.asarray(described(as_bias(bias, len(valve.lattice.contacts))).extremes())
    levels = levels[np.isfinite(levels).all(1)]  # a level that is lost makes a run diverge, which says so
    sites = np.asarray(valve.mu_bar).reshape(-1, 1, 1)
    return (_reach(valve) + np.abs(sites - levels).max((0, 1))).tolist()


def _largest_field(valve: SpinValve) -> float:
    """A bound on |B_j|: of every term of `spin_energy` the largest field of one spin, and J_sd/2 of an electron."""
    lattice, spins = valve.lattice, len(valve.lattice.spin_sites)
    if not spins:
        return 0.0
    field = np.linalg.norm(per_spin(valve, "field"), axis=-1) + 2 * np.abs(per_spin(valve, "anisotropy"))
    field = field + np.abs(per_spin(valve, "j_sd")) / 2
    field = field + np.abs(float(valve.j_ex)) * np.asarray(lattice.spin_neighbours(jnp.ones((spins, 1))))[:, 0]
    if valve.spin_bonds is not None:
        bonds = np.asarray(valve.spin_bonds)
        size = np.abs(bonds) if bonds.ndim == 1 else np.linalg.norm(bonds, 2, axis=(1, 2))
        field = field + np.bincount(lattice.spin_pairs.ravel(), np.repeat(size, 2), spins)
    return float(field.max())


def check_method(method: AbstractMethod, **changing: bool) -> None:
    """Raise ValueError for a method that takes constant coefficients alone where something is ``changing``, by name."""
    for name in [name for name, changes in changing.items() if changes and method.autonomous]:
        raise ValueError(
            f"Argument `method` must be 'etd' or 'rk38' where `{name}` depends on time, but is {method.name!r}."
        )


def check_step(valve: SpinValve, bias: Bias, dt: float, method: AbstractMethod) -> None:
    """Raise for a ``method`` that does not take this bias, if ``dt`` is beyond `stability_limit` of a `prepare`d valve,
    and warn where it cannot be accurate (both skipped while parameters are traced)."""
    check_method(method, bias=not described(bias).constant)
    if not known(*jax.tree.leaves((valve, bias))):
        return
    found = rates(valve, bias)
    limit = found.stable(method)
    if dt > limit:
        raise ValueError(f"Argument `dt` must stay below the stability limit {limit:.4g} of this valve, but is {dt:g}.")
    coarse = [name for name, step in found.accurate(method).items() if dt > COARSE * step]
    if coarse:
        warnings.warn(
            f"Argument `dt` is {dt:g}, too long to follow the {' and the '.join(coarse)}; "
            f"{found.suggested(method):g} would do.",
            stacklevel=3,
        )
