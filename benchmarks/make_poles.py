"""Generate `svjax/reservoirs/optimized_poles.json`, the table behind `svjax.optimized_poles`.

What is fitted.  In the eigenbasis of H_eff the density matrix needs only (x = (w - mu)/T, Im x < 0)

    h(x) = sum_k 1/(x - i pi (2k-1)) = -(i/2 pi) digamma(1/2 + i x/2 pi) + imaginary constant,

and an imaginary constant drops out of rho.  So, for a given number n of poles and a given reach X, we minimise

    max over the half disc |x| <= X, Im x <= 0  of  |sum_p eta_p/(x - i xi_p) - h(x) - i c|

over xi_p, eta_p and c (by the maximum principle the rim of the half disc is enough).  The real part of the same
expression is half the error of the Fermi function on |x| <= X.  A fit of the Fermi function alone must cover far more
than the band, because the Hilbert transform of its error beyond X comes back into the band.

How.  eta and c are linear and eliminated (variable projection, Golub & Pereyra 1973); log xi is found by
Levenberg-Marquardt; reweighting (Lawson) turns least squares into an almost equal-ripple fit.  The seed with n poles
is extrapolated from the solutions with fewer.  Below 1e-8 double precision is not enough to
see where to go, so the fit goes on in `numpy.longdouble` (80 bit on x86; where it is double, a reach ends there).

Run:  python benchmarks/make_poles.py  [largest number of poles]      (six minutes on one core)
"""

import json
import pathlib
import sys

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import digamma

TABLE = pathlib.Path(__file__).parents[1] / "svjax" / "reservoirs" / "optimized_poles.json"
REACHES = tuple(100.0 * 2**k for k in range(11))
FLOOR = 3e-13  # errors below this are of no use in double precision: a reach has no entries with more poles
CEILING = 0.02  # errors above this are of no use at all
ROUGH = 1e-8  # below this error the fit needs extended precision


def rim(reach: float) -> np.ndarray:
    """Points on the rim of the right half of the half disc |x| <= reach, Im x <= 0 (the left half is its mirror)."""
    axis = np.concatenate([[0], np.geomspace(0.05, reach, 160), reach * np.sin(np.linspace(0, np.pi / 2, 100))])
    angle = np.pi / 4 * (1 - np.cos(np.linspace(0.1, np.pi, 60)))
    return np.concatenate([np.unique(axis), reach * np.exp(-1j * angle)])


def digamma_target(x: np.ndarray) -> np.ndarray:
    """h(x) - h(0), the exact sum over all Matsubara poles; x dimensionless with Im x <= 0."""
    return -1j / (2 * np.pi) * (digamma(0.5 + 1j * x / (2 * np.pi)) - digamma(0.5))


def _split(z: np.ndarray) -> np.ndarray:
    return np.concatenate([z.real, z.imag])


def _triangle(a: np.ndarray) -> np.ndarray:
    """The R of a QR factorisation, by Householder reflections where LAPACK has no such precision."""
    if a.dtype == np.float64:
        return np.linalg.qr(a, mode="r")
    a = a.copy()
    for k in range(a.shape[1]):
        v = a[k:, k].copy()
        v[0] += np.copysign(np.sqrt(v @ v), v[0])
        square = v @ v
        if square > 0:
            a[k:, k:] -= np.outer(v, (2 / square) * (v @ a[k:, k:]))
    return np.triu(a[: a.shape[1]])


def _back_substitute(r: np.ndarray, b: np.ndarray) -> np.ndarray:
    y = np.zeros_like(b)
    for k in range(len(b) - 1, -1, -1):
        y[k] = (b[k] - r[k, k + 1 :] @ y[k + 1 :]) / r[k, k]
    return y


def _project(log_xi, x, target, weight):
    """Eliminate eta and c: their best values, the squared misfit, and the reduced Jacobian and residual for log xi."""
    xi = np.exp(log_xi)
    n, m = len(xi), len(x)
    basis = 1 / (x[:, None] - 1j * xi)
    ones = np.concatenate([np.zeros(m), np.ones(m)])[:, None]
    block = np.concatenate([_split(basis), ones, _split(1j * xi * basis**2), target[:, None]], axis=1)
    block = block * weight[:, None]
    scale = np.sqrt((block**2).sum(0))
    r = _triangle(block / scale) * scale
    eta = _back_substitute(r[: n + 1, : n + 1], r[: n + 1, -1])[:n]
    jacobian, residual = r[n + 1 : -1, n + 1 : -1] * eta, r[n + 1 : -1, -1]
    return eta, residual @ residual + r[-1, -1] ** 2, jacobian, residual


