"""The Magnus step, against the reference integrator, the exponential method with short steps, and itself."""

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from systems import as_state, largest_difference, random_spins, random_state, tangled

import svjax as sv
from svjax.engine.integrate import incomplete_gammas
from svjax.model.noise import with_noise
from svjax.model.valve import prepare

MU = (0.3, -0.2, 0.1)
MAGNET = dict(
    field=(0.5, 0.7, 0.3), anisotropy=0.4, lead_polarization=[[0.3, 0.2, 0.5], [0.0, 0.4, -0.3]], damping=0.05
)
NARROW = {"complex128": "complex64", "float64": "float32"}
SMALL = sv.SpinValve.square(4, 2, 1, 1, j_sd=1.5, temperature=0.2, poles=sv.pade_poles(6))

pytestmark = pytest.mark.filterwarnings("ignore:Argument `dt`")


def end(valve, state, mu, dt, method="magnus", duration=1.0, **options):
    """The state after a run in pieces of ten steps, one program for all dt, that jumps nowhere."""
    pieces = round(duration / dt / 10)
    for done in range(pieces):
        state = sv.evolve(
            valve, state, mu, 10 * dt, dt=dt, save_every=10, start_step=1 + 10 * done, method=method, **options
        ).state
    return state


def far_from_equilibrium(valve, count, mu):
    """A state on its way from that of other spins; fast poles have followed."""
    rng = np.random.default_rng(0)
    state = eqx.tree_at(lambda s: s.spins, sv.stationary(valve, random_spins(rng, count)), random_spins(rng, count))
    return end(valve, state, mu, 0.0125, "etd")


def test_a_run_without_any_symmetry_follows_the_reference():
    """Three leads, two of them on one site, complex bonds, layers of their own: the textbook's steps, short ones."""
    valve, system = tangled(n_poles=5)
    state, reference = random_state(valve, system)
    state, reference = (type(x)(x.rho / 20, x.pi / 20, x.spins) for x in (state, reference))
    expected = as_state(valve, oracles.evolve(system, reference, lambda t: np.array(MU), 0.005, 200))
    errors = [largest_difference(end(valve, state, MU, dt), expected) for dt in (0.1, 0.05, 0.025)]
    assert errors[-1] < 1e-7
    assert np.all(np.abs(np.diff(np.log2(errors)) + 4) < 0.5), errors


@pytest.mark.parametrize("changes", [MAGNET | dict(flux=0.7), dict(rashba=0.3, j_sd=(0.0, 2.0), poles=None)])
def test_it_is_of_fourth_order_with_every_term(changes):
    """Polarised leads turn spins on their own sites; Rashba's bonds are matrices; leads have poles of their own."""
    if changes.get("poles", True) is None:
        changes = {**changes, "poles": (sv.pade_poles(6), sv.pade_poles(9)), "temperature": (0.2, 0.3)}
    given = dict(j_sd=1.5, temperature=0.2, lead_coupling=(1.0, 0.7), poles=sv.pade_poles(6)) | changes
    valve = sv.SpinValve.square(4, 2, 1, 1, **given)
    mu = (0.5, -0.5)
    state = far_from_equilibrium(valve, 4, mu)
    reference = end(valve, state, mu, 0.0025, "etd")
    errors = [largest_difference(end(valve, state, mu, dt), reference) for dt in (0.05, 0.025, 0.0125)]
    assert errors[0] < 1e-6
    assert np.all(np.abs(np.diff(np.log2(errors)) + 4) < 0.3), errors


def test_isolated_spins_and_electrons():
    rng = np.random.default_rng(1)
    valve = sv.SpinValve.from_bonds(4, [(0, 1), (1, 2), (2, 3)], [[0, 1], [2, 3]], j_sd=2.0, field=(0, 0.3, 1.0))
    rho = rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8))
    state = sv.State(jnp.asarray(rho + rho.conj().T) / 20, jnp.zeros((8, 0), complex), random_spins(rng, 4))
    reference = end(valve, state, None, 0.005, "etd")
    errors = [largest_difference(end(valve, state, None, dt), reference) for dt in (0.1, 0.05)]
    assert errors[0] < 1e-5
    assert abs(np.log2(errors[0] / errors[1]) - 4) < 0.3, errors


