"""Every derivative in one table: functions down, parameters across, forward and reverse, against differences."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from systems import TANGLED, random_spins

import svjax as sv
from svjax.model.valve import QUANTITIES

LEAVES = {
    name: (lambda v, name=name: getattr(v, name))
    for name in QUANTITIES
    if name not in ("bonds", "rashba", "flux", "spin_bonds")
}
LEAVES |= {"poles.xi": lambda v: v.poles.xi, "poles.eta": lambda v: v.poles.eta}

TANGLE = sv.SpinValve.from_bonds(**TANGLED, poles=sv.pade_poles(3))
CLOSED = sv.SpinValve.from_bonds(**TANGLED | {"contacts": [], "lead_coupling": (), "temperature": ()})
SMALL = sv.SpinValve.chain(
    2, 1, 1, j_sd=1.3, leads=True, anisotropy=(0.4, 0.15), temperature=(0.1, 0.2), field=(0.02, 0.01, -0.03),
    poles=sv.pade_poles(3),
)  # fmt: skip
CHAIN = sv.SpinValve.chain(2, 3, 1, j_sd=1.3, mu_bar=0.2)
_ROWS = [(4 * x + y, 4 * x + y + 1) for x in range(4) for y in range(3)]
_COLUMNS = [(4 * x + y, 4 * x + y + 4) for x in range(3) for y in range(4)]
SQUARE = sv.SpinValve.from_bonds(
    16, _ROWS + _COLUMNS, [[0, 1, 2, 3], [12, 13, 14, 15]], j_sd=0.0, mu_bar=0.5, easy_axes=((1, 0, 0), (0, 0, 1))
)
"""The 4x4 square with its couplings off: each level has at least its spin's degeneracy, most have twice that."""
MU = jnp.array([0.3, -0.4, 0.1])


def spins_of(valve):
    return random_spins(np.random.default_rng(5), len(valve.lattice.spin_sites))


def state_of(valve):
    """A start that does not depend on the valve's parameters."""
    return jax.tree.map(jax.lax.stop_gradient, sv.stationary(valve, spins_of(valve)))


def numbers(tree):
    """All numbers of a tree, real and imaginary parts apart."""
    flat = jnp.concatenate([jnp.ravel(leaf).astype(complex) for leaf in jax.tree.leaves(tree)])
    return jnp.concatenate([flat.real, flat.imag])


STARTS = {id(valve): state_of(valve) for valve in (TANGLE, CLOSED, SMALL)}


def run(valve, base, **options):
    bias = MU[: len(valve.lattice.contacts)]
    options = {"method": "rk38"} | options
    found = sv.evolve(valve, STARTS[id(base)], bias, 0.6, dt=0.05, save_every=6, **options)
    return found.observables, found.state


def modes(valve):
    bias = (0.3, -0.45)
    return sv.relaxation_modes(valve, sv.steady_state(valve, bias), bias, count=2)


def occupied(valve, temperature=None):
    return sv.stationary(valve, spins_of(valve), temperature=temperature).rho


def coupling(valve, temperature=None):
    found = sv.exchange_coupling(valve, temperature=temperature)
    return found.static, found.rotating


ENERGIES = np.array([-1.3, 0.2, 0.9])
spectral = lambda function: lambda valve: function(valve, spins_of(valve), ENERGIES)

ALL, ELECTRONS = set(LEAVES) - {"spin_temperature"}, {"hopping", "mu_bar", "j_sd", "lead_coupling", "lead_polarization"}
LEADS = {"lead_coupling", "lead_polarization", "temperature", "poles.xi", "poles.eta"}
TABLE = {
    "evolve": (SMALL, partial(run, base=SMALL), ALL),
    "evolve by etd": (TANGLE, partial(run, base=TANGLE, method="etd"), ALL),
    "evolve, isolated": (CLOSED, partial(run, base=CLOSED), ALL - LEADS - {"mu_bar"}),
    "stationary": (TANGLE, lambda v: sv.stationary(v, spins_of(v), MU), ELECTRONS | LEADS),
    "stationary, isolated": (CLOSED, occupied, {"hopping", "j_sd"}),
    "stationary, isolated, warm": (CLOSED, partial(occupied, temperature=0.3), {"hopping", "mu_bar", "j_sd"}),
    "stationary, degenerate": (SQUARE, occupied, {"j_sd"}),
    "stationary, degenerate, warm": (SQUARE, partial(occupied, temperature=0.3), {"hopping", "mu_bar", "j_sd"}),
    "steady_state": (SMALL, lambda v: sv.steady_state(v, (0.3, -0.45)), ALL - {"damping"}),
    "relaxation_modes": (SMALL, modes, ALL),
    "transmission": (TANGLE, spectral(sv.transmission), ELECTRONS),
    "spin_polarization": (TANGLE, spectral(sv.spin_polarization), ELECTRONS),
    "density_of_states": (TANGLE, spectral(sv.density_of_states), ELECTRONS),
    "local_density_of_states": (TANGLE, spectral(sv.local_density_of_states), ELECTRONS),
    "layer_density_of_states": (TANGLE, spectral(sv.layer_density_of_states), ELECTRONS),
    "conductance": (TANGLE, lambda v: sv.conductance(v, spins_of(v), 0.2), ELECTRONS | {"temperature"}),
    "landauer_current": (TANGLE, lambda v: sv.landauer_current(v, spins_of(v), MU), ELECTRONS | {"temperature"}),
    "exchange_coupling": (CHAIN, coupling, {"hopping", "j_sd", "easy_axes"}),
    "exchange_coupling, warm": (CHAIN, partial(coupling, temperature=0.1), {"hopping", "mu_bar", "j_sd", "easy_axes"}),
}
"""Function -> its valve, and the parameters that it depends on; in all others its derivative must vanish."""

SLOW = {"evolve by etd", "evolve, isolated", "relaxation_modes", "landauer_current"}
"""Functions whose derivatives take long to compile, or are in `test_gradients_of_magnets` too."""


def programs(name):
    """The function of a row at a vector of all leaves with its product with a tangent, and that with a cotangent."""
    valve, function, _ = TABLE[name]
    at, unravel = ravel_pytree(valve)
    value = lambda x: numbers(function(unravel(x)))
    forward = lambda x, tangent: jax.jvp(value, (x,), (tangent,))
    reverse = lambda x, cotangent: jax.vjp(value, x)[1](cotangent)[0]
    return at, jax.jit(forward), jax.jit(reverse)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in TABLE])
def test_derivatives(name):
    valve, _, depends = TABLE[name]
    at, forward, reverse = programs(name)
    rng, step, zero = np.random.default_rng(3), 1e-3, jax.tree.map(jnp.zeros_like, valve)
    for leaf, where in LEAVES.items():
        if not jnp.size(where(valve)):
            continue
        tangent = ravel_pytree(eqx.tree_at(where, zero, jnp.asarray(rng.normal(size=where(valve).shape))))[0]
        value = lambda x, tangent=tangent: forward(at + x * tangent, tangent)[0]
        differences = 8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))
        differences /= 12 * step
        slope = forward(at, tangent)[1]
        largest = np.abs(differences).max()
        assert (largest > 1e-6) == (leaf in depends), (leaf, largest)
        assert np.abs(slope - differences).max() <= 1e-6 * largest + 1e-9, leaf
        cotangent = jnp.asarray(rng.normal(size=slope.shape))
        whole = reverse(at, cotangent)
        assert np.all(np.isfinite(whole)), leaf
        assert abs(whole @ tangent - cotangent @ slope) <= 1e-9 * np.abs(cotangent @ jnp.abs(slope)) + 1e-9, leaf
