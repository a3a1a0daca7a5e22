"""Growing modes: those that grow to first order in the retardation, and their number, by the argument principle."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from svjax.dynamics.eigenproblem import Linearization, accuracy, careful_roots, find_root, refine
from svjax.engine.clock import finished
from svjax.model.spins import turn_rate

TOGETHER = 3
"""Frequencies that one program takes; what is less is filled up."""

NEAR = 3e-3
"""A known root is as far from the true one, at most, as this part of its distance from the axes."""


def count_growing(problem: Linearization, most: int = 4000) -> int:
    """The number of roots with Re lambda > 0, by the argument principle along the imaginary axis.

    M is analytic there and to the right. The known roots are divided out,

        f(lambda) = det[lambda - M(lambda)] / prod_k (lambda - lambda_k)(lambda - lambda_k^*),   f(infinity) = 1,

    so that the phase of f turns slowly and only roots that are not known can make it wind; where it turns by more than
    pi/4 between samples, samples are added. A known root next to a true one turns the phase by the ratio of their
    distance to that from the axis, `NEAR` at most. f is sampled where roots pass the axis, too. Raises RuntimeError if
    ``most`` samples are not enough.
    """
    angles = 2 * len(problem.valve.lattice.spin_sites)
    if not angles:
        return 0
    omega, determinants, known = _roots_and_determinants(problem)
    known = np.concatenate([known, np.conj(known[np.imag(known) > 1e-9])])[:angles]
    factors = np.concatenate([known, -np.ones(angles - len(known))])

    def divided(omega: np.ndarray, sign: np.ndarray, size: np.ndarray) -> np.ndarray:
        distance = 1j * omega[:, None] - factors
        return sign / np.prod(distance / np.abs(distance), 1) * np.exp(size - np.log(np.abs(distance)).sum(1))

    values = lambda omega: divided(omega, *_together(partial(_determinants, problem), omega))
    f, top = divided(omega, *determinants), 2 + 2 * np.abs(factors).max()
    while np.abs(values(np.array([top]))[0] - 1) > 0.5:
        top *= 2
    between = _between(omega, top)
    omega, f = np.append(omega, between), np.append(f, values(between))
    order = np.argsort(omega)
    omega, f = omega[order], f[order]
    while True:
        turns = np.angle(f[1:] / f[:-1])
        coarse = np.flatnonzero(np.abs(turns) > np.pi / 4)
        if not len(coarse):
            break
        if len(omega) + len(coarse) > most:
            raise RuntimeError(
                f"Roots with Re lambda > 0 could not be counted with {most} samples: one is on the axis."
            )
        middle = (omega[coarse] + omega[coarse + 1]) / 2
        omega, f = np.insert(omega, coarse + 1, middle), np.insert(f, coarse + 1, values(middle))
    winding = (np.angle(f[-1]) - turns.sum()) / np.pi
    return round(float(winding)) + int(np.sum(np.real(known) > 0))


def _between(omega: np.ndarray, top: float) -> np.ndarray:
    """Frequencies that fill what ``omega`` leaves of 0 ... top: 0, top, and more of them where roots are slow."""
    steps = np.concatenate([[0.0], np.sqrt(np.unique(omega) / top), [1.0]])
    parts = np.ceil(16 * np.diff(steps) - 1e-9).astype(int)
    inner = [np.linspace(a, b, n + 1)[1:-1] for a, b, n in zip(steps[:-1], steps[1:], parts, strict=True) if n > 1]
    return top * np.concatenate([[0.0, 1.0], *inner]) ** 2


def _roots_and_determinants(problem: Linearization) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Frequencies near those of the modes, sign and logarithm of det[i omega - M(i omega)] there, and the distinct
    roots found in the eigenbases of M(i omega), one of each pair.

    A root that those do not give to `NEAR` is followed by itself, and all are followed with care where two of them are
    the same.
    """
    static = np.asarray(_static_matrix(problem))
    starts, vectors, estimates = _first_order_modes(problem, *np.linalg.eig(static))
    omega = np.abs(np.imag(estimates))
    sign, size, rates, vectors, errors = _together(partial(_sample, problem), omega, vectors)
    wide = np.minimum(np.abs(np.real(rates)), np.maximum(np.abs(np.imag(rates)), 1e-9))
    good = errors <= NEAR * wide  # false for nan
    for k in np.flatnonzero(~good):
        start = (rates[k], vectors[k]) if np.isfinite(rates[k]) else (starts[k], vectors[k])
        rates[k], vectors[k], residual = finished(_root_from(problem, *map(jnp.asarray, start)))
        good[k], errors[k] = residual < 1e-9, 1e-9
    vectors = np.where(np.imag(rates)[:, None] < 0, vectors.conj(), vectors)
    rates = np.real(rates) + 1j * np.abs(np.imag(rates))
    apart = np.abs(rates[:, None] - rates) > 10 * (errors[:, None] + errors) + 1e-9 * (1 + np.abs(rates))
    same = ~apart & (np.abs(vectors.conj() @ vectors.T) > 0.99)
    if same.sum() > len(rates):
        roots = careful_roots(problem, len(problem.valve.lattice.spin_sites))
        rates, good = np.asarray(roots.rates), np.asarray(roots.residuals) < 1e-9
    known = rates[good]
    _, first = np.unique(np.round(known, 8), return_index=True)
    return omega, (sign, size), known[first]


