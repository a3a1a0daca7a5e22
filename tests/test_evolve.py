"""Time evolution: against the reference integrator, the closed Keldysh form, conservation laws, and its gradients."""

from functools import partial

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from systems import as_state, largest_difference, random_spins, random_state, tangled

import svjax as sv
from svjax.dynamics.evolve import derivative_at
from svjax.model.valve import canonical

SMALL = sv.SpinValve.square(4, 2, 1, 1, j_sd=1.5, temperature=0.2, lead_coupling=(1.0, 0.7), poles=sv.pade_poles(6))
START = sv.stationary(SMALL, random_spins(np.random.default_rng(0), 4))
DRIVEN = sv.Oscillating((0.3, -0.2), (0.5, 0.4), 1.7, 0.3)


def test_a_driven_run_without_any_symmetry_follows_the_reference_step_by_step():
    """Three leads, complex bonds and mu(t): the level must be taken at the time of each stage."""
    valve, system = tangled(n_poles=5)
    state, reference = random_state(valve, system)
    state = sv.State(state.rho / 20, state.pi / 20, state.spins)
    reference = oracles.State(reference.rho / 20, reference.pi / 20, reference.spins)
    bias = sv.Oscillating((0.3, -0.2, 0.1), (0.5, 0.4, -0.6), 1.7, 0.3)
    mu = lambda t: np.array([0.3, -0.2, 0.1]) + np.array([0.5, 0.4, -0.6]) * np.sin(1.7 * t + 0.3)
    expected = oracles.evolve(system, reference, mu, 0.02, 50)
    found = sv.evolve(valve, state, bias, 1.0, dt=0.02, save_every=10, method="rk38")
    assert largest_difference(found.state, as_state(valve, expected)) < 1e-12
    assert np.allclose(found.t, [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-15)


def end_of(bias, dt, steps, method="rk38"):
    """The state at t = 2, in pieces of ``steps`` steps: one program for all dt."""
    state = START
    for done in range(0, round(2.0 / dt), steps):
        state = sv.evolve(
            SMALL, state, bias, steps * dt, dt=dt, save_every=steps // 2, start_step=done, method=method
        ).state
    return state


def test_a_run_is_of_fourth_order_in_the_step():
    end = lambda dt: end_of(DRIVEN, dt, 50)
    reference = end(0.0025)
    errors = [largest_difference(end(dt), reference) for dt in (0.04, 0.02, 0.01)]
    slopes = np.diff(np.log2(errors))
    assert np.all(np.abs(slopes + 4) < 0.1), slopes


@pytest.mark.bits
def test_a_run_in_two_parts_is_the_run_in_one():
    """The second part starts at the step where the first ended, so that mu(t) goes on: bit for bit."""
    whole = sv.evolve(SMALL, START, DRIVEN, 2.0, dt=0.02, save_every=10, method="rk38")
    first = sv.evolve(SMALL, START, DRIVEN, 1.2, dt=0.02, save_every=10, method="rk38")
    second = sv.evolve(SMALL, first.state, DRIVEN, 0.8, dt=0.02, save_every=10, start_step=60, method="rk38")
    assert eqx.tree_equal(whole.state, second.state)
    assert np.array_equal(whole.t, np.concatenate([first.t, second.t]))
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first.observables, second.observables)
    assert eqx.tree_equal(whole.observables, joined)
    shifted = sv.evolve(SMALL, first.state, DRIVEN, 0.8, dt=0.02, save_every=10, method="rk38")
    assert largest_difference(shifted.state, second.state) > 1e-3


@pytest.mark.parametrize("method", ["rk38", "etd"])
def test_steps_before_time_zero_are_taken_like_any_other(method):
    """Stage 1 counts its steps up to zero: a constant bias must not care."""
    run = lambda start: sv.evolve(
        SMALL, START, (0.3, 0.1), 20.0, dt=0.04, save_every=20, start_step=start, method=method
    )
    assert largest_difference(run(-500).state, run(40).state) < 1e-14


def test_what_is_saved_and_when():
    run = sv.evolve(
        SMALL,
        START,
        DRIVEN,
        0.5,
        dt=0.02,
        save_every=10,
        observe=lambda v, s: {"n": sv.particle_number(v, s)},
        method="rk38",
    )
    assert run.observables["n"].shape == (2,)
    assert np.allclose(run.t, [0.2, 0.4], rtol=1e-15)
    to_save = sv.evolve(SMALL, START, DRIVEN, 0.4, dt=0.02, save_every=10, method="rk38")
    assert np.isclose(sv.particle_number(SMALL, to_save.state), run.observables["n"][1], rtol=1e-14)
    assert (
        largest_difference(run.state, sv.evolve(SMALL, START, DRIVEN, 0.5, dt=0.02, save_every=25, method="rk38").state)
        < 1e-15
    )
    assert {name: value.shape[1:] for name, value in to_save.observables.items()} == {
        "magnetization": (2, 3),
        "charge_current": (2,),
        "spin_current": (2, 3),
        "interface_charge_current": (),
        "interface_spin_current": (3,),
    }