def test_electrons_that_precess_about_a_slow_spin_alone_are_followed_closely():
    """Few of them leave the spin to the field, which turns it by 0.17 on the way: a twelfth alone would leave 3e-6."""
    valve = sv.SpinValve.from_bonds(1, [], [[0]], j_sd=3.0, field=(0.03, 0.0, 0.015))
    along = np.array([[0.2, -0.6], [-0.6, 1.8]])  # of electrons in the lower level
    state = sv.State(jnp.asarray(1e-6 * along, complex), jnp.zeros((2, 0), complex), jnp.array([[0.6, 0.0, 0.8]]))
    reference = end(valve, state, None, 0.005, "etd", duration=5.0).rho
    error = 1e6 * jnp.abs(end(valve, state, None, 0.25, duration=5.0).rho - reference).max()
    assert error < 1e-7


@pytest.mark.slow
def test_spins_that_are_held_leave_the_steps_of_exact_electrons():
    """What is left at dt = 0.25 is what the polynomials leave out; without spins at all, too."""
    empty = sv.SpinValve.from_bonds(3, [(0, 1), (1, 2)], [], [[0], [2]], temperature=0.2, poles=sv.optimized_poles(6))
    held = far_from_equilibrium(SMALL, 4, (0.5, -0.5))
    followed = end(empty, sv.stationary(empty, np.zeros((0, 3))), (0.5, -0.5), 0.0125, "etd")
    cases = (SMALL, held, True), (empty, followed, False)
    for valve, state, freeze in cases:
        found, by_etd = (
            end(valve, state, (0.5, -0.5), dt, method, duration=2.5, freeze_spins=freeze)
            for dt, method in ((0.25, "magnus"), (0.0125, "etd"))
        )
        assert largest_difference(found, by_etd) < 2e-6


@pytest.mark.slow
def test_a_steady_state_stays_and_the_parts_of_the_first_step_follow_a_jump():
    valve = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(6))
    state = sv.stationary(valve, sv.aligned_spins(valve), (0.5, -0.5))
    run = partial(sv.evolve, valve, method="magnus", observe=["charge_current"], freeze_spins=True)
    assert largest_difference(run(state, (0.5, -0.5), 5.0, dt=0.25).state, state) < 1e-6
    start = sv.stationary(valve, sv.aligned_spins(valve))
    found = run(start, (0.5, -0.5), 5.0, dt=0.25, save_every=4).observables["charge_current"]
    exact = run(start, (0.5, -0.5), 5.0, dt=0.05, save_every=20, method="etd").observables["charge_current"]
    assert np.abs(found - exact).max() < 3e-6


def test_noise_is_that_of_every_method():
    valve = dataclasses.replace(SMALL, damping=0.1, spin_temperature=0.05)
    state, key, dt = far_from_equilibrium(SMALL, 4, (0.5, -0.5)), jax.random.key(3), 0.05
    step = partial(sv.evolve, valve, dt=dt, save_every=1, start_step=1, key=key)
    found, by_etd = (step(state, (0.5, -0.5), 2 * dt, method=method).state for method in ("magnus", "etd"))
    assert largest_difference(found, by_etd) < 1e-5
    noise = with_noise(prepare(valve), key, 1, dt).field
    assert np.abs(noise).max() > 0.1


@pytest.mark.slow
def test_bands_of_leads_stand_at_the_levels_of_the_bias():
    poles = sv.pade_poles(6)
    valve = sv.SpinValve.square(
        4, 2, 1, 1, j_sd=1.5, temperature=0.2, poles=poles, bands=(sv.LorentzianBand(2.0), None)
    )
    state = far_from_equilibrium(valve, 4, (0.5, -0.5))
    errors = [
        largest_difference(end(valve, state, (0.5, -0.5), dt), end(valve, state, (0.5, -0.5), 0.005, "etd"))
        for dt in (0.1, 0.05)
    ]
    assert errors[0] < 1e-4 and abs(np.log2(errors[0] / errors[1]) - 4) < 0.3, errors


OPTIONS = dict(dt=0.1, save_every=10, start_step=1, method="magnus")


@pytest.mark.slow
def test_batches():
    state = far_from_equilibrium(SMALL, 4, (0.5, -0.5))
    run = lambda voltage: sv.evolve(SMALL, state, sv.symmetric(voltage), 1.0, **OPTIONS).state
    exact = end(SMALL, state, (0.5, -0.5), 0.1)
    assert largest_difference(jax.tree.map(lambda x: x[1], jax.vmap(run)(jnp.array([0.2, 1.0]))), exact) < 1e-13


def test_single_precision():
    state = far_from_equilibrium(SMALL, 4, (0.5, -0.5))
    exact = end(SMALL, state, (0.5, -0.5), 0.1)
    single = sv.SpinValve.square(4, 2, 1, 1, j_sd=1.5, temperature=0.2, poles=sv.pade_poles(6), dtype="float32")
    narrow = jax.tree.map(lambda x: x.astype(NARROW[x.dtype.name]), state)
    found = sv.evolve(single, narrow, sv.symmetric(1.0), 1.0, **OPTIONS).state
    assert {x.dtype.name for x in jax.tree.leaves(found)} == set(NARROW.values())
    assert largest_difference(found, exact) < 1e-5


