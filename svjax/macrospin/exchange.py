"""The effective exchange J_eff of an isolated valve: from one diagonalisation, in the rotating frame, and from a run.

Two macrospins with H_MS = -J_eff M_l.M_r, Eq. (19), turn by dM_l/dt = J_eff M_l x M_r, Eq. (20). The torque of frozen
electrons gives a *static* J_eff, which is not that of the motion: the electrons' own spin turns with the layers and its
inertia acts back (the geometric torque of the paper's Ref. [51]). Electrons at rest in the frame that turns with the
layers know of that, and give J_eff up to effects of second order in the rotation.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from svjax.dynamics.evolve import evolve
from svjax.electrons.fermi import isolated_density_matrix
from svjax.electrons.stationary import stationary
from svjax.engine.arrays import Matrix, Numbers, Scalar, Spins, Vector, known
from svjax.engine.shown import Shown
from svjax.macrospin.precession_fit import MacrospinFit, fit_macrospin
from svjax.model.equations import State, local_spin_density
from svjax.model.hamiltonian import hamiltonian
from svjax.model.leads import PAULI
from svjax.model.valve import SpinValve, aligned_spins, check_spins, prepare
from svjax.observables.electronic import magnetization


class ExchangeCoupling(Shown, eqx.Module):
    """Result of `exchange_coupling`; J_eff in units of the hopping, positive = ferromagnetic."""

    units: ClassVar = {
        "static": "hopping",
        "rotating": "hopping",
        "frequency": "hopping",
        "residual": "hopping",
        "imbalance": "hopping",
    }

    static: Scalar
    """J_eff from the torque of electrons in the ground state of H(S)."""
    rotating: Scalar
    """J_eff from the torque of electrons at rest in the frame that turns with the layers."""
    frequency: Scalar
    """omega (1/time) at which the layers turn, right-handed about M: -|M| times `rotating`."""
    residual: Scalar
    """J_eff of the torque at `frequency` minus `rotating`: zero at the root."""
    imbalance: Scalar
    """J_eff from the torque on layer 0 minus that on layer 1, at `frequency`: zero for equal layers. For unequal ones
    it says how far M is from the true axis, the total spin with the electrons."""
    converged: Bool[Array, ""]
    """Newton's iteration found the root."""

    @property
    def ratio(self) -> Float[Array, "*batch"]:
        """rotating/static."""
        return self.rotating / self.static


def exchange_coupling(
    valve: SpinValve, spins: Numbers | None = None, *, temperature: Numbers | None = None
) -> ExchangeCoupling:
    """J_eff of Eqs. (19)-(20) without time evolution, from the torque T_l = -J_sd sum_(j in l) S_j x s_j on each layer.

        static:    T_l = J_eff M_l x M_r                    with electrons in the ground state of H
        rotating:  T_l = J_eff M_l x M_r = omega n x M_l    with electrons in the ground state of H - omega n.s

    with n = M/|M|, M = M_l + M_r, s the electrons' total spin (sigma/2 summed over all sites) and omega = -J_eff |M|.
    A state that turns about n as a whole, rho(t) = U rho U^+ with U = exp(-i omega t n.s), obeys i drho/dt =
    [omega n.s, rho] = [H, rho]; it is stationary in the rotating frame, whose Hamiltonian is H - omega n.s. Where the
    two layers disagree (see `ExchangeCoupling.imbalance`) their mean is taken.

    **Arguments:**

    - `valve`: isolated, with two layers; no anisotropy or field enters, they are not part of J_eff.
    - `spins`: (N_S, 3) unit vectors, aligned along the easy axes if None; the layers must not be collinear.
    - `temperature`: of the electrons; None fills up to energy 0 and zero modes by half, as `stationary` does. The
      rotation polarises zero modes, so that with them J_eff(omega) jumps at omega = 0; give a temperature then.

    **Returns:** an `ExchangeCoupling`, differentiable (the root by the implicit function theorem) and made for
    ``jax.vmap`` over a valve's leaves. Raises ValueError for a valve without exactly two layers, or with leads. A root
    that was not found is reported by ``converged``, not raised, so that it does not end a scan.
    """
    valve = prepare(valve)
    if len(valve.lattice.layers) != 2:
        raise ValueError(f"Argument `valve` must have two layers, but has {len(valve.lattice.layers)}.")
    if valve.lattice.contacts:
        raise ValueError(f"Argument `valve` must be isolated, but has {len(valve.lattice.contacts)} leads.")
    spins = aligned_spins(valve) if spins is None else check_spins(valve, spins)
    sines = jnp.linalg.norm(jnp.cross(*_layer_sums(valve, spins)))
    if known(sines) and not float(sines) > 1e-9 * len(spins):
        raise ValueError("Argument `spins` must have layers that are not collinear, but |M_l x M_r| is zero.")
    return _exchange_coupling(valve, spins, temperature)


