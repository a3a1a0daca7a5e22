"""Fits: recovered parameters, error bars in closed form, what is not determined, long horizons, and bad data."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_valve

import svjax as sv
from svjax.fitting.multiple_shooting import growth_rate

QUENCH = sv.symmetric(1.0)


def fast_valve(**changes):
    return small_valve(**{"poles": sv.optimized_poles(5)} | changes)


def noisy(values, sigma, seed=0):
    return np.asarray(values) + sigma * np.random.default_rng(seed).normal(size=np.shape(values))


def quench(valve, duration, sigma=1e-3, **options):
    """A trace of the magnetisations after a quench from equilibrium, with noise."""
    run = sv.evolve(valve, sv.steady_state(valve, None), QUENCH, duration, dt=0.2, save_every=5, method="etd")
    return sv.Trace(run.t, noisy(run.observables["magnetization"], sigma), sigma=sigma, dt=0.2, **options)


def within(fit, truth, errors=3.0):
    return all(abs(fit.values[name] - value) <= errors * fit.errors[name] for name, value in truth.items())


# Recovery


def test_three_parameters_are_recovered_from_a_noisy_trace():
    valve, seen = fast_valve(), []
    free = {"j_sd": 2.6, "anisotropy[1]": 0.07, "lead_coupling": 0.7}
    fit = sv.fit(valve, free, quench(valve, 30.0), bias=QUENCH, progress=seen.append)
    assert fit.converged and fit.reason.startswith("converged") and fit.growth == 0 and not fit.undetermined
    assert within(fit, {"j_sd": 2.0, "anisotropy[1]": 0.1, "lead_coupling": 1.0})
    assert fit.errors["anisotropy[1]"] < 1e-3 and fit.errors["j_sd"] < 0.05
    assert 0.8 < 2 * fit.loss / (180 - 3) < 1.2 and fit.residuals[0].shape == (30, 2, 3)
    assert seen[0].stage == "descent" and seen[-1].stage == "polish" and seen[-1].loss == pytest.approx(fit.loss)
    assert float(fit.valve.j_sd) == fit.values["j_sd"] and float(fit.bias.voltage) == 1.0
    assert "j_sd" in str(fit) and "largest correlation" in str(fit)
    np.testing.assert_allclose(np.diagonal(fit.correlation), 1)


@pytest.mark.slow
def test_curves_of_steady_states_and_relaxation_times():
    valve, voltages = fast_valve(), [0.0, 0.5, 1.0]
    states = sv.steady_states(valve, [sv.symmetric(v) for v in voltages])
    current = [sv.charge_current(valve, state, 0) for state in states]
    modes = [sv.relaxation_modes(valve, s, sv.symmetric(v), count=1)[0] for s, v in zip(states, voltages, strict=True)]
    targets = [
        sv.SteadyCurve(voltages, noisy(current, 1e-4), "charge_current[0]", sigma=1e-4),
        sv.SteadyCurve(voltages, noisy([-1 / mode.real for mode in modes], 0.1), "relaxation_time", sigma=0.1),
    ]
    fit = sv.fit(valve, {"j_sd": 2.3, "lead_coupling": 0.8}, targets)
    assert fit.converged and within(fit, {"j_sd": 2.0, "lead_coupling": 1.0})
    value, error = fit.derived(lambda valve, _: sv.charge_current(valve, sv.steady_state(valve, QUENCH), 0))
    assert abs(value - current[2]) < 3 * error and error < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("off", [(1.3, 1.3, 1.3), (0.7, 1.3, 0.7)])
def test_the_papers_valve_is_recovered_from_200_time_units(off):
    """J_sd, K_r and Gamma of the 12x4 valve from 30% off, and with them the relaxation times 586 and 530."""
    valve = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(8))
    truth = {"j_sd": 2.0, "anisotropy[1]": 0.02, "lead_coupling": 1.0}
    free = {name: value * factor for (name, value), factor in zip(truth.items(), off, strict=True)}
    fit = sv.fit(valve, free, quench(valve, 200.0), bias=QUENCH)
    assert fit.converged and within(fit, truth)
    assert fit.errors["j_sd"] < 2e-3 and fit.errors["lead_coupling"] < 4e-3 and fit.errors["anisotropy[1]"] < 1e-5
    for voltage, t_r in ((0.0, 586.3), (1.0, 530.1)):
        bias = sv.symmetric(voltage)
        slowest = lambda v, _, bias=bias: sv.relaxation_modes(v, sv.steady_state(v, bias), bias, count=1)[0]
        value, error = fit.derived(lambda v, b, slowest=slowest: -1 / slowest(v, b).real)
        assert abs(value - t_r) < 3 * error and error < 3


@pytest.mark.slow
@pytest.mark.parametrize("j_sd", [1.0, 5.0])
def test_coupling_of_the_papers_chain_is_that_of_the_macrospin_fit(j_sd):
    valve = sv.SpinValve.chain(5, 10, 5, j_sd=j_sd)
    run = sv.evolve(
        valve, sv.stationary(valve, sv.aligned_spins(valve)), None, 2000.0, dt=0.1, save_every=10, method="rk38"
    )
    m = run.observables["magnetization"]
    by_macrospin = sv.fit_macrospin(run.t, m[:, 0], m[:, 1], 5)
    guess = sv.MacrospinModel(j_eff=float(sv.exchange_coupling(valve).rotating), n_s=5)
    fit = sv.fit(guess, ["j_eff"], sv.Trace(run.t, m, start=[[1, 0, 0], [0, 0, 1]]))
    assert abs(fit.values["j_eff"] - by_macrospin.j_eff) < min(fit.errors["j_eff"], by_macrospin.error)


# Error bars in closed form


def straight(valve, bias):
    """Residuals linear in two parameters."""
    del bias
    return LINES @ jnp.stack([valve.j_sd, valve.mu_bar]) - OFFSETS


LINES = np.random.default_rng(3).normal(size=(7, 2))
OFFSETS = np.random.default_rng(4).normal(size=7)


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_linear_least_squares(mode):
    fit = sv.fit(fast_valve(), ["j_sd", "mu_bar"], straight, mode=mode)
    np.testing.assert_allclose(list(fit.values.values()), np.linalg.lstsq(LINES, OFFSETS)[0], atol=1e-3)
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(LINES.T @ LINES), rtol=1e-8)
    np.testing.assert_allclose(
        fit.derived(lambda v, _: v.j_sd - 2 * v.mu_bar)[1],
        np.sqrt(np.array([1, -2]) @ fit.covariance @ [1, -2]),
        rtol=1e-8,
    )


def test_errors_are_those_of_the_parameter_in_any_coordinates():
    misfit = lambda valve, bias: jnp.stack([(valve.hopping - 1.7) / 0.01, (valve.hopping - 1.7) / 0.01])
    for choice in (sv.Free(), sv.Free(low=-np.inf), sv.Free(low=0.5, high=3.0), sv.Free(low=-np.inf, high=2.0)):
        fit = sv.fit(fast_valve(), {"hopping": choice}, misfit)
        assert fit.values["hopping"] == pytest.approx(1.7, abs=1e-4)
        assert fit.errors["hopping"] == pytest.approx(0.01 / np.sqrt(2), rel=1e-3)


def test_a_prior_is_one_more_datum():
    misfit = lambda valve, bias: jnp.atleast_1d((valve.j_sd - 3.0) / 0.2)
    fit = sv.fit(fast_valve(), {"j_sd": sv.Free(prior=(2.0, 0.1))}, misfit)
    assert fit.values["j_sd"] == pytest.approx((3 / 0.04 + 2 / 0.01) / (1 / 0.04 + 1 / 0.01), abs=1e-3)
    assert fit.errors["j_sd"] == pytest.approx((1 / 0.04 + 1 / 0.01) ** -0.5, rel=1e-6)


@pytest.mark.slow
def test_noise_is_estimated_where_it_is_not_given():
    model = sv.MacrospinModel(j_eff=0.0, n_s=1, field=(0, 0, 0.3))
    t, start = np.linspace(0.5, 20, 40), np.array([[1.0, 0, 0], [0, 1.0, 0]])
    clean = sv.Trace(t, np.zeros((40, 2, 3)), start=start).predicted(model, None)
    fits = [
        sv.fit(model, {"field[2]": 0.31}, sv.Trace(t, noisy(clean, 0.02), sigma=sigma, start=start))
        for sigma in (0.02, None)
    ]
    assert all(within(fit, {"field[2]": 0.3}) for fit in fits)
    assert fits[1].errors["field[2]"] == pytest.approx(fits[0].errors["field[2]"], rel=0.15)
    slopes = np.sum(t**2) * 2 / 0.02**2  # |dm/dB| = t for a spin across the field
    assert fits[0].errors["field[2]"] == pytest.approx(slopes**-0.5, rel=1e-3)


# Bounds, losses, starts


def test_bounds_hold_where_the_data_ask_for_more():
    misfit = lambda valve, bias: jnp.atleast_1d(valve.j_sd - 5.0)
    fit = sv.fit(fast_valve(), {"j_sd": sv.Free(low=1.0, high=3.0)}, misfit)
    assert 2.9 < fit.values["j_sd"] <= 3.0


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_scalar_loss_is_descended(mode):
    banana = lambda valve, bias: (1 - valve.mu_bar) ** 2 + 10 * (valve.j_sd - valve.mu_bar**2) ** 2
    fit = sv.minimise(fast_valve(), ["mu_bar", "j_sd"], banana, mode=mode, max_steps=100)
    assert fit.converged
    np.testing.assert_allclose(list(fit.values.values()), 1, atol=1e-3)


def test_of_several_starts_the_best_wins():
    wells = lambda valve, bias: (valve.mu_bar**2 - 1) ** 2 + 0.2 * valve.mu_bar
    free = {"mu_bar": sv.Free(start=0.9, low=-2.0, high=2.0)}
    one, many = (sv.minimise(fast_valve(), free, wells, starts=starts) for starts in (1, 6))
    assert one.values["mu_bar"] > 0.8 and many.values["mu_bar"] < -0.9


def test_parameters_of_the_bias_are_free_too():
    trace = sv.Waveform((0.0, 1.0, 2.0), (0.0, 0.4, 0.0))
    np.testing.assert_allclose(trace(0.5), [0.1, -0.1])
    misfit = lambda valve, bias: (bias(jnp.array(1.0)) - jnp.array([0.3, -0.3])) / 0.01
    fit = sv.fit(fast_valve(), ["voltages[1]"], misfit, bias=trace)
    assert fit.bias.voltages[1] == pytest.approx(0.6, abs=1e-4)


def test_an_easy_axis_is_a_direction():
    misfit = lambda valve, bias: jnp.atleast_1d((valve.easy_axes[1, 0] - 0.6) / 0.01)
    fit = sv.fit(fast_valve(), ["easy_axes[1,0]"], misfit)
    np.testing.assert_allclose(fit.valve.easy_axes[1], [0.6, 0, 0.8], atol=1e-4)
    value, error = fit.derived(lambda valve, _: valve.easy_axes[1, 0])
    assert value == pytest.approx(0.6, abs=1e-4) and error == pytest.approx(0.01, rel=1e-2)


def test_a_scalar_loss_has_priors_and_any_scale():
    prior = {"j_sd": sv.Free(prior=(2.0, 0.1))}
    fit = sv.minimise(fast_valve(), prior, lambda valve, bias: (valve.j_sd - 3.0) ** 2)
    assert fit.values["j_sd"] == pytest.approx(206 / 102, abs=1e-4)
    tiny = sv.minimise(fast_valve(), ["j_sd"], lambda valve, bias: 1e-9 * (valve.j_sd - 3.0) ** 2)
    assert tiny.values["j_sd"] == pytest.approx(3.0, abs=1e-3)


def test_fit_sends_a_scalar_loss_to_minimise():
    square = lambda valve, bias: (valve.j_sd - 3.0) ** 2
    with pytest.warns(DeprecationWarning, match="is now `minimise`"):
        found = sv.fit(fast_valve(), ["j_sd"], square)
    assert found.values == sv.minimise(fast_valve(), ["j_sd"], square).values
    with pytest.raises(ValueError, match=r"`loss` must return one number, but returns shape \(7,\)"):
        sv.minimise(fast_valve(), ["j_sd", "mu_bar"], straight)


def test_a_parameter_at_its_bound_is_named_and_the_others_keep_their_errors():
    misfit = lambda valve, bias: jnp.stack([valve.j_sd - 2.0, valve.hopping - 1.1, valve.hopping - 1.1]) / 0.01
    fit = sv.fit(fast_valve(), {"j_sd": sv.Free(start=2.5, low=2.2, high=3.0), "hopping": 1.0}, misfit)
    assert fit.values["j_sd"] == pytest.approx(2.2, abs=1e-3) and fit.reason.endswith("; at a bound: j_sd")
    assert fit.errors["hopping"] == pytest.approx(0.01 / np.sqrt(2), rel=1e-3) and fit.errors["j_sd"] == 0
    assert fit.derived(lambda valve, _: jnp.log(valve.hopping))[1] == pytest.approx(0.01 / np.sqrt(2) / 1.1, rel=1e-2)


def test_only_a_correlation_that_there_is_is_told():
    apart = lambda valve, bias: jnp.stack([valve.j_sd - 3.0, valve.mu_bar - 1.0]) / 0.1
    together = lambda valve, bias: jnp.stack([valve.j_sd + valve.mu_bar - 3.0, valve.mu_bar - 1.0]) / 0.1
    assert "correlation" not in str(sv.fit(fast_valve(), ["j_sd", "mu_bar"], apart))
    assert "correlation" not in str(sv.fit(fast_valve(), ["j_sd"], apart))
    assert "correlation -0.71, of j_sd and mu_bar" in str(sv.fit(fast_valve(), ["j_sd", "mu_bar"], together))


# Identifiability


def test_ratios_of_what_is_not_determined_are_those_of_the_parameters():
    difference = lambda valve, bias: jnp.stack([1.0, 2.0]) * (valve.j_sd - 10 * valve.anisotropy[1])
    with pytest.raises(ValueError, match=r"\(j_sd, anisotropy\[1\]\) changed as \(1, 0.1\)"):
        sv.fit(fast_valve(), ["j_sd", "anisotropy[1]"], difference)


def test_what_the_data_do_not_determine_is_named():
    valve = fast_valve()
    product = lambda valve, bias: jnp.stack([valve.j_sd * valve.hopping - 3, (valve.j_sd * valve.hopping) ** 2])
    with pytest.raises(ValueError, match=r"\((hopping, j_sd|j_sd, hopping)\) changed as \(.*-"):
        sv.fit(valve, ["hopping", "j_sd"], product)
    with pytest.raises(ValueError, match="mu_bar \\(the data do not depend on it\\)"):
        sv.fit(valve, ["hopping", "mu_bar"], lambda valve, bias: valve.hopping * jnp.ones(3))
    fit = sv.fit(valve, {"hopping": sv.Free(prior=(1.0, 0.1)), "j_sd": 2.1}, product)
    assert np.isfinite(fit.errors["j_sd"])


# Long horizons


def test_exponential_growth_is_told_from_that_of_a_regular_motion():
    t = np.linspace(1, 100, 80)
    assert growth_rate(t, (np.exp(0.2 * t) * np.cos(t))[:, None]) == pytest.approx(0.2, rel=0.1)
    assert growth_rate(t, (t**2 * np.cos(t))[:, None]) == 0
    assert growth_rate(t, np.exp(0.01 * t)[:, None]) == 0
    assert growth_rate(t, np.full((80, 2), np.nan)) == np.inf


def test_a_fit_says_that_derivatives_grow():
    """A spin on top of its hill: small turns grow with the rate alpha b/(1 + alpha^2)."""
    model = sv.MacrospinModel(j_eff=0.0, n_s=1, field=(0, 0, 1.0), damping=-0.1)
    start = np.array([[1e-6, 0, 1], [0, 1e-6, 1]])
    trace = sv.Trace(np.arange(1.0, 101.0), np.ones((100, 2, 3)), start=start)
    with pytest.warns(RuntimeWarning, match="grow as exp"):
        fit = sv.fit(model, ["field[2]"], trace, max_steps=1)
    assert fit.growth == pytest.approx(0.1 / 1.01, rel=0.3)


@pytest.mark.slow
def test_multiple_shooting_finds_the_way_that_a_long_trace_hides():
    """Twenty periods of precession in a field, its strength 30% off: many minima; its segments have one."""
    valve = fast_valve(field=(0.0, 0.0, 0.6), anisotropy=(0.1, 0.0), j_sd=0.5)
    tilted = jnp.array([[1.0, 0.0, 0.0], [0.8, 0.0, 0.6]])
    begin = lambda valve: sv.stationary(valve, tilted)
    truth = sv.evolve(valve, begin(valve), QUENCH, 240.0, dt=0.2, save_every=5, method="etd")
    m = noisy(truth.observables["magnetization"], 1e-3)
    found = {}
    for segments in (1, 24):
        trace = sv.Trace(truth.t, m, sigma=1e-3, start=begin, dt=0.2, segments=segments)
        found[segments] = sv.fit(valve, {"field[2]": 0.42}, trace, bias=QUENCH)
    assert found[24].converged and within(found[24], {"field[2]": 0.6})
    assert found[1].loss > 100 * found[24].loss


# Bad data

T = np.arange(1.0, 5.0)
GOOD = np.zeros((4, 2, 3))
WITH_NAN = np.where(np.arange(24).reshape(4, 2, 3) == 8, np.nan, 0.0)


@pytest.mark.parametrize(
    ("free", "target", "message"),
    [
        (["jsd"], sv.Trace(T, GOOD), "Parameter 'jsd' must be one of"),
        (["anisotropy"], sv.Trace(T, GOOD), "must give 'anisotropy' a start or an index"),
        ("j_sd", sv.Trace(T, GOOD), "must be a list of names"),
        ([], sv.Trace(T, GOOD), "must name parameters"),
        ({"anisotropy": 0.3, "anisotropy[1]": 0.2}, sv.Trace(T, GOOD), "each number once, but 'anisotropy\\[1\\]'"),
        ({"hopping": -1.0}, sv.Trace(T, GOOD), "must start 'hopping' between 0 and inf, but does at -1"),
        ({"j_sd": sv.Free(low=3.0)}, sv.Trace(T, GOOD), "must start 'j_sd' between 3 and inf, but does at 2"),
        ({"j_sd": sv.Free(prior=(1.0, 0.0))}, sv.Trace(T, GOOD), "prior"),
        (["j_sd"], sv.Trace(T, WITH_NAN), "`values` must be finite, but is not at t = 2"),
        (["j_sd"], sv.Trace(T[:3], GOOD), r"`values` must have one entry for each `t`"),
        (["j_sd"], sv.Trace(T, GOOD[:, 0]), r"`values` must have shape \(4, 2, 3\), but has shape \(4, 3\)"),
        (["j_sd"], sv.Trace(T - 1, GOOD), "`t` must be positive and strictly increasing"),
        (["j_sd"], sv.Trace(T + 0.03, GOOD), "`t` must be whole steps of dt = 0.1, but is 1.03"),
        (["j_sd"], sv.Trace(T, GOOD, "magnetisation"), "the nearest is 'magnetization'"),
        (["j_sd"], sv.Trace(T, GOOD, "magnetization[2]"), "must lie within 'magnetization'"),
        (["j_sd"], sv.Trace(T, GOOD, sigma=-1.0), "`sigma` must be positive"),
        (["j_sd"], sv.Trace(T, GOOD, sigma=np.ones(3)), "`sigma` must fit the shape"),
        (["j_sd"], sv.Trace(T, GOOD, method="euler"), "`method` must be one of"),
        (["j_sd"], sv.Trace(T, GOOD, segments=3), "`segments` must divide the 4 times"),
        (["j_sd"], sv.Trace(T, GOOD, dt=0.5, method="rk38"), "`dt` must stay below the stability limit"),
        (["j_sd"], [sv.Trace(T, GOOD), sv.Trace(T, GOOD)], "`sigma` must be given"),
        (
            ["j_sd", "hopping"],
            sv.SteadyCurve([0.0, 1.0], [0.1, 0.2], "charge_current[0]"),
            "`sigma` must be given for 2",
        ),
        (["j_sd"], lambda valve, bias: jnp.sqrt(valve.j_sd - 2.0) * jnp.ones(2), "derivatives of the data are finite"),
        (["j_sd"], sv.SteadyCurve([0.0, np.nan], np.zeros(2)), "`voltages` must be finite"),
        (["j_sd"], sv.SteadyCurve([0.0, 1.0], np.zeros(2)), r"`values` must have shape \(2, 2, 3\)"),
        (["j_sd"], lambda valve, bias: valve.j_sd * jnp.array([jnp.nan, 1.0]), "must start where the loss is finite"),
    ],
)
def test_bad_data_raise(free, target, message):
    with pytest.raises(ValueError, match=message):
        sv.fit(fast_valve(), free, target, bias=QUENCH)


def test_bad_options_raise():
    for options in ({"mode": "backward"}, {"starts": 0}, {"max_steps": 1.5}):
        with pytest.raises(ValueError, match=f"Argument `{next(iter(options))}`"):
            sv.fit(fast_valve(), ["j_sd"], straight, **options)
    with pytest.raises(ValueError, match=r"Argument `start` must be of shape \(2, 3\)"):
        sv.fit(sv.MacrospinModel(j_eff=0.1, n_s=1), ["j_eff"], sv.Trace(T, GOOD))
    with pytest.raises(ValueError, match="`segments` must be 1 for a MacrospinModel"):
        segments = sv.Trace(T, GOOD, start=np.eye(3)[:2], segments=2)
        sv.fit(sv.MacrospinModel(j_eff=0.1, n_s=1), ["j_eff"], segments)
    changed = eqx.tree_at(lambda v: v.j_sd, fast_valve(), jnp.nan)
    with pytest.raises(ValueError, match="`j_sd` must be finite"):
        sv.fit(changed, ["mu_bar"], straight)
