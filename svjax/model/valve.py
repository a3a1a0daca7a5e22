"""The spin valve: its lattice and every physical parameter of Eqs. (1), (2) and (6), each a differentiable leaf."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from svjax.engine.arrays import Numbers, PerLayer, PerLead, Scalar, Spins, Vector, known, real_array
from svjax.model.lattice import Lattice, square
from svjax.model.poles import Poles, pade_poles

_EASY_AXES = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


class SpinValve(eqx.Module):
    """Electrons on a lattice, classical spins on some of its sites, and leads in the wide-band limit.

    Build one with `SpinValve.square`, `SpinValve.chain` or `SpinValve.from_bonds`. The fields are the parameters of

        H   = -hopping sum_<ij> (c_i^+ c_j + h.c.) + mu_bar sum_j c_j^+ c_j + (j_sd/2) sum_j c_j^+ sigma.S_j c_j,
        H_C = j_ex sum_<ij> S_i.S_j - field.S - anisotropy_l (S.easy_axis_l)^2 + j_sd s.S,

    and of the leads, ``lead_coupling`` Gamma_l on their contact sites and ``temperature`` T_l, with the Fermi function
    expanded in ``poles``. ``mu_bar`` shifts the electrons' levels; j_ex joins neighbouring spins of one layer. Energies
    are in units of a reference hopping gamma, |S_j| = 1. A field replaced by ``eqx.tree_at`` may be a plain number.
    """

    lattice: Lattice = eqx.field(static=True)
    hopping: Scalar
    mu_bar: Scalar
    j_sd: Scalar
    j_ex: Scalar
    anisotropy: PerLayer
    easy_axes: Float[Array, "layers 3"]
    field: Vector
    lead_coupling: PerLead
    temperature: PerLead
    poles: Poles

    @staticmethod
    def square(
        length: int = 12,
        width: int = 4,
        pinned: int = 4,
        free: int = 4,
        *,
        buffer: int = 0,
        j_sd: Numbers,
        j_ex: Numbers = -1.0,
        anisotropy: Numbers = (0.4, 0.02),
        easy_axes: Numbers | None = None,
        **parameters,
    ) -> "SpinValve":
        """The valve of the paper's Fig. 1 on a ``length`` x ``width`` square lattice (site x * width + y).

        The pinned layer fills ``pinned`` columns after ``buffer`` columns of metal, the free layer ``free`` columns
        before the last ``buffer`` ones; one lead touches the first column and one the last. Further keywords are those
        of `from_bonds`: field, mu_bar, hopping, lead_coupling, temperature, poles, dtype.
        """
        lattice = square(length, width, pinned, free, buffer)
        return _build(lattice, j_sd=j_sd, j_ex=j_ex, anisotropy=anisotropy, easy_axes=easy_axes, **parameters)

    @staticmethod
    def chain(
        pinned: int = 5,
        spacer: int = 10,
        free: int = 5,
        *,
        j_sd: Numbers,
        leads: bool = False,
        j_ex: Numbers = -1.0,
        anisotropy: Numbers = 0.0,
        easy_axes: Numbers | None = None,
        **parameters,
    ) -> "SpinValve":
        """The one-dimensional valve of Sec. III A: a chain of ``pinned`` + ``spacer`` + ``free`` sites (site x),
        isolated unless ``leads`` puts one lead on each end. Further keywords are those of `from_bonds`."""
        for name, value in {"pinned": pinned, "spacer": spacer, "free": free}.items():
            if value != int(value) or value < 0:
                raise ValueError(f"Argument `{name}` must be a whole number of at least 0, but is {value}.")
        lattice = square(pinned + spacer + free, 1, pinned, free, 0)
        if not leads:
            lattice = Lattice(lattice.n_sites, lattice.bonds, lattice.layers, (), lattice.monolayers)
        return _build(lattice, j_sd=j_sd, j_ex=j_ex, anisotropy=anisotropy, easy_axes=easy_axes, **parameters)

    @staticmethod
    def from_bonds(
        n_sites: int,
        bonds: Sequence[Sequence],
        layers: Sequence[Sequence[int]] = (),
        contacts: Sequence[Sequence[int]] = (),
        *,
        j_sd: Numbers = 0.0,
        monolayers: Sequence[Sequence[int]] | None = None,
        **parameters,
    ) -> "SpinValve":
        """A valve on any graph, with any number of layers and leads, also none.

        **Arguments:**

        - `n_sites`, `bonds`: sites 0 ... n_sites - 1 and the bonds (i, j) or (i, j, amplitude) between them,
          H_ij = -hopping * amplitude, H_ji its conjugate.
        - `layers`, `contacts`: one list of sites per magnetic layer and per lead.
        - `j_sd`, `j_ex`: couplings of a spin to the electrons on its site and to neighbouring spins of its layer.
        - `anisotropy`, `easy_axes`: K and the direction e per layer (one value serves all layers).
        - `field`: magnetic field (3,) on a spin of unit length. `mu_bar`: shift of all levels. `hopping`: gamma.
        - `lead_coupling`, `temperature`: Gamma and T, a number or one per lead.
        - `poles`: expansion of the Fermi function, `sv.pade_poles(30)` by default.
        - `monolayers`: groups of sites along the transport direction, for layer-resolved observables.
        - `dtype`: precision of all parameters, float64 by default.
        """
        lattice = Lattice.from_bonds(n_sites, bonds, layers, contacts, monolayers)
        return _build(lattice, j_sd=j_sd, **parameters)

    def __eq__(self, other) -> bool:
        if not isinstance(other, SpinValve):
            return NotImplemented
        return bool(eqx.tree_equal(canonical(self), canonical(other)))

    __hash__ = None  # type: ignore[assignment]


def _build(
    lattice: Lattice,
    *,
    j_sd: Numbers,
    j_ex: Numbers = -1.0,
    anisotropy: Numbers = 0.0,
    easy_axes: Numbers | None = None,
    field: Numbers = (0.0, 0.0, 0.0),
    mu_bar: Numbers = 0.0,
    hopping: Numbers = 1.0,
    lead_coupling: Numbers = 1.0,
    temperature: Numbers = 0.025,
    poles: Poles | None = None,
    dtype: DTypeLike = "float64",
) -> SpinValve:
    if np.dtype(dtype) == np.float64 and not jax.config.read("jax_enable_x64"):
        raise RuntimeError(
            "svjax works in double precision, but jax_enable_x64 is off: call "
            "`jax.config.update('jax_enable_x64', True)` first, or ask for `dtype='float32'`."
        )
    if easy_axes is None:
        easy_axes = _EASY_AXES if len(lattice.layers) == 2 else (0.0, 0.0, 1.0)
    easy_axes = real_array(easy_axes)
    length = jnp.linalg.norm(easy_axes, axis=-1, keepdims=True)
    if not _holds(length != 0):
        raise ValueError("Argument `easy_axes` must hold directions, but one of them is the zero vector.")
    numbers = (hopping, mu_bar, j_sd, j_ex, anisotropy, easy_axes / length, field, lead_coupling, temperature)
    valve = _shaped(lattice, numbers, pade_poles(30) if poles is None else poles, np.dtype(dtype))
    check(valve)
    return valve


def _shapes(lattice: Lattice) -> dict[str, tuple[int, ...]]:
    layers, leads = len(lattice.layers), len(lattice.contacts)
    scalars = dict.fromkeys(("hopping", "mu_bar", "j_sd", "j_ex"), ())
    per_layer = {"anisotropy": (layers,), "easy_axes": (layers, 3)}
    return scalars | per_layer | {"field": (3,), "lead_coupling": (leads,), "temperature": (leads,)}


def _shaped(lattice: Lattice, numbers: Sequence, poles: Poles, dtype: DTypeLike) -> SpinValve:
    """A valve whose leaves, given in the order of `_shapes`, are arrays of one type and of their full shapes."""
    leaves = []
    for value, (name, shape) in zip(numbers, _shapes(lattice).items(), strict=True):
        value = real_array(value).astype(dtype)
        try:
            leaves.append(jnp.broadcast_to(value, shape))
        except ValueError:
            raise ValueError(f"Argument `{name}` must have shape {shape}, but has shape {value.shape}.") from None
    poles = jax.tree.map(lambda x: real_array(x).astype(dtype), poles)
    return SpinValve(lattice, *leaves, poles)  # type: ignore[call-arg]


def canonical(valve: SpinValve) -> SpinValve:
    """The same valve with every leaf an array of one floating-point type and of its full shape.

    ``eqx.tree_at`` puts whatever it is given in place of a leaf; a plain number there would vanish from gradients and
    make ``jit`` compile again, so every public function passes its valve through here.
    """
    numbers = [getattr(valve, name) for name in _shapes(valve.lattice)]
    return _shaped(valve.lattice, numbers, valve.poles, jnp.result_type(jnp.float32, *jax.tree.leaves(valve)))


def check(valve: SpinValve) -> None:
    """Raise a ValueError that names the first parameter with an impossible value (skipped for traced values)."""
    for name in _shapes(valve.lattice):
        value = getattr(valve, name)
        if not _holds(jnp.isfinite(value)):
            raise ValueError(f"Argument `{name}` must be finite, but is {_shown(value)}.")
    length = jnp.linalg.norm(valve.easy_axes, axis=-1)
    if not _holds(jnp.abs(length - 1) < 1e-3):
        raise ValueError(f"Argument `easy_axes` must be of unit length, but lengths are {_shown(length)}.")
    if not _holds(valve.temperature > 0):
        raise ValueError(f"Argument `temperature` must be positive, but is {_shown(valve.temperature)}.")
    if not _holds(valve.lead_coupling >= 0):
        raise ValueError(f"Argument `lead_coupling` must not be negative, but is {_shown(valve.lead_coupling)}.")
    for name in ("xi", "eta"):
        if not _holds(jnp.isfinite(getattr(valve.poles, name))):
            raise ValueError(f"Argument `poles` must be finite, but its `{name}` is not.")


def prepare(valve: SpinValve) -> SpinValve:
    """What every public entry does first: `canonical`, then `check`."""
    valve = canonical(valve)
    check(valve)
    return valve


def aligned_spins(valve: SpinValve) -> Spins:
    """(N_S, 3) every layer along its easy axis, the start of the paper's protocol."""
    valve = canonical(valve)
    return valve.easy_axes[valve.lattice.spin_layers]


def check_spins(valve: SpinValve, spins: Numbers) -> Spins:
    """``spins`` as an array of shape (N_S, 3); raises if the shape is wrong or a spin is not of unit length."""
    spins = jnp.asarray(spins, valve.j_sd.dtype)
    shape = (len(valve.lattice.spin_sites), 3)
    if spins.shape != shape:
        raise ValueError(f"Argument `spins` must have shape {shape}, but has shape {spins.shape}.")
    length = jnp.linalg.norm(spins, axis=-1)
    if not _holds(jnp.abs(length - 1) < 1e-3):
        raise ValueError(f"Argument `spins` must be of unit length, but lengths reach {_shown(_farthest(length))}.")
    return spins


def _farthest(length: Array) -> Array:
    return length[jnp.argmax(jnp.where(jnp.isfinite(length), jnp.abs(length - 1), jnp.inf))]


def _holds(condition: Array) -> bool:
    """Whether a condition holds everywhere; yes when it is traced, because its values are not known yet."""
    return not known(condition) or bool(jnp.all(condition))


def _shown(value: Array) -> str:
    return np.array2string(np.asarray(value), precision=6)
