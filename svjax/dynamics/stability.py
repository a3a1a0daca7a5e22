"""The number of growing modes at a steady state, by the argument principle."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from svjax.dynamics.eigenproblem import Linearization, careful_roots

TOGETHER = 3
"""Determinants that one program takes; what is less is filled up."""


def count_growing(problem: Linearization, most: int = 4000) -> int:
    """The number of roots with Re lambda > 0, by the argument principle along the imaginary axis.

    M is analytic there and to the right. The known roots are divided out,

        f(lambda) = det[lambda - M(lambda)] / prod_k (lambda - lambda_k)(lambda - lambda_k^*),   f(infinity) = 1,

    so that the phase of f turns slowly and only roots that are not known can make it wind; where it turns by more than
    pi/4 between samples, samples are added. Raises RuntimeError if ``most`` are not enough.
    """
    angles = 2 * len(problem.valve.lattice.spin_sites)
    if not angles:
        return 0
    roots = careful_roots(problem, angles // 2)
    known = np.asarray(roots.rates)[np.asarray(roots.residuals) < 1e-9]
    _, first = np.unique(np.round(known, 8), return_index=True)
    known = known[first]
    known = np.concatenate([known, np.conj(known[np.imag(known) > 1e-9])])[:angles]
    factors = np.concatenate([known, -np.ones(angles - len(known))])

    def values(omega: np.ndarray) -> np.ndarray:
        parts = -(-len(omega) // TOGETHER)
        chunks = [_determinants(problem, part) for part in np.split(np.resize(omega, TOGETHER * parts), parts)]
        sign, size = (np.concatenate(part)[: len(omega)] for part in zip(*chunks, strict=True))
        distance = 1j * omega[:, None] - factors
        return sign / np.prod(distance / np.abs(distance), 1) * np.exp(size - np.log(np.abs(distance)).sum(1))

    top = 2 + 2 * np.abs(factors).max()
    while np.abs(values(np.array([top]))[0] - 1) > 0.5:
        top *= 2
    omega = top * np.linspace(0, 1, 33) ** 2
    f = values(omega)
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


@jax.jit
def _determinants(problem: Linearization, omega: Array) -> tuple[Array, Array]:
    matrices = 1j * omega[:, None, None] * jnp.eye(2 * len(problem.valve.lattice.spin_sites))
    return jnp.linalg.slogdet(matrices - problem.matrix(1j * omega))