def _descend(log_xi, x, target, weight, steps):
    """Levenberg-Marquardt in log xi; xi stays increasing."""
    damping = 1e-3
    eta, misfit, jacobian, residual = _project(log_xi, x, target, weight)
    for _ in range(steps):
        start = misfit
        while damping < 1e8:
            norm = np.sqrt((jacobian**2).sum(0))
            rows = np.concatenate([jacobian, np.sqrt(damping) * np.diag(norm)])
            right = np.concatenate([residual, np.zeros_like(residual)])
            r = _triangle(np.concatenate([rows, right[:, None]], axis=1))
            trial = log_xi + np.clip(_back_substitute(r[:-1, :-1], r[:-1, -1]), -0.5, 0.5)
            if np.all(np.diff(trial) > 0):
                new = _project(trial, x, target, weight)
                if new[1] < misfit:
                    log_xi, (eta, misfit, jacobian, residual) = trial, new
                    damping = max(damping / 5, 1e-14)
                    break
            damping *= 5
        if misfit > start * (1 - 1e-6):
            break
    return log_xi, eta


def rim_error(xi: np.ndarray, eta: np.ndarray, reach: float) -> float:
    """max |sum_p eta_p/(x - i xi_p) - h(x) - i c| on a rim four times as dense, c the middle of the imaginary part."""
    x = rim(reach)
    x = np.interp(np.arange(0, len(x) - 0.75, 0.25), np.arange(len(x)), x)
    error = (eta / (x[:, None] - 1j * xi)).sum(1) - digamma_target(x)
    return float(np.abs(error - 0.5j * (error.imag.max() + error.imag.min())).max())


def fit(log_xi: np.ndarray, reach: float, rounds: int = 14) -> tuple[np.ndarray, np.ndarray, float]:
    """Equal-ripple poles from a seed.

    Arguments: log_xi (n,) seed; reach; rounds of Lawson reweighting.
    Returns: xi (n,), eta (n,) in float64, and the largest error on the rim, of the rounded numbers.
    """
    dtype = log_xi.dtype
    x = rim(reach).astype(np.result_type(dtype, np.complex128))
    target = _split(digamma_target(rim(reach))).astype(dtype)
    weight = np.ones(len(x), dtype)
    best = np.exp(log_xi).astype(float), np.full(len(log_xi), np.nan), np.inf
    for k in range(rounds):
        log_xi, eta = _descend(log_xi, x, target, np.concatenate([weight, weight]), 100 if k == 0 else 15)
        xi = np.exp(log_xi)
        rounded = xi.astype(float), eta.astype(float)
        error = (eta / (x[:, None] - 1j * xi)).sum(1) - (target[: len(x)] + 1j * target[len(x) :])
        ripple = np.abs(error - 0.5j * (error.imag.max() + error.imag.min()))
        worst = rim_error(*rounded, reach)
        if worst < best[2]:
            best = (*rounded, worst)
        weight = weight * np.sqrt(ripple / ripple.max() + 0.02)
        weight = weight / weight.max()
    return best


def _seed(solved: list[np.ndarray], n: int, reach: float) -> np.ndarray:
    """log xi of n poles, extrapolated from the curves log xi against (p-1)/(n-1) of n-1, n-2 and n-3 poles."""
    if not solved:
        return np.log([np.pi, 2 * reach / 3])
    curves = [PchipInterpolator(np.linspace(0, 1, len(u)), u)(np.linspace(0, 1, n)) for u in solved[:-4:-1]]
    if len(curves) < 3:
        return curves[0]
    return np.sort(3 * curves[0] - 3 * curves[1] + curves[2])


def family(reach: float, largest: int):
    """Yield (xi, eta, error) for 2, 3, ... poles at one reach, each seeded by the one before."""
    solved = []
    error = np.inf
    for n in range(2, largest + 1):
        seed = _seed(solved, n, reach).astype(np.longdouble if error < ROUGH else np.float64)
        xi, eta, error = fit(seed, reach)
        if not (np.all(eta > 0) and np.all(np.diff(xi) > 0)):
            return
        yield xi, eta, error
        solved.append(np.log(xi))
        if error < FLOOR:
            return


def main(largest: int = 32) -> None:
    """Write the table, and say what is in it."""
    entries = []
    for reach in REACHES:
        previous = np.inf
        for xi, eta, error in family(reach, largest):
            if error > previous / 1.5:
                break
            previous = error
            if error > CEILING:
                continue
            entries.append({"n": len(xi), "reach": reach, "error": error, "xi": xi.tolist(), "eta": eta.tolist()})
            print(f"reach {reach:8.0f}   n {len(xi):2d}   error {error:.2e}   largest xi {xi[-1]:.4g}", flush=True)
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    TABLE.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
