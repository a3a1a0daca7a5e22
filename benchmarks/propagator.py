"""A step that propagates the electrons exactly among spins that stand still: its error and its order.

    python benchmarks/propagator.py

For spins at their mean over a step the equations of rho and Pi are linear with constant coefficients. The decay of a
column of Pi commutes with H_eff, so that for A = -i (H_eff - mu_l), sources s and decays z = xi_p T_l dt

    Pi(dt) = sum_j (A dt)^j/j! [e^-z Pi(0) + w_0j s],    w_kj = dt int_0^1 (1 - x)^k x^j e^(-z x) dx,

holds for any decay, and rho(dt) = sum_k (L dt)^k/k! [rho(0) + M_k] with L rho = -i H_eff rho + h.c., where the moments
M_k = dt int_0^1 (1 - x)^k Pi(x dt) dx + h.c. are sums of the same columns. That the spins move is fourth order in dt by
local turns alone: before and after the step by -+ (dt^2/12) J_sd dS/dt (Magnus), with the sources that belong to
them, and after it by what the mean of the spins was predicted wrongly. Spins take a step of the classic Runge-Kutta
method among electrons whose spin density is a cubic in time. No jump needs to be graded.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import svjax as sv
from svjax.engine.parts import together
from svjax.model.equations import State, coefficients, local_spin_density
from svjax.model.hamiltonian import apply_effective, with_spins
from svjax.model.leads import stored_columns, sum_over_poles
from svjax.model.spins import effective_field, torque
from svjax.model.valve import prepare
from svjax.observables.by_name import default_observables

jax.config.update("jax_enable_x64", True)

DEGREE = 8
LEGENDRE, LAGUERRE = np.polynomial.legendre.leggauss(40), np.polynomial.laguerre.laggauss(16)


def moments(decay, dt):
    """w_kj for k < DEGREE + 5, j <= DEGREE and every column, by Gauss-Legendre; for fast decays by Gauss-Laguerre."""
    z, x = np.asarray(decay) * dt, (LEGENDRE[0] + 1) / 2
    near = np.exp(-np.minimum(z, 40)[:, None] * x) * LEGENDRE[1] / 2
    late = LAGUERRE[0] / np.maximum(z, 40)[:, None]
    far = LAGUERRE[1] / np.maximum(z, 40)[:, None]
    part = lambda k, j: np.where(z < 40, (near * (1 - x) ** k * x**j).sum(1), (far * (1 - late) ** k * late**j).sum(1))
    return jnp.asarray([[dt * part(k, j) for j in range(DEGREE + 1)] for k in range(DEGREE + 5)])


class Propagator:
    """A step of length ``dt`` of a wide-band valve with a spin on every site that has one, at constant levels mu."""

    def __init__(self, valve, mu, dt):
        self.valve, self.dt, self.of = valve, dt, coefficients(valve)
        self.mu = jnp.asarray(mu)[stored_columns(valve).lead]
        self.w = moments(self.of.decay, dt)
        self.fading = jnp.exp(-self.of.decay * dt)
        self.gain, source = together(self.of.gain), together(self.of.source)
        self.source = valve.lattice.contacts_to_sites(source).reshape(valve.lattice.dim, -1)
        self.j_sd = self.of.bare.coupling[:, None]

    def __call__(self, state):
        dt, valve, (rho, pi, spins) = self.dt, self.valve, state
        start, slope = local_spin_density(valve, rho), self.density_slope(*state)
        ahead, mean = self.spins_over(spins, (start, slope))
        angle = dt / 12 * self.j_sd * (ahead - spins)
        rho, pi = self.propagated(mean, angle, *self.turned(-angle, rho, pi))
        rho, pi = self.turned(angle, rho, pi)
        end, there = local_spin_density(valve, rho), self.density_slope(rho, pi, ahead)
        cubic = 3 * (end - start) - dt * (2 * slope + there), 2 * (start - end) + dt * (slope + there)
        ahead, better = self.spins_over(spins, (start, slope, cubic[0] / dt**2, cubic[1] / dt**3))
        return *self.turned(dt * self.j_sd * (better - mean), rho, pi), ahead

    def spins_over(self, spins, density):
        """The spins after a step, and their mean over it, for a polynomial of the electrons' spin density."""
        at = lambda t: sum(part * t**n for n, part in enumerate(density))
        rate = lambda t, s: torque(self.valve, s, effective_field(self.valve, s, at(t)))
        dt, first = self.dt, rate(0.0, spins)
        second = rate(dt / 2, spins + dt / 2 * first)
        third = rate(dt / 2, spins + dt / 2 * second)
        ahead = spins + dt / 6 * (first + 2 * second + 2 * third + rate(dt, spins + dt * third))
        return ahead, (spins + ahead) / 2 + dt / 12 * (first - rate(dt, ahead))

    def density_slope(self, rho, pi, spins):
        """d/dt of the electrons' spin density on the spins' sites."""
        half = -1j * self.hamiltonian(spins, rho) + self.embedded(jnp.concatenate(sum_over_poles(self.valve, pi), 1), 1)
        return local_spin_density(self.valve, half + half.conj().T)

    def hamiltonian(self, spins, columns):
        return apply_effective(self.of.bare, with_spins(self.of.bare, spins), columns)

    def embedded(self, columns, gain):
        """Columns on the contacts, and ``gain`` times Gamma/4, among those of rho."""
        rows = columns.conj().T.reshape(self.gain.shape) + gain * self.gain
        return self.valve.lattice.contacts_to_sites(rows).reshape(self.valve.lattice.dim, -1)

    def on_sites(self, blocks, x):
        return jnp.einsum("iab,ibc->iac", blocks, x.reshape(len(blocks), 2, -1)).reshape(x.shape)

    def generator(self, angle):
        """angle.sigma/2 on the sites."""
        return with_spins(self.of.bare, angle / self.j_sd) - self.of.bare.level

    def turned(self, angle, rho, pi):
        """rho and Pi with the electrons' spins turned by ``angle`` on the spins' sites."""
        blocks = jax.scipy.linalg.expm(-1j * self.generator(angle))
        rho = self.on_sites(blocks, rho)
        return self.on_sites(blocks, rho.conj().T).conj().T, self.on_sites(blocks, pi)

    def propagated(self, spins, angle, rho, pi):
        """rho and Pi after a step among ``spins`` that stand still, with the sources of spins that move."""
        dt, low, w = self.dt, jnp.arange(DEGREE + 1), self.w
        n = low[:, None, None]
        moving = -1j * self.on_sites(self.generator(angle), self.source)
        chains = jnp.stack([pi, self.source - moving, 12 / dt**2 * moving])
        at_end = jnp.stack([jnp.zeros_like(w[0]), w[0], dt**2 / 2 * (w[1] - w[2])])
        later = dt**3 / ((n + 1) * (n + 2)) * (w[2 : DEGREE + 3] / 2 - w[3 : DEGREE + 4] / (n + 3))
        inside = jnp.stack([w[: DEGREE + 1], dt / (n + 1) * w[1 : DEGREE + 2], later])
        summed = lambda x: jnp.concatenate(sum_over_poles(self.valve, x), 1)

        def gather(chains, j):
            weights = jnp.where((low + j <= DEGREE)[:, None], inside[:, :, j], 0)
            return jax.vmap(lambda weight: summed(jnp.einsum("qc,qdc->dc", weight, chains)), 1)(weights)

        def power(carry, j):
            chains, kept, ended, m = carry
            apply = lambda x: -1j * dt / j * (self.hamiltonian(spins, x) - self.mu * x)
            chains = jax.vmap(apply)(chains)
            ended = ended + jnp.einsum("qc,qdc->dc", at_end[:, j], chains)
            return (chains, kept + chains[0], ended, m + gather(chains, j)), None

        begun = chains, pi, jnp.einsum("qc,qdc->dc", at_end[:, 0], chains), gather(chains, 0)
        (_, kept, ended, m), _ = jax.lax.scan(power, begun, jnp.arange(1, DEGREE + 1))

        def horner(later, k):
            half = self.embedded(m[k], dt / (k + 1)) + rho / 2
            half = half - 1j * dt / (k + 1) * self.hamiltonian(spins, later)
            return half + half.conj().T, None

        rho, _ = jax.lax.scan(horner, jnp.zeros_like(rho), low[::-1])
        return rho, self.fading * kept + ended


def run(valve, state, mu, dt, duration, every=0.5):
    """The default observables of a run, every half time unit."""
    step = Propagator(valve, mu, dt)

    def until_save(state, _):
        state, _ = jax.lax.scan(lambda state, _: (step(state), None), state, length=round(every / dt))
        return state, default_observables(valve, State(*state))

    march = jax.jit(partial(jax.lax.scan, until_save, length=round(duration / every)))
    return march((state.rho, state.pi, state.spins))[1]


def main():
    make = lambda count: prepare(sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(count)))
    spins, valve, mu, duration = sv.steady_state(make(14), None).spins, make(8), (0.5, -0.5), 20.0
    start = sv.stationary(valve, spins)
    reference = sv.evolve(valve, start, mu, duration, dt=0.0125, save_every=40).observables
    for dt in (0.25, 0.125):
        found = run(valve, start, mu, dt, duration)
        errors = {name: float(np.abs(np.asarray(found[name] - reference[name])).max()) for name in reference}
        print(f"dt = {dt}: " + ", ".join(f"{name} {error:.1e}" for name, error in errors.items()))


if __name__ == "__main__":
    main()