def test_frozen_spins_stay_and_electrons_reach_their_steady_state():
    run = sv.evolve(SMALL, START, (0.5, -0.3), 200.0, dt=0.05, save_every=1000, freeze_spins=True, method="rk38")
    assert np.array_equal(run.state.spins, START.spins)
    steady = sv.stationary(SMALL, START.spins, (0.5, -0.3))
    assert largest_difference(run.state, steady) < 1e-10


@pytest.mark.parametrize("time", [0.4, 3.0])
def test_a_level_after_a_voltage_step_follows_the_closed_keldysh_form(time):
    leads = dict(contacts=[[0], [0]], lead_coupling=(0.8, 0.5), temperature=(0.1, 0.2))
    valve = sv.SpinValve.from_bonds(1, [], mu_bar=0.3, poles=sv.optimized_poles(9, reach=100), **leads)
    start = sv.stationary(valve, np.zeros((0, 3)), (0.1, -0.1))
    run = sv.evolve(valve, start, (0.7, -0.4), time, dt=0.005, save_every=40, method="rk38")
    h, gammas = 0.3 * np.eye(2), oracles.gamma_matrices(1, [[0], [0]], (0.8, 0.5))
    rho, totals = oracles.keldysh_step(h, gammas, [0.1, -0.1], [0.1, 0.2], [0.6, -0.3], time)
    charge, _ = oracles.lead_currents(totals)
    assert np.abs(run.state.rho - rho).max() < 1e-6
    assert np.isclose(sv.charge_current(valve, run.state, 0), charge[0], atol=1e-6)
    assert np.isclose(sv.charge_current(valve, run.state, 1), -charge[1], atol=1e-6)


def test_random_spins_after_a_step_of_both_leads_follow_the_closed_keldysh_form():
    """The 7x3 valve: rho to the error of its 30 Pade poles, currents far better once their onset has passed."""
    spins = random_spins(np.random.default_rng(11), 12)
    valve = sv.SpinValve.square(7, 3, 2, 2, j_sd=2.0, temperature=0.05)
    start = sv.stationary(valve, spins)
    run = sv.evolve(valve, start, (0.5, -0.3), 4.0, dt=0.02, save_every=200, freeze_spins=True, method="rk38")
    h = oracles.hamiltonian(21, oracles.square_bonds(7, 3), 1.0, 0.0, 2.0, valve.lattice.spin_sites, spins)
    gammas = oracles.gamma_matrices(21, valve.lattice.contacts, 1.0)
    rho, totals = oracles.keldysh_step(h, gammas, [0.0, 0.0], [0.05, 0.05], [0.5, -0.3], 4.0)
    pole_error = np.abs(start.rho - sv.exact_density_matrix(valve, spins)).max()
    assert 1e-6 < pole_error < 1e-4
    assert np.abs(run.state.rho - rho).max() < 2 * pole_error
    charge, spin = oracles.lead_currents(totals)
    assert np.isclose(sv.charge_current(valve, run.state, 0), charge[0], atol=1e-6)
    assert np.allclose(sv.spin_current(valve, run.state, 1), -spin[1], atol=1e-6)


def test_shifting_all_levels_together_changes_nothing():
    shift = 0.37
    shifted = eqx.tree_at(lambda v: v.mu_bar, SMALL, SMALL.mu_bar + shift)
    start = sv.stationary(shifted, START.spins, (shift, shift))
    a = sv.evolve(SMALL, START, (0.4, -0.2), 20.0, dt=0.04, save_every=20, method="rk38")
    b = sv.evolve(shifted, start, (0.4 + shift, -0.2 + shift), 20.0, dt=0.04, save_every=20, method="rk38")
    assert largest_difference(a.observables, b.observables) < 1e-10
    assert largest_difference(a.state.spins, b.state.spins) < 1e-10


