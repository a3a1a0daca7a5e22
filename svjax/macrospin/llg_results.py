"""What the microscopic LLG says about two layers: torques, coupling and damping at angles between them."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from svjax.engine.shown import Shown
from svjax.macrospin.model import TwoNumbers


class LayerTorques(Shown, eqx.Module):
    """Fields of the electrons on the layers, per spin, at some angles: b = field_like p + damping_like p x m, p the
    other layer, as in `MacrospinModel`. The field-like part holds the exchange."""

    units: ClassVar = {"theta": "rad", "field_like": "hopping", "damping_like": "hopping"}

    theta: Float[Array, "*angles"]
    field_like: Float[Array, "*angles 2"]
    damping_like: Float[Array, "*angles 2"]


class LayerExchange(Shown, eqx.Module):
    """E = -bilinear c - biquadratic c^2, c = m_0.m_1, whose slope is the field-like torque on each layer (2,).

    Positive is ferromagnetic; J_eff of two spins is bilinear/(N_0 N_1). The layers differ where a voltage drives
    torques that are no gradient. `remainder` is the root mean square of what dE/dc leaves of it.
    """

    units: ClassVar = {"bilinear": "hopping", "biquadratic": "hopping", "remainder": "hopping"}

    bilinear: TwoNumbers
    biquadratic: TwoNumbers
    remainder: TwoNumbers


class LayerDamping(Shown, eqx.Module):
    """Damping of the layers and between them at some angles.

    - `alpha`: (..., 2, 2) of the fields -alpha_lk dm_k/dt on layer l, the mean over the directions of dm_k.
    - `moment`: (..., 2), the moment of each layer next to the number of its spins.
    - `tensor`: (..., 2, 2, 2, 2) of all of A/N_l (layer, axis, layer, axis) along (n x m_l, n), n = m_0 x m_1.
    """

    theta: Float[Array, "*angles"]
    alpha: Float[Array, "*angles 2 2"]
    moment: Float[Array, "*angles 2"]
    tensor: Float[Array, "*angles 2 2 2 2"]
