"""How long a step may be: whole steps of a duration, the stability limit of a method, and a step to start with."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from svjax.engine.arrays import Numbers, known, real_array
from svjax.model.bias import Bias, as_bias
from svjax.model.hamiltonian import hopping_reach
from svjax.model.leads import broadening
from svjax.model.valve import SpinValve, lead_poles, prepare

METHODS = ("rk38", "etd")


def whole_steps(duration: float, dt: float, argument: str = "duration") -> int:
    """duration / dt, which must be a whole number of steps; ``argument`` is the name of the duration in errors."""
    for name, value in {argument: duration, "dt": dt}.items():
        if np.ndim(real_array(value, name)):
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


def stability_limit(
    valve: SpinValve, bias: Bias | Numbers | None = None, t: float = 0.0, method: str = "rk38"
) -> float:
    """The largest stable step, from bounds on the eigenvalues of the linear equations of rho and Pi.

    Pi_lp decays with xi_p/beta_l + i (H - mu_l) and rho turns with differences of levels; the levels lie within
    Gershgorin's bound. Beyond the limit the amplification factor of one of them exceeds one. The exponential method
    takes the decay exactly, and without it the poles set no limit.
    """
    valve = prepare(valve)
    reach = hopping_reach(valve) + float(jnp.max(jnp.abs(valve.j_sd), initial=0.0)) / 2
    rates = [2j * reach]
    if valve.lattice.contacts:
        mu = np.asarray(as_bias(bias, len(valve.lattice.contacts))(jnp.asarray(t)))
        fastest = np.array([float(np.max(poles.xi)) for poles in lead_poles(valve)])
        decay = fastest * np.asarray(valve.temperature) * (method != "etd")
        shift = [float(np.max(np.abs(np.asarray(valve.mu_bar) - m))) for m in mu]
        rates += [-d + 1j * (reach + s) for d, s in zip(decay, shift, strict=True)]
        rates.append(-float(np.max(np.linalg.norm(np.asarray(broadening(valve)), 2, axis=(1, 2)))))
    return min(_longest_step(rate) for rate in rates)


def suggest_dt(valve: SpinValve, bias: Bias | Numbers | None = None, method: str = "rk38") -> float:
    """A step, in 1/hopping, that keeps the error of a run near 1e-5: one radian of the fastest turning of rho per step,
    and 0.8 of `stability_limit` at most; rounded down to one digit (1, 2 or 5), so that durations are whole steps."""
    free = stability_limit(valve, bias, method="etd") / _longest_step(1j)
    most = min(free, 0.8 * stability_limit(valve, bias, method=method))
    power = 10.0 ** np.floor(np.log10(most))
    return float(f"{max(digit for digit in (1, 2, 5) if digit * power <= most * (1 + 1e-9)) * power:.1g}")


def _longest_step(rate: complex) -> float:
    """The step at which |1 + z + z^2/2 + z^3/6 + z^4/24| with z = rate dt first exceeds one."""
    scale = np.linspace(0, 3, 3001)[1:]
    z = scale * rate / max(abs(rate), 1e-300)
    growing = np.abs(1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24) > 1 + 1e-12
    return float(scale[np.argmax(growing)] / max(abs(rate), 1e-300)) if growing.any() else np.inf


def check_method(method: str) -> None:
    """Raise unless ``method`` is one of `METHODS`."""
    if method not in METHODS:
        raise ValueError(f"Argument `method` must be one of {METHODS}, but is {method!r}.")


def check_step(valve: SpinValve, bias: Bias, dt: float, t: float, method: str = "rk38") -> None:
    """Raise if ``dt`` is beyond `stability_limit` (skipped while parameters are traced)."""
    if not known(*jax.tree.leaves((valve, bias, t))):
        return
    limit = stability_limit(valve, bias, t, method)
    if dt > limit:
        raise ValueError(f"Argument `dt` must stay below the stability limit {limit:.4g} of this valve, but is {dt:g}.")