def test_an_isolated_valve_conserves_energy_spin_and_particles():
    valve = sv.SpinValve.chain(3, 4, 3, j_sd=1.4, mu_bar=0.2)
    start = sv.stationary(valve, sv.aligned_spins(valve))

    def invariants(valve, state):
        return {
            "energy": sv.energy(valve, state),
            "spin": sv.total_spin(valve, state),
            "n": sv.particle_number(valve, state),
        }

    run = sv.evolve(valve, start, None, 100.0, dt=0.01, save_every=1000, observe=invariants, method="rk38")
    for name, at_start in invariants(valve, start).items():
        assert np.abs(run.observables[name] - at_start).max() < 1e-9, name
    assert largest_difference(run.state.spins, start.spins) > 0.1


def test_rho_stays_hermitian_and_bounded_and_charge_is_balanced():
    observe = lambda v, s: {
        "hermitian": jnp.abs(s.rho - s.rho.conj().T).max(),
        "occupations": jnp.linalg.eigvalsh(s.rho)[jnp.array([0, -1])],
        "balance": sv.charge_balance(v, s),
        "length": jnp.linalg.norm(s.spins, axis=1),
    }
    run = sv.evolve(
        SMALL, START, (0.8, -0.6), 50.0, dt=0.02, save_every=100, observe=observe, method="rk38"
    ).observables
    assert run["hermitian"].max() < 1e-12
    assert run["occupations"].min() > -1e-3 and run["occupations"].max() < 1 + 1e-3
    assert np.abs(run["balance"]).max() < 1e-12
    assert np.abs(run["length"] - 1).max() < 1e-6


@pytest.mark.slow
def test_spins_keep_their_length_for_two_thousand_time_units():
    valve = sv.SpinValve.square(j_sd=2.0)
    start = sv.stationary(valve, sv.aligned_spins(valve))
    observe = lambda v, s: {
        "length": jnp.linalg.norm(s.spins, axis=1),
        "hermitian": jnp.abs(s.rho - s.rho.conj().T).max(),
        "occupations": jnp.linalg.eigvalsh(s.rho)[jnp.array([0, -1])],
    }
    run = sv.evolve(valve, start, sv.symmetric(1.0), 2000.0, dt=0.02, save_every=1000, observe=observe, method="rk38")
    assert np.abs(run.observables["length"] - 1).max() < 1e-8
    assert run.observables["hermitian"].max() < 1e-12
    assert run.observables["occupations"].min() > -3e-5 and run.observables["occupations"].max() < 1 + 3e-5


@pytest.mark.slow
def test_gradients_through_a_run_in_the_bias():
    """Those in the parameters of the valve are in the table of `test_gradients`."""
    valve, system = tangled(n_poles=3)
    state, _ = random_state(valve, system)
    state = sv.State(state.rho / 20, state.pi / 20, state.spins)
    weight = jnp.asarray(np.random.default_rng(3).normal(size=(2, 3)))

    @jax.jit
    def loss(voltage):
        bias = sv.Pulse((0.3, -0.2, 0.1), voltage * jnp.array([0.5, 0.4, -0.6]), 0.6, 0.3)
        seen = sv.evolve(valve, state, bias, 1.2, dt=0.03, save_every=8, method="rk38").observables
        return jnp.sum(seen["magnetization"] * weight) + jnp.sum(seen["charge_current"] ** 2)

    slope = jax.grad(loss)(1.1)
    assert np.isclose(slope, (loss(1.1 + 1e-5) - loss(1.1 - 1e-5)) / 2e-5, rtol=1e-6)
    assert np.isclose(slope, jax.jvp(loss, (1.1,), (1.0,))[1], rtol=1e-10)


def test_a_batch_of_voltages_is_each_run_alone():
    run = lambda voltage: (
        sv.evolve(SMALL, START, sv.symmetric(voltage), 1.0, dt=0.02, save_every=25, method="rk38").observables
    )
    voltages = jnp.array([0.3, 0.8, -0.5])
    batch = jax.vmap(run)(voltages)
    for number, voltage in enumerate(voltages):
        alone = run(voltage)
        assert largest_difference(jax.tree.map(lambda x, n=number: x[n], batch), alone) < 1e-13


@pytest.mark.slow
def test_a_batch_of_valves_has_gradients():
    """vmap over a leaf inside grad: the gather rules batch and transpose together."""

    def loss(couplings):
        one = lambda j_sd: sv.evolve(
            eqx.tree_at(lambda v: v.j_sd, SMALL, j_sd), START, (0.4, -0.2), 0.4, dt=0.02, save_every=20, method="rk38"
        ).state.spins[0, 1]
        return jnp.sum(jax.vmap(one)(couplings) * jnp.array([1.0, -2.0]))

    couplings = jnp.array([1.0, 1.6])
    finite = [(loss(couplings.at[k].add(1e-5)) - loss(couplings.at[k].add(-1e-5))) / 2e-5 for k in range(2)]
    assert np.allclose(jax.grad(loss)(couplings), finite, rtol=1e-6)