@pytest.mark.slow
def test_reverse_mode_is_forward_mode():
    state = far_from_equilibrium(SMALL, 4, (0.5, -0.5))

    def value(j_sd, temperature, voltage):
        valve = eqx.tree_at(lambda v: (v.j_sd, v.temperature), prepare(SMALL), (j_sd, temperature))
        run = sv.evolve(valve, state, sv.symmetric(voltage), 1.0, dt=0.1, save_every=5, method="magnus")
        return sum(jnp.sum(x.real * jnp.arange(x.size).reshape(x.shape)) / x.size for x in jax.tree.leaves(run))

    at = prepare(SMALL).j_sd, prepare(SMALL).temperature, jnp.asarray(1.0)
    forward, reverse = jax.jit(lambda *tangent: jax.jvp(value, at, tangent)), jax.jit(jax.grad(value, (0, 1, 2)))(*at)
    for k, slope in enumerate(reverse):
        tangent = [jnp.asarray(float(k == n)) * jnp.ones_like(x) for n, x in enumerate(at)]
        along = forward(*tangent)[1]
        assert np.isclose(along, slope.sum(), rtol=1e-9) and np.abs(along) > 1e-3
    value = jax.jit(value)
    change = (value(at[0], at[1], 1.0 + 1e-4) - value(at[0], at[1], 1.0 - 1e-4)) / 2e-4
    assert np.isclose(change, reverse[2], rtol=1e-5)


def test_it_takes_constant_levels_alone_and_knows_its_longest_step():
    state = sv.stationary(SMALL, sv.aligned_spins(SMALL))
    run = partial(sv.evolve, SMALL, state, duration=1.0, dt=0.1, method="magnus")
    with pytest.raises(ValueError, match="`method` must be 'etd' or 'rk38' where `bias` depends on time"):
        run(bias=sv.Oscillating((0.3, -0.2), (0.5, 0.4), 1.7))
    with pytest.raises(ValueError, match="where `drive` depends on time"):
        run(bias=None, drive=sv.FieldPulse((0, 0, 1.0)))
    with pytest.raises(ValueError, match="where `spins` depends on time"):
        run(bias=None, spins=lambda t: jnp.asarray(state.spins))
    with pytest.raises(ValueError, match="stability limit"):
        run(bias=None, duration=6.0, dt=0.6)
    valve = sv.SpinValve.square(j_sd=2.0)
    assert sv.suggest_dt(valve, method="magnus") == 0.25
    assert np.isclose(sv.stability_limit(valve, method="magnus"), 3.395 / 10, rtol=1e-3)


def test_incomplete_gammas():
    """v_0 = (1 - e^-z)/z and z v_k = v_(k-1) - e^-z/k!, from the slowest to the fastest pole."""
    z = np.array([1e-9, 1e-3, 0.3, 4.0, 39.0, 41.0, 1e4])
    found, factorials = np.asarray(incomplete_gammas(jnp.asarray(z), 10)), np.cumprod([1.0, *range(1, 10)])
    assert np.allclose(found[0], -np.expm1(-z) / z, rtol=1e-13)
    assert np.allclose(found[:, 0], 1 / (np.arange(1, 11) * factorials), rtol=1e-8)
    assert np.allclose(z * found[1:], found[:-1] - np.exp(-z) / factorials[1:, None], rtol=1e-12, atol=1e-15)


STAGED = partial(sv.three_stage, SMALL, sv.symmetric(0.5), relax=2.0, duration=4.0, dt=0.1, save_every=10)


def test_runs_take_it():
    """Zero bias before the quench and the bias after it are constant each."""
    assert largest_difference(STAGED(method="magnus").state, STAGED(method="etd").state) < 2e-5
    with pytest.raises(ValueError, match="where `drive` depends on time"):
        STAGED(method="magnus", drive=sv.FieldPulse((0, 0, 1.0)))


@pytest.mark.slow
def test_sweeps_take_it():
    options = dict(save_every=10, start="aligned", relax=2.0, observe=("magnetization",))
    swept = sv.sweep(SMALL, {"voltage": [0.2, 0.5]}, sv.RunTask(4.0, 0.1, "magnus", **options))
    points = swept.magnetization.isel(voltage=1, time=-1)
    assert np.abs(points.values - STAGED(method="magnus").observables["magnetization"][-1]).max() < 1e-12
