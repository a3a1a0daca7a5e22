"""Derivatives in what makes a magnet a general one, against differences: one program for each function, in reverse,
or forward where reverse takes minutes to compile (evolve; tests/test_gradients.py has that)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import random_spins

import svjax as sv

RNG = np.random.default_rng(2)
MATRIX = lambda: np.eye(2) + 0.3 * (RNG.normal(size=(2, 2)) + 1j * RNG.normal(size=(2, 2)))
VALVE = sv.SpinValve.from_bonds(
    4,
    [(0, 1, MATRIX()), (1, 2, MATRIX()), (2, 3, MATRIX()), (3, 0, MATRIX())],
    layers=[[0, 1], [2]],
    contacts=[[0], [3]],
    positions=[[0.0, 0.0], [1.0, 0.1], [1.2, 1.0], [0.0, 0.9]],
    spin_bonds=[(0, 2, -0.1 + 0.05 * RNG.normal(size=(3, 3)))],
    rashba=0.3,
    flux=0.4,
    mu_bar=[0.1, -0.2, 0.3, 0.05],
    j_sd=[1.1, 0.9, 1.3],
    anisotropy=[0.9, 0.8],
    easy_axes=[(1.0, 0.2, 0.0), (0.0, 0.1, 1.0)],
    field=[(0.1, -0.05, 0.02), (0.03, 0.08, 0.2)],
    damping=[0.1, 0.2],
    lead_coupling=(0.9, 1.2),
    lead_polarization=[(0.3, 0.1, -0.2), (0.1, -0.4, 0.2)],
    temperature=(0.2, 0.3),
    bands=[sv.LorentzianBand(3.0, 0.4), None],
    poles=[sv.pade_poles(3), sv.optimized_poles(4)],
)
LEAVES = {
    name: (lambda v, name=name: getattr(v, name))
    for name in ("bonds", "rashba", "flux", "mu_bar", "j_sd", "spin_bonds", "field", "damping", "lead_polarization")
} | {
    "temperature": lambda v: v.temperature,
    "bands[0].width": lambda v: v.bands[0].width,
    "bands[0].center": lambda v: v.bands[0].center,
    "poles[0].xi": lambda v: v.poles[0].xi,
    "poles[1].eta": lambda v: v.poles[1].eta,
}
MU, SPINS = jnp.array([0.3, -0.4]), random_spins(np.random.default_rng(5), 3)
START = jax.tree.map(jax.lax.stop_gradient, sv.stationary(VALVE, SPINS))


def run(valve):
    found = sv.evolve(valve, START, MU, 0.4, dt=0.1, save_every=2)
    return found.observables, found.state


ELECTRONS = {"bonds", "rashba", "flux", "mu_bar", "j_sd", "lead_polarization", "bands[0].width", "bands[0].center"}
POLES = {"poles[0].xi", "poles[1].eta"}
TABLE = {
    "stationary": (lambda v: sv.stationary(v, SPINS, MU), ELECTRONS | POLES | {"temperature"}),
    "steady_state": (lambda v: sv.steady_state(v, MU, allow_unstable=True), set(LEAVES) - {"damping"}),
    "landauer_current": (lambda v: sv.landauer_current(v, SPINS, MU), ELECTRONS | {"temperature"}),
    "evolve": (run, set(LEAVES)),
}
"""Function -> the parameters that it depends on; in all others its derivative must vanish."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "evolve" else n for n in TABLE])
def test_derivatives(name):
    """One program for each function: a weighted sum of all that it returns, and its derivative in every leaf."""
    function, depends = TABLE[name]
    weights = jax.tree.map(
        lambda part: jnp.asarray(np.random.default_rng(part.size).normal(size=(2, *part.shape))),
        jax.eval_shape(function, VALVE),
    )
    parts = lambda found, w: jnp.sum(w[0] * jnp.real(found)) + jnp.sum(w[1] * jnp.imag(found))
    total = lambda valve: sum(jax.tree.leaves(jax.tree.map(parts, function(valve), weights)))
    if name == "evolve":
        program = jax.jit(lambda valve, tangent: jax.jvp(total, (valve,), (tangent,)))
    else:
        reverse = jax.jit(jax.value_and_grad(total))
        program = lambda valve, tangent: _along(*reverse(valve), tangent)
    rng, step, zero = np.random.default_rng(3), 1e-3, jax.tree.map(jnp.zeros_like, VALVE)
    for leaf, of in LEAVES.items():
        change = rng.normal(size=of(VALVE).shape)
        if jnp.iscomplexobj(of(VALVE)):
            change = change + 1j * rng.normal(size=change.shape)
        tangent = eqx.tree_at(of, zero, jnp.asarray(change))
        at = lambda x, tangent=tangent: program(jax.tree.map(lambda v, t: v + x * t, VALVE, tangent), tangent)
        difference = (8 * (at(step)[0] - at(-step)[0]) - (at(2 * step)[0] - at(-2 * step)[0])) / (12 * step)
        slope = at(0.0)[1]
        assert np.isfinite(slope) and abs(slope - difference) <= 1e-6 * abs(difference) + 1e-9, (leaf, slope)
        assert (abs(difference) > 1e-6) == (leaf in depends), (leaf, difference)


def _along(value, slopes, tangent):
    """The value, and its derivative along a tangent, Re sum(slope dx), which must be finite in all leaves."""
    slopes = jax.tree.leaves(slopes)
    assert all(np.all(np.isfinite(part)) for part in slopes)
    pairs = zip(slopes, jax.tree.leaves(tangent), strict=True)
    return value, sum(float(jnp.sum(jnp.real(part * change))) for part, change in pairs)
