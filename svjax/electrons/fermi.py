"""Fermi functions of matrices: f(H) of isolated electrons, the transform g(H_eff) of leads, and the exact rho."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex

from svjax.engine.arrays import Matrix, Numbers, PerLead, Spins, known
from svjax.engine.eigenbasis import Eigenbasis, eigenbasis
from svjax.engine.lyapunov import lyapunov
from svjax.engine.tracing import inlined
from svjax.model.extended import extended
from svjax.model.hamiltonian import effective_hamiltonian
from svjax.model.leads import check_mu, leads
from svjax.model.valve import SpinValve, check_spins, prepare


def isolated_density_matrix(h: Matrix, temperature: Numbers | None = None) -> Matrix:
    """rho = f(H) of an isolated valve: the Fermi function at ``temperature`` and level 0, or its limit T -> 0."""
    if temperature is None:
        return _isolated(h, np.zeros((), jnp.finfo(h.dtype).dtype), _step_occupations)
    if known(temperature) and not np.all(np.asarray(temperature) > 0):
        raise ValueError(f"Argument `temperature` must be positive, but is {temperature}.")
    return _isolated(h, jnp.asarray(temperature, jnp.finfo(h.dtype).dtype), _fermi_occupations)


@partial(inlined, static_argnums=2)
def _isolated(h: Matrix, temperature: Array, occupations: Callable) -> Matrix:
    return _function_of(h, temperature, occupations)


def _step_occupations(energies: Array, temperature: Array) -> tuple[Array, Array, Array]:
    """Occupations in the limit T -> 0 with zero modes half filled, their divided differences and d/dT."""
    tolerance = energies.shape[0] * jnp.finfo(energies.dtype).eps * jnp.max(jnp.abs(energies))
    f = jnp.where(jnp.abs(energies) <= tolerance, 0.5, jnp.where(energies < 0, 1.0, 0.0))
    gap = energies[:, None] - energies
    equal = f[:, None] == f
    slopes = jnp.where(equal, 0.0, (f[:, None] - f) / jnp.where(equal, 1.0, gap))
    return f, slopes, jnp.zeros_like(f)


def _fermi_occupations(energies: Array, temperature: Array) -> tuple[Array, Array, Array]:
    """f(e/T), its divided differences (f_a - f_b)/(e_a - e_b), and df/dT; exact for close levels too.

    With x = e/(2T), f_a - f_b = -sinh(x_a - x_b) / (2 cosh(x_a) cosh(x_b)), which does not cancel.
    """
    x = energies / (2 * temperature)
    f = (1 - jnp.tanh(x)) / 2
    gap = x[:, None] - x
    log_cosh = jnp.logaddexp(x, -x) - jnp.log(2.0)
    small = jnp.abs(gap) < 1e-4
    safe = jnp.where(small, 1.0, gap)
    sinhc = jnp.where(small, 1 + gap**2 / 6, (1 - jnp.exp(-2 * jnp.abs(safe))) / (2 * jnp.abs(safe)))
    exponent = jnp.where(small, 0.0, jnp.abs(gap)) - log_cosh[:, None] - log_cosh
    slopes = -sinhc * jnp.exp(exponent) / (4 * temperature)
    return f, slopes, -jnp.diagonal(slopes) * energies / temperature


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _function_of(h: Matrix, temperature: Array, occupations) -> Matrix:
    energies, states = jnp.linalg.eigh(h)
    f, _, _ = occupations(energies, temperature)
    return (states * f) @ states.conj().T


@_function_of.defjvp
def _(occupations, primals, tangents):
    """Daleckii-Krein: d f(H) = V [F o (V^+ dH V)] V^+, F the divided differences, finite for degenerate levels."""
    (h, temperature), (dh, dt) = primals, tangents
    energies, states = jnp.linalg.eigh(h)
    f, slopes, by_temperature = occupations(energies, temperature)
    inner = slopes * (states.conj().T @ dh @ states) + jnp.diag(by_temperature * dt)
    return (states * f) @ states.conj().T, states @ inner @ states.conj().T


def exact_density_matrix(valve: SpinValve, spins: Numbers, mu: Numbers | None = None) -> np.ndarray:
    """rho of `stationary` for the exact Fermi function instead of its poles, to measure what the poles leave.

    The integral of G^R Gamma_l G^A f_l / (2 pi) over the energy solves a Lyapunov equation,

        0 = -i (H_eff rho - rho H_eff^+) + sum_l [i g_l(H_eff) Gamma_l + h.c.],   g_l of `fermi_transform`.

    Arguments and errors as `stationary`; (2N, 2N). At exceptional points of H_eff it loses a few digits, and no more.
    """
    valve = prepare(valve)
    rho, unique = _exact_density_matrix(valve, check_spins(valve, spins), check_mu(valve, mu))
    check_unique(unique)
    return np.asarray(rho)


@jax.jit
def _exact_density_matrix(valve: SpinValve, spins: Spins, mu: PerLead) -> tuple[Matrix, Bool[Array, ""]]:
    valve = extended(valve, mu)
    h_eff = effective_hamiltonian(valve, spins)
    half = jnp.zeros_like(h_eff)
    for number, lead in enumerate(leads(valve)):
        transform = fermi_transform(h_eff, mu[number], lead.temperature)
        half = half.at[:, lead.rows].add(1j * transform[:, lead.rows] @ lead.gamma)
    return lyapunov(-1j * h_eff, half + half.conj().T)


def check_unique(unique: Array) -> None:
    """Raise where some state of the electrons is out of reach of every lead (skipped for traced values)."""
    if known(unique) and not bool(unique):
        raise ValueError(
            "Argument `valve` must let every state reach a lead, but some state has no weight on any contact, "
            "so that its occupation, and rho, are not unique."
        )


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def fermi_transform(h_eff: Matrix, mu: Array, temperature: Array, order: int = 0) -> Matrix:
    """The derivative of ``order`` (0 or 1) of g at H_eff, g(w) = [psi(1/2 + i (w - mu)/(2 pi T)) - i pi/2]/(2 pi).

    psi is the digamma function, and g(w) is int de/(2 pi) f(e)/(e - w) up to a constant that currents do not see.
    Computed in the eigenbasis of H_eff, and near its exceptional points from a rational function of H_eff.
    """

    def at(basis: Eigenbasis) -> Matrix:
        return (basis.right * _transform_of_levels(basis.values, mu, temperature)[order]) @ basis.left

    basis = eigenbasis(h_eff)
    return jax.lax.cond(_good(basis), lambda: at(basis), lambda: _rational_transform(h_eff, mu, temperature, order))


def _good(basis: Eigenbasis) -> Array:
    """Whether derivatives, in which rounding grows as the cube of the condition, are right to eps^(1/2)."""
    return basis.condition < jnp.finfo(basis.values.dtype).eps ** (-1 / 6)


def _transform_of_levels(w: Array, mu: Array, temperature: Array) -> tuple[Array, Array, Array]:
    """g(w) and its first two derivatives."""
    inner = 0.5j / (jnp.pi * temperature)
    psi, first, second = polygamma(0.5 + inner * (w - mu))
    return (psi - 0.5j * jnp.pi) / (2 * jnp.pi), first * inner / (2 * jnp.pi), second * inner**2 / (2 * jnp.pi)


@fermi_transform.defjvp
def _(order, primals, tangents):
    """d g(H) = R [F o (R^-1 dH R)] R^-1 with F the divided differences of g, finite for degenerate levels.

    A derivative g of order k is T^-k times a function of (w - mu)/T, hence its derivative in T.
    """
    (h_eff, mu, temperature), (dh, dmu, dt) = primals, tangents
    basis = eigenbasis(h_eff)

    def in_basis() -> tuple[Matrix, Matrix]:
        w, right, left = basis.values, basis.right, basis.left
        g, slope = _transform_of_levels(w, mu, temperature)[order : order + 2]
        gap = w[:, None] - w
        small = jnp.abs(gap) < 1e-5 * temperature
        quotient = jnp.where(small, (slope[:, None] + slope) / 2, (g[:, None] - g) / jnp.where(small, 1, gap))
        inner = quotient * (left @ dh @ right)
        inner = inner - jnp.diag(slope * dmu + ((w - mu) * slope + order * g) / temperature * dt)
        return (right * g) @ left, right @ inner @ left

    rational = partial(_rational_transform, order=order)
    return jax.lax.cond(_good(basis), in_basis, lambda: jax.jvp(rational, primals, tangents))


def _rational_transform(h_eff: Matrix, mu: Array, temperature: Array, order: int) -> Matrix:
    """`fermi_transform` without eigenvectors, by some sixty inverses of matrices whose numerical range is far from 0.

    psi(Z) = psi(Z + 14) - sum_k (Z + k)^-1, then the asymptotic series, and log Z = log c + int_0^1 dt X (c + t X)^-1,
    X = Z - c, by Gauss-Legendre: 48 nodes give 14 digits down to T = 0.001.
    """
    if order:
        return -jax.jvp(lambda mu: _rational_transform(h_eff, mu, temperature, 0), (mu,), (jnp.ones_like(mu),))[1]
    one = jnp.eye(h_eff.shape[0], dtype=h_eff.dtype)
    z = 0.5 * one + 0.5j / (jnp.pi * temperature) * (h_eff - mu * one)
    below = jnp.sum(jax.lax.map(lambda k: jnp.linalg.inv(z + k * one), jnp.arange(14.0, dtype=mu.dtype)), 0)
    z = z + 14 * one
    inverse, c = jnp.linalg.inv(z), jax.lax.stop_gradient(jnp.sqrt(14.5 * jnp.linalg.norm(z, 1)))
    nodes, weights = np.polynomial.legendre.leggauss(48)
    node = lambda at: at[1] * jnp.linalg.inv(c * one + at[0] * (z - c * one))
    at = jnp.asarray((nodes + 1) / 2, mu.dtype), jnp.asarray(weights / 2, mu.dtype)
    psi = jnp.log(c) * one + (z - c * one) @ jnp.sum(jax.lax.map(node, at), 0) - inverse / 2 - below
    power = square = inverse @ inverse
    for k, bernoulli in enumerate(BERNOULLI, start=1):
        psi, power = psi - bernoulli / (2 * k) * power, power @ square
    return (psi - 0.5j * jnp.pi * one) / (2 * jnp.pi)


BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def polygamma(z: Complex[Array, "*n"]) -> tuple[Complex[Array, "*n"], ...]:
    """psi(z), psi'(z), psi''(z) for Re z >= 1/2: recurrence to Re z > 14, then asymptotic series; accurate to 1e-15."""
    psi, first, second = (jnp.zeros_like(z) for _ in range(3))
    for _ in range(14):
        psi, first, second, z = psi - 1 / z, first + 1 / z**2, second - 2 / z**3, z + 1
    psi, first, second = psi + jnp.log(z) - 0.5 / z, first + 1 / z + 0.5 / z**2, second - 1 / z**2 - 1 / z**3
    for k, bernoulli in enumerate(BERNOULLI, start=1):
        psi = psi - bernoulli / (2 * k) / z ** (2 * k)
        first = first + bernoulli / z ** (2 * k + 1)
        second = second - (2 * k + 1) * bernoulli / z ** (2 * k + 2)
    return psi, first, second
