"""Macrospins in place of a run: J_eff, anisotropy, damping and current-driven torques fitted to the magnetisations of a
QC-EOM run, and their numbers with units for micromagnetic codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import constants

from svjax.engine.arrays import Numbers, real_array
from svjax.engine.shown import Entry, Shown
from svjax.fitting.coordinates import Free
from svjax.fitting.fit import fit
from svjax.fitting.result import Fit
from svjax.fitting.targets import Trace
from svjax.fitting.trial import FitProgress
from svjax.macrospin.model import MacrospinModel, TwoVectors, nearby
from svjax.macrospin.modes import macrospin_modes
from svjax.model.units import Units


class Start(eqx.Module):
    """Directions of the layers at the first time of a run: ``reference`` (2, 3) turned by small ``start`` (4,), which
    are fitted beside the parameters."""

    reference: TwoVectors
    start: Float[Array, "4"]

    def directions(self) -> TwoVectors:
        """The unit vectors (2, 3)."""
        return nearby(self.reference, self.start)


class TorqueFit(Shown, eqx.Module):
    """What `fit_torques` returns.

    - `model`: the fitted `MacrospinModel`; `start`: its directions (2, 3) at the first time of the run.
    - `fit`: the `Fit`, with values, errors, covariance and residuals.
    - `relaxation_time`, `relaxation_error`: t_R = -1/Re lambda of the slowest precession about the state of rest that
      the model comes to near the end of the run or near its easy axes, and its standard error; nan where it comes to
      none, as without damping. `frequency`, `frequency_error`: Im lambda.
    """

    model: MacrospinModel
    start: TwoVectors
    fit: Fit
    relaxation_time: float
    relaxation_error: float
    frequency: float
    frequency_error: float

    def _entries(self) -> list[Entry]:
        return self.fit._entries()

    def _foot(self) -> list[str]:
        return [
            *self.fit._foot(),
            f"t_R = {self.relaxation_time:.6g} +- {self.relaxation_error:.2g}, "
            f"omega = {self.frequency:.6g} +- {self.frequency_error:.2g}",
        ]


def fit_torques(
    t: Numbers,
    magnetization: Numbers,
    model: MacrospinModel,
    free: Sequence[str] | Mapping[str, Free | float],
    *,
    sigma: float | None = None,
    progress: Callable[[FitProgress], object] | None = None,
) -> TorqueFit:
    """Parameters of a `MacrospinModel` with which it moves as the layers of a run do, by `fit`.

    The torques stand for the electrons. With the layers as each other's polarizers the field f_r p_r is that of an
    exchange, J_eff N_l m_l: only one of the two can be free, for instance J_eff at zero voltage, and then f at a
    voltage with that J_eff.

    **Arguments:**

    - `t`, `magnetization`: times (T,) and magnetisations per spin (T, 2, 3) of a run, as `evolve` saves them. Leave out
      the transient after a quench, in which the electrons still settle.
    - `model`: where the fit starts, and what is not free: N_l, easy axes, anisotropy.
    - `free`: as in `fit`: "j_eff", "anisotropy[1]", "damping[1]", "damping_like[1]", "field_like[1]", ... The
      directions at the first time, whose datum is not used again, are fitted too, as "start[0]" to "start[3]".
    - `sigma`, `progress`: as in `Trace` and `fit`.

    **Returns:** a `TorqueFit`. Errors as `fit`, of which the residuals of a run that is not quite that of two
    macrospins widen the error bars.
    """
    times, m = np.asarray(t, float), np.asarray(magnetization, float)
    if times.ndim != 1 or len(times) < 4 or not np.all(np.diff(times) > 0):
        raise ValueError(f"Argument `t` must be at least 4 increasing times, but is of shape {times.shape}.")
    if m.shape != (len(times), 2, 3):
        raise ValueError(f"Argument `magnetization` must have shape {(len(times), 2, 3)}, but has shape {m.shape}.")
    if not np.all(np.isfinite(m)):
        raise ValueError("Argument `magnetization` must be finite, but is not.")
    if isinstance(free, str):
        raise ValueError(f"Argument `free` must be a list of names, but is {free!r}.")
    model = jax.tree.map(real_array, model)
    reference = jnp.asarray(m[0] / np.linalg.norm(m[0], axis=-1, keepdims=True))
    names = dict(free) if isinstance(free, Mapping) else {name: Free() for name in free}
    names |= {f"start[{k}]": Free() for k in range(4)}
    trace = Trace(times[1:] - times[0], m[1:], sigma=sigma, start=Start.directions)
    found = fit(model, names, trace, bias=Start(reference, jnp.zeros(4)), progress=progress)
    last = m[-1] / np.linalg.norm(m[-1], axis=-1, keepdims=True)
    numbers = [lambda model, _: -1 / _slowest(model, last).real, lambda model, _: _slowest(model, last).imag]
    if np.all(np.isfinite(found.spread)):
        t_r, frequency = (found.derived(number) for number in numbers)
    else:
        t_r, frequency = ((number(found.valve, None), np.inf) for number in numbers)
    return TorqueFit(found.valve, found.bias.directions(), found, *t_r, *frequency)


def _slowest(model: MacrospinModel, last: np.ndarray) -> complex:
    """lambda of the mode of smallest |lambda| about a stable state of rest near ``last`` or near the easy axes; nan
    where there is none."""
    axes = np.asarray(model.easy_axes)
    for guess in (last, np.where(np.sum(axes * last, 1, keepdims=True) < 0, -axes, axes)):
        try:
            rates = macrospin_modes(model, guess)
        except RuntimeError:
            continue
        if np.all(np.real(rates) < -1e-12):
            return complex(rates[0])
    return complex(np.nan, np.nan)


class Quantity(NamedTuple):
    """A number and its unit."""

    value: float
    unit: str


def micromagnetic_parameters(
    model: MacrospinModel, units: Units, *, spin_volume_nm3: float, thickness_nm: float
) -> list[dict[str, Quantity]]:
    """The numbers of each layer of a model for mumax3 and Ubermag, under the names that they have there.

        Msat = g mu_B/v,   Ku1 = K/v,   alpha,   B_exchange = J_eff N_other/(g mu_B),
        B_damping_like = a/(g mu_B),   B_field_like = f/(g mu_B)

    v the volume of one spin. Slonczewski's torque of both codes, dm/dt = gamma_LL beta [epsilon m x (p x m) -
    epsilon' m x p] beside the damping, beta = hbar J/(e Msat d), has these fields with Pol = Lambda = 1, hence
    epsilon = 1/2, at J = 2 B_damping_like e Msat d/hbar and EpsilonPrime = B_field_like/(2 B_damping_like). Their m is
    the direction of the magnetic moment, opposite to the spin: reverse m, p and the field together.

    **Arguments:** `spin_volume_nm3`: v, `thickness_nm`: d of the layers, across the interface.

    **Returns:** for each layer a dict of name -> `Quantity`.
    """
    for name, value in {"spin_volume_nm3": spin_volume_nm3, "thickness_nm": thickness_nm}.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"Argument `{name}` must be positive and finite, but is {value}.")
    model = jax.tree.map(real_array, model)
    volume, joule = spin_volume_nm3 * 1e-27, units.gamma_ev * constants.e
    saturation = units.g * constants.physical_constants["Bohr magneton"][0] / volume
    exchange = units.field_to_tesla(np.asarray(model.j_eff * model.n_s[::-1]))
    return [
        {
            "Msat": Quantity(saturation, "A/m"),
            "Ku1": Quantity(float(model.anisotropy[layer]) * joule / volume, "J/m^3"),
            "alpha": Quantity(float(model.damping[layer]), "1"),
            "B_exchange": Quantity(float(exchange[layer]), "T"),
            **_torque(
                units.field_to_tesla(float(model.damping_like[layer])),
                units.field_to_tesla(float(model.field_like[layer])),
                saturation * thickness_nm * 1e-9,
            ),
        }
        for layer in range(2)
    ]


def _torque(damping_like: float, field_like: float, moment: float) -> dict[str, Quantity]:
    """Fields of the torques in T, and Slonczewski's parameters for them; ``moment`` is Msat d in A."""
    torque = {
        "B_damping_like": Quantity(damping_like, "T"),
        "B_field_like": Quantity(field_like, "T"),
        "J": Quantity(2 * damping_like * constants.e * moment / constants.hbar, "A/m^2"),
        "Pol": Quantity(1.0, "1"),
        "Lambda": Quantity(1.0, "1"),
    }
    if damping_like:
        torque["EpsilonPrime"] = Quantity(field_like / (2 * damping_like), "1")
    return torque