def _together(program: Callable[..., tuple[Array, ...]], *given: np.ndarray) -> list[np.ndarray]:
    """What a program gives for the rows of ``given``, `TOGETHER` at a time."""
    count = len(given[0])
    rows = np.resize(np.arange(count), (-(-count // TOGETHER), TOGETHER))
    parts = [program(*(x[some] for x in given)) for some in rows]
    return [np.concatenate(part)[:count] for part in zip(*jax.device_get(parts), strict=True)]


@jax.jit
def _sample(problem: Linearization, omega: Array, vectors: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Sign and logarithm of det[i omega - M(i omega)], and the root of the mode most like each of ``vectors`` with its
    vector and its error."""
    enough = lambda rate, _, error: error <= NEAR / 2 * jnp.minimum(jnp.abs(rate.real), jnp.abs(rate.imag))

    def one(given: tuple[Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        omega, vector = given
        rate = 1j * omega
        base = problem.matrix(rate[None])[0]
        sign, size = jnp.linalg.slogdet(rate * jnp.eye(len(base)) - base)
        rate, vector, _, error = refine(problem, base, rate, vector, enough)
        return sign, size, rate, vector, error

    return jax.lax.map(one, (omega, vectors))


_static_matrix = jax.jit(Linearization.static_matrix)


@jax.jit
def _determinants(problem: Linearization, omega: Array) -> tuple[Array, Array]:
    matrices = 1j * omega[:, None, None] * jnp.eye(2 * len(problem.valve.lattice.spin_sites))
    return jnp.linalg.slogdet(matrices - problem.matrix(1j * omega))


@jax.jit
def _first_order(problem: Linearization, rates: Array, left: Array, right: Array) -> Array:
    """m_k + u_k [M(m_k) - M(0)] v_k for eigenvalues, rows of left and right vectors of M(0)."""
    return jax.lax.map(lambda one: one[1] @ problem.apply(one[0], one[2]), (rates, left, right))


def first_order_rates(problem: Linearization, stiffness: Array) -> Complex[Array, "angles"]:
    """The rates of all modes to first order in M(lambda) - M(0), from the stiffness at lambda = 0."""
    m, v = jnp.linalg.eig(turn_rate(problem.valve, stiffness))
    return _first_order(problem, m, jnp.linalg.inv(v), v.T)


_root_from = jax.jit(find_root)


def _first_order_modes(
    problem: Linearization, rates: np.ndarray, modes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of eigenvalues and vectors of M(0) those with Im >= 0, and the rates of their modes to first order."""
    upper = np.imag(rates) >= -1e-9 * np.abs(rates).max()
    kind = problem.basis.values.dtype
    left, starts, right = (x.astype(kind) for x in (np.linalg.inv(modes)[upper], rates[upper], modes.T[upper]))
    return starts, right, np.asarray(finished(_first_order(problem, starts, left, right)))


def first_growing_mode(
    problem: Linearization, rates: np.ndarray, modes: np.ndarray
) -> tuple[complex, np.ndarray] | None:
    """A root with Re lambda > 0 and its vector, or None, from the eigenvalues and vectors of M(0).

    Modes that grow to first order in M(lambda) - M(0) are followed to their roots; `count_growing` counts them.
    """
    starts, right, estimates = _first_order_modes(problem, rates, modes)
    for k in np.argsort(-np.real(estimates)):
        if np.real(estimates[k]) <= 0:
            return None
        rate, vector, residual = finished(_root_from(problem, jnp.asarray(starts[k]), jnp.asarray(right[k])))
        if residual < max(1e-6, accuracy(problem.valve.dtype)) and rate.real > 1e-9:
            return complex(rate), np.asarray(vector)
    return None


def leading_rate(problem: Linearization) -> complex:
    """The root with the largest real part, Im >= 0, of those next to the two largest to first order."""
    starts, right, estimates = _first_order_modes(problem, *np.linalg.eig(np.asarray(_static_matrix(problem))))
    found = []
    for k in np.argsort(-np.real(estimates))[:2]:
        rate, _, residual = finished(_root_from(problem, jnp.asarray(starts[k]), jnp.asarray(right[k])))
        found.append(complex(rate if residual < max(1e-6, accuracy(problem.valve.dtype)) else estimates[k]))
    return max(found, key=lambda rate: rate.real)