@eqx.filter_jit
def _exchange_coupling(valve: SpinValve, spins: Spins, temperature: Numbers | None) -> ExchangeCoupling:
    total = jnp.linalg.norm(jnp.sum(spins, 0))
    h, spin = hamiltonian(valve, spins), _spin_along(valve, jnp.sum(spins, 0) / total)
    tolerance = 100 * jnp.finfo(spins.dtype).eps * jnp.abs(valve.j_sd)

    def couplings(j_eff: Array) -> Float[Array, "2"]:
        """J_eff of both layers' torques when the layers turn as `j_eff` would make them."""
        rho = isolated_density_matrix(h + j_eff * total * spin, temperature)
        return _from_torques(valve, spins, rho)

    mismatch = lambda j_eff: jnp.mean(couplings(j_eff)) - j_eff
    static = jnp.mean(couplings(jnp.zeros_like(total)))
    rotating = jax.lax.custom_root(
        mismatch,
        jax.lax.stop_gradient(static),
        partial(_newton, tolerance=jax.lax.stop_gradient(tolerance)),
        lambda slope, y: y / slope(jnp.ones_like(y)),
    )
    left, right = couplings(rotating)
    residual = (left + right) / 2 - rotating
    return ExchangeCoupling(static, rotating, -total * rotating, residual, left - right, jnp.abs(residual) <= tolerance)


def _newton(f, x: Scalar, *, tolerance: Scalar, most: int = 30) -> Scalar:
    """A root of a scalar function to |f| <= tolerance, or where Newton's iteration is after ``most`` steps."""

    def more(carry):
        step, _, value, _ = carry
        return (step < most) & (jnp.abs(value) > tolerance)

    def improve(carry):
        step, x, value, slope = carry
        x = x - value / slope
        return step + 1, x, *jax.jvp(f, (x,), (jnp.ones_like(x),))

    return jax.lax.while_loop(more, improve, (0, x, *jax.jvp(f, (x,), (jnp.ones_like(x),))))[1]


def _layer_sums(valve: SpinValve, vectors: Spins) -> Float[Array, "2 3"]:
    """The sum of (N_S, 3) vectors over each layer."""
    member = np.arange(2)[:, None] == valve.lattice.spin_layers
    return jnp.asarray(member, vectors.dtype) @ vectors


def _spin_along(valve: SpinValve, axis: Vector) -> Matrix:
    """n.s = n.sigma/2 summed over all sites, (2N, 2N)."""
    along = jnp.einsum("a,ast->st", axis.astype(complex), jnp.array(PAULI)) / 2
    return jnp.kron(jnp.eye(valve.lattice.n_sites), along)


def _from_torques(valve: SpinValve, spins: Spins, rho: Matrix) -> Float[Array, "2"]:
    """J_eff = T_l.(M_l x M_r)/|M_l x M_r|^2 and the same for layer r, whose Eq. (20) has the opposite sign."""
    torques = _layer_sums(valve, -valve.j_sd * jnp.cross(spins, local_spin_density(valve, rho)))
    across = jnp.cross(*_layer_sums(valve, spins))
    return jnp.array([1, -1]) * (torques @ across) / (across @ across)


def effective_coupling(
    valve: SpinValve,
    duration: float = 2000.0,
    *,
    spins: Numbers | None = None,
    temperature: Numbers | None = None,
    dt: float = 0.05,
    save_every: int | None = None,
    max_residual: ArrayLike = 0.03,
) -> MacrospinFit:
    """J_eff from a simulated run of an isolated valve: `stationary`, `evolve`, `fit_macrospin` (Figs. 3-5).

    Made for ``jax.vmap``, so that a scan over J_sd is one call,

        jax.vmap(lambda j: sv.effective_coupling(eqx.tree_at(lambda v: v.j_sd, valve, j)))(couplings)

    The spacer sets the shapes: a scan over N_NM is a loop.

    **Arguments:** `duration` and `dt` in 1/hopping, `save_every` in steps (once per time unit if None); `spins` and
    `temperature` as in `exchange_coupling`; `max_residual` as in `fit_macrospin`.

    **Returns:** a `MacrospinFit`, whose start is known: the layers' mean ``spins``. Its ``ok`` and ``residual`` say
    whether the run is that of two macrospins; for 3 < J_sd < 4.5 it often is not.
    """
    valve = prepare(valve)
    if len(valve.lattice.layers) != 2:
        raise ValueError(f"Argument `valve` must have two layers, but has {len(valve.lattice.layers)}.")
    start = stationary(valve, aligned_spins(valve) if spins is None else spins, temperature=temperature)
    save_every = max(1, round(1 / dt)) if save_every is None else save_every
    run = evolve(valve, start, None, duration, dt=dt, save_every=save_every, observe=_layers)
    left, right = jnp.moveaxis(run.observables["magnetization"], 1, 0)
    sizes = np.array([len(layer) for layer in valve.lattice.layers])
    return fit_macrospin(run.t, left, right, sizes, start=magnetization(valve, start), max_residual=max_residual)


def _layers(valve: SpinValve, state: State) -> dict[str, Array]:
    return {"magnetization": magnetization(valve, state)}
