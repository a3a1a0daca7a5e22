"""Electrons under spins that are given as a function of the time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_valve
from systems import random_spins, tangled

import svjax as sv


class Turning(eqx.Module):
    """Spins that turn about z with ``omega``, from where they stand at t = 0."""

    start: jax.Array
    omega: jax.Array

    def __call__(self, t):
        c, s = jnp.cos(self.omega * t), jnp.sin(self.omega * t)
        return self.start @ jnp.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def turning(valve, omega=0.9, seed=0):
    start = random_spins(np.random.default_rng(seed), len(valve.lattice.spin_sites))
    return Turning(start, jnp.asarray(omega))


@pytest.mark.parametrize("method", ["etd", pytest.param("rk38", marks=pytest.mark.slow)])
def test_the_error_falls_as_the_fourth_power_of_the_step(method):
    valve, _ = tangled(3)
    path, bias = turning(valve), sv.Oscillating([0.2, -0.1, 0.0], [0.1, 0.3, 0.0], 1.3)
    start = sv.stationary(valve, path(0.0), bias(0.0))
    run = lambda steps: sv.evolve(valve, start, bias, 2.0, dt=2.0 / steps, spins=path, method=method).state
    exact, errors = run(640), []
    for steps in (40, 80):
        errors.append(float(jnp.abs(run(steps).rho - exact.rho).max()))
    assert 3.6 < np.log2(errors[0] / errors[1]) < 4.6 and errors[1] < 1e-5, errors
    assert np.allclose(exact.spins, path(2.0), atol=1e-14)


def test_spins_given_as_they_move_are_no_change():
    """A spin that the electrons do not turn, and electrons that it does not scatter: both ways to the same numbers.
    Where it scatters them, a drive makes the step compute everything anew each time."""
    field, start = 0.8, jnp.array([[0.6, 0.0, 0.8]])
    build = lambda j_sd: sv.SpinValve.from_bonds(
        3, [(0, 1, 0.8 + 0.3j), (1, 2), (2, 0, 0.5j)], layers=[[0]], contacts=[[1], [2]], j_sd=j_sd, anisotropy=0.0,
        field=(0.0, 0.0, field), lead_coupling=(0.7, 1.2), temperature=0.2, poles=sv.pade_poles(4),
    )  # fmt: skip
    free, bias = build(0.0), (0.3, -0.2)
    path = Turning(start, jnp.asarray(-field))
    electrons = sv.stationary(free, start, bias)
    moved = sv.evolve(free, electrons, bias, 3.0, dt=0.02, method="rk38")
    given = sv.evolve(free, electrons, bias, 3.0, dt=0.02, method="rk38", spins=path, observe=("spins",))
    assert np.allclose(moved.state.spins, given.state.spins, atol=1e-9)
    assert np.allclose(given.observables["spins"], jax.vmap(path)(given.t), atol=1e-14)
    coupled, frozen = build(1.5), sv.stationary(build(1.5), start, bias)
    follow = sv.evolve(coupled, frozen, bias, 3.0, dt=0.02, method="rk38", spins=path).state
    drive = lambda valve, t: eqx.tree_at(lambda v: v.j_sd, valve, valve.j_sd + 0 * t)
    driven = sv.evolve(coupled, frozen, bias, 3.0, dt=0.02, method="rk38", spins=path, drive=drive).state
    assert np.allclose(follow.rho, driven.rho, atol=1e-13)
    assert np.abs(follow.rho - frozen.rho).max() > 0.05


def test_a_run_with_given_spins_goes_on_where_it_was_and_is_differentiable():
    valve = small_valve(poles=sv.pade_poles(6))
    path = turning(valve)
    start = sv.stationary(valve, path(0.0))
    options = dict(dt=0.025, save_every=10, spins=path, method="rk38")
    whole = sv.evolve(valve, start, (0.3, -0.2), 1.0, **options)
    half = sv.evolve(valve, start, (0.3, -0.2), 0.5, **options)
    rest = sv.evolve(valve, half.state, (0.3, -0.2), 0.5, start_step=20, **options)
    assert eqx.tree_equal(rest.state, whole.state)

    @jax.jit
    def current(omega):
        run = sv.evolve(
            valve, start, (0.3, -0.2), 1.0, dt=0.05, save_every=20, spins=Turning(path.start, omega), method="rk38"
        )
        return run.observables["spin_current"][-1, 0, 1]

    slope, step = jax.grad(current)(0.9), 1e-4
    assert np.isclose(slope, (current(0.9 + step) - current(0.9 - step)) / (2 * step), rtol=1e-6)
    assert np.isclose(slope, jax.jvp(current, (0.9,), (1.0,))[1], rtol=1e-10)


WRONG = {
    "must be a function of the time, but is of type": jnp.ones((2, 3)),
    r"must give real vectors of shape \(2, 3\)": lambda t: jnp.stack([jnp.cos(t), jnp.sin(t), 0 * t]),
    "made of operations of jax.numpy": lambda t: jnp.eye(3)[:2] if t > 0 else jnp.eye(3)[1:],
    "must be of unit length": lambda t: jnp.array([[1.0, 0, 0], [0, 0, 1.0]]) * (1 + jnp.where(t > 0.4, 0.1, 0)),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_no_path_of_the_spins_is_refused(words):
    valve = small_valve()
    start = sv.stationary(valve, sv.aligned_spins(valve))
    with pytest.raises(ValueError, match=f"Argument `spins` .*{words}"):
        sv.evolve(valve, start, None, 1.0, dt=0.05, spins=WRONG[words])


@pytest.mark.parametrize("given", [{"freeze_spins": True}, {"key": jax.random.key(0)}])
def test_given_spins_are_neither_frozen_nor_noisy(given):
    valve = small_valve()
    start = sv.stationary(valve, sv.aligned_spins(valve))
    with pytest.raises(ValueError, match=f"Argument `{next(iter(given))}` must be .* where `spins` moves"):
        sv.evolve(valve, start, None, 1.0, dt=0.05, spins=turning(valve), **given)
