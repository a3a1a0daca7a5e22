"""The microscopic LLG in the form that mumax3, OOMMF and Ubermag take, and how wrong that form is."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import numpy as np
from scipy.optimize import minimize_scalar

from svjax.engine.arrays import real_array
from svjax.engine.shown import Shown
from svjax.macrospin.effective_llg import EffectiveLLG
from svjax.macrospin.model import MacrospinModel, TwoNumbers

ANGLES = 64
STEEPEST = 0.995
"""Largest |(Lambda^2 - 1)/(Lambda^2 + 1)|: Lambda up to 20."""


class SlonczewskiForm(Shown, eqx.Module):
    """The fields b = a(theta) p x m + f p on each layer, p the other layer, and a constant damping, of both layers:

        a(theta) = 2 damping_like Lambda^2/[(Lambda^2 + 1) + (Lambda^2 - 1) cos theta],   f = field_like.

    This is Slonczewski's torque beta [epsilon m x (p x m) - epsilon' m x p] with epsilon = Pol Lambda^2/[...]: the
    codes' Lambda is this one, damping_like = beta Pol/2 and epsilon' = field_like Pol/(2 damping_like). The errors are
    root mean squares of what the form leaves of a, f and alpha, weighted with sin^2 theta as the torques are, next to
    the root mean squares of a, f and alpha. f holds the exchange between the layers too.
    """

    units: ClassVar = {"damping_like": "hopping", "field_like": "hopping"}

    damping_like: TwoNumbers
    """a at 90 degrees, where Lambda = 1."""
    asymmetry: TwoNumbers
    """Lambda."""
    field_like: TwoNumbers
    damping: TwoNumbers
    """alpha of each layer by itself; what one layer's motion damps in the other is left out."""
    damping_like_error: TwoNumbers
    field_like_error: TwoNumbers
    damping_error: TwoNumbers
    model: MacrospinModel
    """With the same numbers, Lambda = 1 and J_eff = 0: for `micromagnetic_parameters`, whose Lambda is to be replaced
    by ``asymmetry``, and for `fit_torques`."""


def slonczewski_form(llg: EffectiveLLG) -> SlonczewskiForm:
    """The least-squares fit of a `SlonczewskiForm` to the torques and the damping of an `EffectiveLLG` at all angles.

    Raises ValueError for traced values and for an ``llg`` that is nan.
    """
    theta = np.pi * (np.arange(ANGLES) + 0.5) / ANGLES
    torques, weight = llg.torques(theta), np.sin(theta)
    like, along = np.asarray(torques.damping_like), np.asarray(torques.field_like)
    alpha = np.einsum("tll->tl", np.asarray(llg.damping(theta).alpha))
    if not all(np.all(np.isfinite(x)) for x in (like, along, alpha)):
        raise ValueError("Argument `llg` must be finite, but is not.")
    constant = np.ones_like(theta)
    field, field_error = np.transpose([_scale(constant, y, weight) for y in along.T])
    damping, damping_error = np.transpose([_scale(constant, y, weight) for y in alpha.T])
    middle, asymmetry, like_error = np.transpose([_angular(np.cos(theta), y, weight) for y in like.T])
    share = 2 * asymmetry**2 / (asymmetry**2 + 1)
    model = MacrospinModel(
        0.0, llg.n_s, llg.anisotropy, llg.easy_axes, llg.field[0], damping, middle / share, field, None
    )
    numbers = [middle / share, asymmetry, field, damping, like_error, field_error, damping_error]
    return SlonczewskiForm(*(real_array(x) for x in numbers), model=model)


def _angular(cosine: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """y = middle/(1 + s cosine): the middle, Lambda of s = (Lambda^2 - 1)/(Lambda^2 + 1), and the error."""
    shape = lambda s: 1 / (1 + s * cosine)
    grid = np.linspace(-STEEPEST, STEEPEST, 41)
    best = grid[np.argmin([_scale(shape(s), y, weight)[1] for s in grid])]
    near = (max(best - 0.05, -STEEPEST), min(best + 0.05, STEEPEST))
    s = minimize_scalar(lambda s: _scale(shape(s), y, weight)[1], bounds=near, method="bounded").x
    middle, error = _scale(shape(s), y, weight)
    return middle, np.sqrt((1 + s) / (1 - s)), error


def _scale(shape: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """The factor of a shape that fits y best, and what is left next to y; zero where y is."""
    w = weight**2
    factor = np.sum(w * shape * y) / np.sum(w * shape**2)
    size = np.sum(w * y**2)
    return factor, np.sqrt(np.sum(w * (y - factor * shape) ** 2) / size) if size > 0 else 0.0