def test_memory_of_a_run_does_not_grow_with_its_length():
    def memory(steps):
        observe = lambda v, s: {"m": sv.magnetization(v, s)}
        run = jax.jit(
            lambda s: sv.evolve(
                SMALL, s, (0.5, 0.0), steps / 50, save_every=steps // 4, observe=observe, dt=0.02, method="rk38"
            )
        )
        analysis = run.lower(START).compile().memory_analysis()
        return analysis.temp_size_in_bytes + analysis.output_size_in_bytes

    assert memory(4000) < 1.05 * memory(400)


def by_diffrax(valve, **more):
    term = diffrax.ODETerm(lambda t, y, args: derivative_at(canonical(args), DRIVEN, t, y))
    controls = dict(stepsize_controller=diffrax.ConstantStepSize(), max_steps=100)
    return diffrax.diffeqsolve(term, sv.RungeKutta38(), 0.0, 1.0, 0.02, START, args=valve, **controls, **more).ys


@pytest.mark.filterwarnings("ignore:Complex dtype support in Diffrax")
def test_the_diffrax_solver_takes_the_same_steps():
    found = jax.tree.map(lambda x: x[-1], by_diffrax(SMALL))
    assert largest_difference(found, sv.evolve(SMALL, START, DRIVEN, 1.0, dt=0.02, method="rk38").state) < 1e-13


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Complex dtype support in Diffrax")
def test_the_diffrax_solver_has_the_same_derivatives():
    loss = lambda valve, adjoint: by_diffrax(valve, adjoint=adjoint).spins[-1, 0, 1]
    ours = jax.grad(lambda valve: sv.evolve(valve, START, DRIVEN, 1.0, dt=0.02, method="rk38").state.spins[0, 1])(SMALL)
    theirs = eqx.filter_grad(partial(loss, adjoint=diffrax.RecursiveCheckpointAdjoint()))(SMALL)
    assert np.isclose(theirs.j_sd, ours.j_sd, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:Complex dtype support in Diffrax")
def test_the_diffrax_solver_refuses_adaptive_steps():
    term = diffrax.ODETerm(lambda t, y, args: derivative_at(canonical(SMALL), DRIVEN, t, y))
    with pytest.raises(RuntimeError, match="error estimate"):
        diffrax.diffeqsolve(
            term, sv.RungeKutta38(), 0.0, 1.0, 0.02, START, stepsize_controller=diffrax.PIDController(1e-3, 1e-6)
        )


def test_the_stability_limit_is_where_runs_start_to_blow_up():
    valve = sv.SpinValve.square(4, 1, 1, 1, j_sd=1.0, temperature=0.5, poles=sv.pade_poles(20))
    start = sv.stationary(valve, sv.aligned_spins(valve))
    limit = sv.stability_limit(valve, (0.2, 0.0))
    end = lambda dt: sv.evolve(valve, start, (0.2, 0.0), 1000 * dt, dt=dt, save_every=1000, method="rk38")
    assert jnp.abs(end(0.98 * limit).state.pi).max() < 2
    with pytest.raises(ValueError, match=r"`dt` must stay below the stability limit [\d.]+ of this valve, but is"):
        end(1.03 * limit)
    derivative = partial(derivative_at, canonical(valve), lambda t: jnp.array([0.2, 0.0]))
    step = jax.jit(lambda n, y: sv.evolve.__globals__["runge_kutta_step"](derivative, n * 0.0, y, 1.03 * limit))
    state = start
    for n in range(300):
        state = step(n, state)
    assert not jnp.abs(state.pi).max() < 10


@pytest.mark.bits
def test_a_run_that_diverges_says_when_and_keeps_what_it_saved():
    """A level that runs away: mu(t) becomes nan at t = 1."""
    bias = lambda t: jnp.where(t < 1.0, 1.0, jnp.nan) * jnp.array([0.3, -0.3])
    with pytest.raises(sv.DivergedError, match=r"non-finite after t = 0.8; 2 saves") as caught:
        sv.evolve(SMALL, START, bias, 2.0, dt=0.04, save_every=10, method="rk38")
    kept = caught.value.trajectory
    good = sv.evolve(SMALL, START, (0.3, -0.3), 0.8, dt=0.04, save_every=10, method="rk38")
    assert eqx.tree_equal(kept.observables, good.observables)


@pytest.mark.slow
def test_the_exponential_method_follows_the_runge_kutta_run_through_a_quench():
    """Steps of 0.1, 15 times the limit of the explicit method, and the graded first step that the jump asks for."""
    valve = eqx.tree_at(lambda v: v.poles, SMALL, sv.optimized_poles(10, reach=100))
    start = sv.stationary(valve, START.spins)
    bias = sv.symmetric(0.8)
    assert 10 * sv.stability_limit(valve, bias) < 0.1
    run = sv.evolve(valve, start, bias, 4.0, dt=0.1, method="etd", save_every=8)
    fine = sv.evolve(valve, start, bias, 4.0, dt=0.005, save_every=160, method="rk38")
    assert largest_difference(run.observables, fine.observables) < 2e-5
    assert largest_difference(run.state.rho, fine.state.rho) < 2e-5
    late = sv.evolve(valve, fine.state, bias, 4.0, dt=0.1, method="etd", save_every=8, start_step=40)
    rest = sv.evolve(valve, fine.state, bias, 4.0, dt=0.005, save_every=160, start_step=800, method="rk38")
    assert largest_difference(late.observables, rest.observables) < 2e-5


def test_the_exponential_run_is_of_fourth_order_under_a_smooth_bias():
    smooth = lambda t: jnp.array([0.3, -0.2]) * t**4 / (1 + t**4)
    exact = end_of(smooth, 0.0025, 100)
    errors = [largest_difference(end_of(smooth, dt, 20, "etd"), exact) for dt in (0.1, 0.05, 0.025)]
    slopes = np.diff(np.log2(errors))
    assert np.all(np.abs(slopes + 4) < 0.3), (slopes, errors)


def test_suggested_steps_are_round_and_stable():
    valve = sv.SpinValve.square(j_sd=2.0)
    assert sv.suggest_dt(valve) == 0.025
    assert sv.suggest_dt(valve, method="etd") == 0.1
    assert sv.suggest_dt(sv.SpinValve.chain(j_sd=1.0)) <= 0.8 * sv.stability_limit(sv.SpinValve.chain(j_sd=1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(duration=1.01), r"`duration` must be a whole number of steps of dt = 0.02, but is 1.01 \(nearest: 1\)"),
        (dict(duration=-1.0), "`duration` must be a positive number, but is -1"),
        (dict(duration=np.nan), "`duration` must be a positive number, but is nan"),
        (dict(dt=0.0), "`dt` must be a positive number, but is 0"),
        (dict(dt=np.inf), "`dt` must be a positive number, but is inf"),
        (dict(save_every=0), "`save_every` must be a whole number of at least 1, but is 0"),
        (dict(method="euler"), r"`method` must be one of \('rk38', 'etd', 'magnus'\), but is 'euler'"),
        (dict(bias=(0.1,)), r"`bias` must give one level for each of the 2 leads, but has shape \(1,\)"),
        (dict(bias=(0.1, np.nan)), "`bias` must be finite"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(arguments, message):
    defaults = dict(bias=(0.1, 0.0), duration=1.0, dt=0.02, method="rk38")
    given = defaults | arguments
    with pytest.raises(ValueError, match=message):
        sv.evolve(SMALL, START, given.pop("bias"), given.pop("duration"), **given)


@pytest.mark.parametrize(
    ("method", "dt", "save_every"), [pytest.param("rk38", 0.005, 160, marks=pytest.mark.slow), ("etd", 0.1, 8)]
)
def test_single_precision_stays_single_and_close(method, dt, save_every):
    """A valve asked for in float32 keeps every array in it, from the stationary start to the observables."""
    runs = {}
    for dtype in ("float32", "float64"):
        poles = sv.optimized_poles(10, reach=100)
        valve = sv.SpinValve.square(4, 2, 1, 1, j_sd=2.0, poles=poles, temperature=0.1, dtype=dtype)
        start = sv.stationary(valve, random_spins(np.random.default_rng(3), 4))
        runs[dtype] = sv.evolve(valve, start, sv.symmetric(1.0), 4.0, dt=dt, save_every=save_every, method=method)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(start)} == {dtype, f"complex{2 * int(dtype[-2:])}"}
    single, double = runs["float32"], runs["float64"]
    assert {leaf.dtype.name for leaf in jax.tree.leaves(single.state)} == {"float32", "complex64"}
    for name, values in double.observables.items():
        assert single.observables[name].dtype == "float32"
        np.testing.assert_allclose(single.observables[name], values, atol=3e-5)
