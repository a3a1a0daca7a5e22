"""The leaves of a valve: the table of its parameters, and how what is given becomes arrays of one precision."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Inexact

from svjax.engine.arrays import Numbers, PerLead, Scalar, numerics, on_host, real_array
from svjax.engine.quantities import holds, quantity
from svjax.lattices.lattice import Lattice
from svjax.reservoirs.bands import AbstractBand, band_of_type
from svjax.reservoirs.poles import Poles

_EASY_AXES = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


class Leaves(eqx.Module):
    """The table of parameters: what each is, its unit, shapes, default and bounds stands here and nowhere else."""

    lattice: Lattice = eqx.field(static=True)
    hopping: Scalar = quantity("gamma", "hopping", "Hopping between neighbouring sites", default=1.0)
    bonds: Inexact[Array, "bonds *spinor"] | None = quantity(
        "A",
        "1",
        "Amplitudes of the bonds, H_ij = -hopping A_ij, a number or a 2x2 matrix each; all 1 if absent",
        shapes=(("bonds",), ("bonds", 2, 2)),
        absent=1.0,
        complex=True,
    )
    rashba: Scalar | None = quantity(
        "lambda", "hopping", "Rashba spin-orbit coupling, A_ij = 1 - i (lambda/gamma) (z x d_ij).sigma", absent=0.0
    )
    flux: Scalar | None = quantity(
        "phi", "hbar/e", "Magnetic flux through a ring, or through a unit of area of other lattices", absent=0.0
    )
    mu_bar: Float[Array, "*sites"] = quantity(
        "mu_bar", "hopping", "Shift of the levels of all sites, or of each", shapes=((), ("sites",)), default=0.0
    )
    j_sd: Float[Array, "*spins"] = quantity(
        "J_sd",
        "hopping",
        "Coupling of electrons and spins",
        shapes=((), ("layers",), ("spins",)),
        default=0.0,
    )
    j_ex: Scalar = quantity(
        "J_ex", "hopping", "Exchange of neighbouring spins of a layer; negative is ferromagnetic", default=-1.0
    )
    spin_bonds: Float[Array, "spin_bonds *matrix"] | None = quantity(
        "J",
        "hopping",
        "Exchange S_i.J.S_j along each of the lattice's spin bonds, a number or a 3x3 matrix",
        shapes=(("spin_bonds",), ("spin_bonds", 3, 3)),
        absent=0.0,
    )
    anisotropy: Float[Array, "layers"] = quantity(
        "K", "hopping", "Anisotropy of each layer or spin", shapes=(("layers",), ("spins",)), default=0.0
    )
    easy_axes: Float[Array, "layers 3"] = quantity(
        "easy axis",
        "1",
        "Easy axes of the layers or spins",
        shapes=(("layers", 3), ("spins", 3)),
        directions=True,
    )
    field: Float[Array, "*spins 3"] = quantity(
        "B",
        "hopping",
        "Magnetic field on a spin of unit length",
        shapes=((3,), ("layers", 3), ("spins", 3)),
        default=(0.0, 0.0, 0.0),
    )
    damping: Float[Array, "*spins"] = quantity(
        "alpha", "1", "Gilbert damping", shapes=((), ("layers",), ("spins",)), default=0.0, least=0.0
    )
    spin_temperature: Scalar = quantity(
        "T_s", "hopping/k_B", "Temperature of the spins' bath, for stochastic runs", default=0.0, least=0.0
    )
    lead_coupling: Float[Array, "leads"] = quantity(
        "Gamma",
        "hopping",
        "Coupling of the leads, or of each contact site",
        shapes=(("leads",), ("contacts",)),
        default=1.0,
        least=0.0,
        driven=False,
    )
    lead_polarization: Float[Array, "leads 3"] = quantity(
        "p",
        "1",
        "Polarisation of magnetic leads, Gamma (1 + p.sigma) with |p| <= 1",
        shapes=(("leads", 3),),
        default=(0.0, 0.0, 0.0),
        driven=False,
    )
    temperature: PerLead = quantity(
        "T",
        "hopping/k_B",
        "Temperature of the leads",
        shapes=(("leads",),),
        default=0.025,
        least=0.0,
        strict=True,
        driven=False,
    )
    poles: Poles | tuple[Poles, ...] = eqx.field(kw_only=True)
    bands: tuple[AbstractBand | None, ...] | None = eqx.field(kw_only=True, default=None)


def precision(dtype: Any) -> np.dtype:
    """The type of numbers that ``dtype`` names; raises RuntimeError for double precision without jax_enable_x64."""
    for kind in (np.dtype(np.float64), np.dtype(np.float32)):
        if dtype is not None and kind == dtype:
            if kind == np.float64 and not jax.config.read("jax_enable_x64"):
                raise RuntimeError(
                    "svjax works in double precision, but jax_enable_x64 is off: call "
                    "`jax.config.update('jax_enable_x64', True)` first, or ask for `dtype='float32'`."
                )
            return kind
    raise ValueError(f"Argument `dtype` must be 'float64' or 'float32', but is {dtype!r}.")


def tidy_bands(lattice: Lattice, bands: Any, dtype: np.dtype) -> tuple[AbstractBand | None, ...] | None:
    """``bands`` as a tuple, None where no lead has one."""
    if bands is None:
        return None
    if not isinstance(bands, list | tuple) or len(bands) != len(lattice.contacts):
        raise ValueError(f"Argument `bands` must hold one band or None for each of the {len(lattice.contacts)} leads.")
    if not all(band is None or isinstance(band, AbstractBand) for band in bands):
        raise ValueError(f"Argument `bands` must hold LorentzianBand, StripBand or None, but is {bands!r}.")
    if all(band is None for band in bands):
        return None
    return tuple(None if band is None else band_of_type(band, dtype) for band in bands)


def tidy_poles(lattice: Lattice, poles: Any, dtype: np.dtype) -> Poles | tuple[Poles, ...]:
    """``poles`` as one expansion, or a tuple of one per lead, of precision ``dtype``."""
    poles = tuple(poles) if isinstance(poles, list) else poles
    expansions = poles if isinstance(poles, tuple) else (poles,)
    if not all(isinstance(part, Poles) for part in expansions):
        raise ValueError(
            "Argument `poles` must be an expansion such as `svjax.optimized_poles(8)`, or one for each lead, "
            f"but is {poles!r}."
        )
    if isinstance(poles, tuple) and len(poles) != len(lattice.contacts):
        raise ValueError(f"Argument `poles` must hold one expansion per lead, but has {len(poles)}.")
    return jax.tree.map(lambda x: real_array(x, "poles").astype(dtype), poles)


def tidy_axes(lattice: Lattice, axes: Numbers | None) -> Array:
    """Unit vectors along ``axes``; if None, those of the paper for two layers and z for any others."""
    if axes is None:
        axes = _EASY_AXES if len(lattice.layers) == 2 else (0.0, 0.0, 1.0)
    axes = on_host(real_array(axes, "easy_axes"))
    length = numerics(axes).linalg.norm(axes, axis=-1, keepdims=True)
    if not holds(length != 0):
        raise ValueError("Argument `easy_axes` must hold directions, but one of them is the zero vector.")
    with np.errstate(invalid="ignore"):  # what is not finite is refused with all other parameters
        return axes / length
