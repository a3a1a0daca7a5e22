"""The spin valve: its lattice and every physical parameter of Eqs. (1), (2) and (6), each a differentiable leaf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import signature
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from svjax.engine.arrays import Numbers, Spins, known, numerics, on_host, real_array
from svjax.engine.quantities import quantities, shown
from svjax.engine.shown import Entry, Shown, in_words
from svjax.lattices import geometries
from svjax.lattices.bond_lists import split, with_lists
from svjax.lattices.lattice import Lattice
from svjax.lattices.sketch import sketch
from svjax.model.builder import builder, finish_builders
from svjax.model.leaves import Leaves, precision, tidy_axes, tidy_bands, tidy_poles
from svjax.reservoirs.poles import Poles, pade_poles


def _on(lattice: Callable[..., Lattice], **defaults: Any) -> Callable[..., "SpinValve"]:
    """The builder of valves on a ``lattice`` of `geometries`: its arguments, and every parameter as a keyword.

    A default of the anisotropy is that of the pinned and of the free layer, where there are both.
    """

    @builder(**defaults)
    @wraps(lattice)
    def on_lattice(*args: Any, **given: Any) -> "SpinValve":
        own = {name: given.pop(name) for name in signature(lattice).parameters if name in given}
        if "anisotropy" in defaults and given["anisotropy"] is defaults["anisotropy"]:
            bound = signature(lattice).bind(*args, **own)
            bound.apply_defaults()
            sizes = [bound.arguments[layer] for layer in ("pinned", "free")]
            given["anisotropy"] = [k for k, size in zip(defaults["anisotropy"], sizes, strict=True) if size]
        return build(*with_lists(lattice(*args, **own), given))

    return staticmethod(on_lattice)  # type: ignore[return-value]


class SpinValve(Shown, Leaves):
    """Electrons on a lattice, classical spins on some of its sites, and leads.

    Build one with `SpinValve.square`, `SpinValve.chain`, `SpinValve.from_bonds` and the others. The fields are the
    parameters of

        H   = -hopping sum_<ij> (c_i^+ A_ij c_j + h.c.) + sum_j c_j^+ [mu_bar_j + (j_sd_j/2) sigma.S_j] c_j,
        A_ij = [bonds_ij - i (rashba/hopping) (z x d_ij).sigma] e^(i flux w_ij),
        H_C = j_ex sum_<ij> S_i.S_j + sum_<ij> S_i.spin_bonds_ij.S_j - sum_j field_j.S_j
              - sum_j anisotropy_j (S_j.easy_axis_j)^2 + sum_j j_sd_j s_j.S_j,
        dS_j/dt = S_j x (B_j + b_j) - damping_j S_j x dS_j/dt,

    and of the leads, whose coupling on their contact sites is Gamma_l (1 + p_l.sigma), with the Fermi function expanded
    in ``poles``. The first j_ex joins neighbouring spins of one layer. Energies are in units of a reference hopping
    gamma, |S_j| = 1. A field replaced by ``eqx.tree_at`` may be a plain number.
    """

    square = _on(geometries.square, j_sd=..., anisotropy=(0.4, 0.02))
    chain = _on(geometries.chain, j_sd=...)
    honeycomb = _on(geometries.honeycomb, j_sd=...)
    triangular = _on(geometries.triangular, j_sd=...)
    cubic = _on(geometries.cubic, j_sd=...)
    ring = _on(geometries.ring)

    @staticmethod
    @builder()
    def from_bonds(
        n_sites: int,
        bonds: Sequence[Sequence],
        layers: Sequence[Sequence[int]] = (),
        contacts: Sequence[Sequence[int]] = (),
        *,
        spin_bonds: Sequence[Sequence] = (),
        monolayers: Sequence[Sequence[int]] | None = None,
        positions: Numbers | None = None,
        windings: Numbers | None = None,
        **parameters: Any,
    ) -> "SpinValve":
        """A valve on any graph, with any number of layers and leads, also none.

        **Arguments:**

        - `n_sites`, `bonds`: sites 0 ... n_sites - 1 and the bonds (i, j) or (i, j, amplitude) between them,
          H_ij = -hopping * amplitude, a number or a 2x2 matrix in the spin, H_ji its conjugate.
        - `layers`, `contacts`: one list of sites per magnetic layer and per lead.
        - `spin_bonds`: (i, j, J) between magnetic sites, J a number or a 3x3 matrix: energy S_i.J.S_j.
        - `monolayers`: groups of sites along the transport direction, for layer-resolved observables.
        - `positions`: coordinates of the sites, (n_sites, 1 to 3). `windings`: see `Lattice`.
        """
        pairs, amplitudes = split("bonds", bonds)
        spin_pairs, exchange = split("spin_bonds", spin_bonds)
        lattice = Lattice.from_bonds(n_sites, pairs, layers, contacts, monolayers, spin_pairs, positions, windings)
        return build(lattice, parameters | {"bonds": amplitudes, "spin_bonds": exchange})

    def _head(self) -> str:
        return repr(self.lattice).replace("Lattice", "SpinValve")

    def _entries(self) -> list[Entry]:
        """All parameters but those that are absent or zero."""
        given = {name: getattr(self, name) for name in QUANTITIES}
        rows = [
            (name, in_words(value), QUANTITIES[name].unit)
            for name, value in given.items()
            if value is not None and not (known(value) and np.all(np.asarray(value) == 0))
        ]
        return [
            *rows,
            ("poles", in_words(self.poles), ""),
            *[("bands", in_words(self.bands), "")] * (self.bands is not None),
        ]

    def _repr_html_(self) -> str:
        return sketch(self.lattice) + super()._repr_html_()

    @property
    def dtype(self) -> np.dtype:
        """The type of all real parameters."""
        return self.hopping.dtype

    def __eq__(self, other) -> bool:
        if not isinstance(other, SpinValve):
            return NotImplemented
        return bool(eqx.tree_equal(canonical(self), canonical(other)))

    __hash__ = None  # type: ignore[assignment]


QUANTITIES = quantities(SpinValve)
"""The table of parameters: what records, sweeps, fits, options and descriptions read."""

finish_builders(QUANTITIES)


AUTO: list[Callable[["SpinValve"], Poles]] = []
"""What chooses the poles "auto": it needs the Hamiltonian, whose module comes behind this one and puts it here."""


def build(lattice: Lattice, parameters: dict[str, Any]) -> SpinValve:
    """The valve on ``lattice`` with ``parameters``, those of `QUANTITIES`, ``poles`` and ``dtype``; checks them all."""
    given = dict(parameters)
    dtype, poles, bands = precision(given.pop("dtype")), given.pop("poles"), given.pop("bands")
    given["easy_axes"] = tidy_axes(lattice, given["easy_axes"])
    auto = isinstance(poles, str) and poles == "auto"
    valve = _shaped(lattice, given, pade_poles(30) if poles is None or auto else poles, bands, dtype)
    check(valve)
    if auto and lattice.contacts:
        valve = _shaped(lattice, given, AUTO[0](valve), bands, dtype)
    needed = {"rashba": lambda: lattice.directions, "flux": lambda: lattice.phases_per_flux}
    for name, geometry in needed.items():
        if getattr(valve, name) is not None:
            geometry()
    return valve


def _shaped(lattice: Lattice, values: dict[str, Any], poles: Any, bands: Any, dtype: np.dtype) -> SpinValve:
    """A valve whose leaves are arrays of one precision and of their full shapes."""
    leaves = {
        name: None if values[name] is None and kind.absent is not None else kind.array(name, values[name], sizes, dtype)
        for sizes in (lattice.sizes,)
        for name, kind in QUANTITIES.items()
    }
    poles, bands = tidy_poles(lattice, poles, dtype), tidy_bands(lattice, bands, dtype)
    return SpinValve(lattice=lattice, poles=poles, bands=bands, **leaves)  # type: ignore[arg-type]


def canonical(valve: SpinValve) -> SpinValve:
    """The same valve with every leaf an array of one floating-point type and of its full shape.

    ``eqx.tree_at`` puts whatever it is given in place of a leaf; a plain number there would vanish from gradients and
    make ``jit`` compile again, so every public function passes its valve through here.
    """
    values = {name: getattr(valve, name) for name in QUANTITIES}
    return _shaped(valve.lattice, values, valve.poles, valve.bands, _dtype(valve))


def _dtype(valve: SpinValve) -> np.dtype:
    """The one type of all real leaves, some of which may be plain numbers."""
    real = [leaf for leaf in jax.tree.leaves(valve) if not jnp.iscomplexobj(leaf)]
    return np.dtype(jnp.result_type(jnp.float32, *real))


def leaf(valve: SpinValve, name: str) -> Array:
    """The leaf ``name`` of `canonical`; where the valve has none, what that stands for."""
    value, kind = getattr(valve, name), QUANTITIES[name]
    return kind.array(name, kind.absent if value is None else value, valve.lattice.sizes, _dtype(valve))


def check(valve: SpinValve) -> None:
    """Raise a ValueError that names the first parameter with an impossible value (skipped for traced values)."""
    for name, kind in QUANTITIES.items():
        if (value := getattr(valve, name)) is not None:
            kind.check(name, value)
    if known(valve.lead_polarization):
        size = np.linalg.norm(valve.lead_polarization, axis=-1)
        if not np.all(size <= 1 + 1e-6):
            raise ValueError(f"Argument `lead_polarization` must not be longer than 1, but lengths are {shown(size)}.")
    if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(valve.poles) if known(leaf)):
        raise ValueError("Argument `poles` must be finite, but is not.")


def prepare(valve: SpinValve) -> SpinValve:
    """What every public entry does first: `canonical`, then `check`."""
    valve = canonical(valve)
    check(valve)
    return valve


def lead_poles(valve: SpinValve) -> tuple[Poles, ...]:
    """The expansion of the Fermi function of each lead."""
    return valve.poles if isinstance(valve.poles, tuple) else (valve.poles,) * len(valve.lattice.contacts)


def per_spin(valve: SpinValve, name: str) -> Array:
    """The parameter ``name`` for every spin, from its value for all, per layer or per spin: (N_S,) or (N_S, 3)."""
    value, lattice = on_host(getattr(valve, name)), valve.lattice
    vector = 1 if QUANTITIES[name].shapes[0][-1:] == (3,) else 0
    if value.ndim == vector:
        return numerics(value).broadcast_to(value, (len(lattice.spin_sites), *value.shape))
    return value[lattice.spin_layers] if value.shape[0] == len(lattice.layers) else value


def aligned_spins(valve: SpinValve) -> Spins:
    """(N_S, 3) every spin along its easy axis, the start of the paper's protocol."""
    return jnp.asarray(per_spin(canonical(valve), "easy_axes"))


def check_spins(valve: SpinValve, spins: Numbers) -> Spins:
    """``spins`` as an array of shape (N_S, 3); raises if the shape is wrong or a spin is not of unit length."""
    spins = real_array(spins, "spins").astype(valve.dtype)
    shape = (len(valve.lattice.spin_sites), 3)
    if spins.shape != shape:
        raise ValueError(f"Argument `spins` must have shape {shape}, but has shape {spins.shape}.")
    if known(spins):
        length = np.linalg.norm(spins, axis=-1)
        off = np.where(np.isfinite(length), np.abs(length - 1), np.inf)
        if not np.all(off < 1e-3):
            raise ValueError(
                f"Argument `spins` must be of unit length, but lengths reach {shown(length[off.argmax()])}."
            )
    return spins
