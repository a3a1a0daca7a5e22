"""Macrospins: the exact solution against Eq. (21) and the ODE, the model's invariants and gradients, and the fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svjax.macrospin.model import PERPENDICULAR, MacrospinModel, macrospin_solution, solve_macrospin
from svjax.macrospin.precession_fit import fit_macrospin

LEFT = np.array([0.36, -0.48, 0.8])
RIGHT = np.array([-2.0, 1.0, 2.0]) / 3
GENERIC = np.stack([LEFT, RIGHT])
SAMPLES = 200


def full_model():
    return MacrospinModel(
        j_eff=0.03,
        n_s=(5.0, 3.0),
        anisotropy=(0.4, 0.02),
        easy_axes=(LEFT[::-1], RIGHT),
        field=(0.1, -0.05, 0.07),
        damping=(0.1, 0.05),
        damping_like=(0.02, -0.03),
        field_like=(0.04, 0.01),
        polarizer=(RIGHT[::-1], LEFT),
    )


def central_difference(f, x, step=1e-5):
    x = np.asarray(x, dtype=float)
    result = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        shift = np.zeros(x.shape)
        shift[index] = step
        result[index] = (f(x + shift) - f(x - shift)) / (2 * step)
    return result


# The exact solution


@pytest.mark.parametrize("j_eff", [-0.013, 0.021])
def test_perpendicular_start_is_eq_21_with_the_sign_of_eq_20(j_eff):
    t, n_s, varphi = np.linspace(-30, 100, 77), 5, 0.4
    omega = -np.sqrt(2) * n_s * j_eff
    c = np.sqrt(0.5)
    rotation = np.array([[c, 0, c], [0, 1, 0], [-c, 0, c]])
    for layer, phi in enumerate((varphi, np.pi + varphi)):
        limit_cycle = c * np.stack([np.cos(omega * t + phi), np.sin(omega * t + phi), np.ones_like(t)])
        solution = macrospin_solution(t, j_eff, n_s, phase=varphi)[:, layer]
        np.testing.assert_allclose(solution, (rotation @ limit_cycle).T, atol=1e-13)


def test_solution_obeys_eq_20_in_the_sums_of_the_layers():
    j_eff, sizes = -0.017, jnp.array([5.0, 3.0])

    def sums(t):
        return sizes[:, None] * macrospin_solution(t, j_eff, sizes, m_left=LEFT, m_right=0.9 * RIGHT, phase=0.3)

    for t in (0.0, 3.1, 240.0):
        value, rate = jax.jvp(sums, (t,), (1.0,))
        np.testing.assert_allclose(rate[0], j_eff * jnp.cross(value[0], value[1]), atol=1e-13)
        np.testing.assert_allclose(rate[1], j_eff * jnp.cross(value[1], value[0]), atol=1e-13)


def test_solution_agrees_with_the_integrated_model_from_a_generic_start():
    t = np.linspace(0, 1500, 41)
    exact = macrospin_solution(t, -7e-3, (5, 3), m_left=LEFT, m_right=RIGHT)
    model = MacrospinModel(j_eff=-7e-3, n_s=(5, 3), polarizer=GENERIC)
    np.testing.assert_allclose(solve_macrospin(model, GENERIC, t), exact, atol=1e-8)
    total = np.array([5.0, 3.0]) @ exact
    np.testing.assert_allclose(total, np.broadcast_to(total[0], total.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(exact, axis=-1), 1, atol=1e-13)


@jax.jit
def weighted_solution(point):
    t, j_eff, n_s, m_left, m_right, phase = point
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(4, 2, 3)))
    return jnp.sum(weights * macrospin_solution(t, j_eff, n_s, m_left=m_left, m_right=m_right, phase=phase))


weighted_gradient = jax.jit(jax.grad(weighted_solution))


@pytest.mark.parametrize(
    ("right", "phase"),
    [(RIGHT, 0.6), (-LEFT, 0.0), (LEFT, -1.1), (-LEFT + 1e-9 * RIGHT, 0.0)],
    ids=["generic", "antiparallel", "parallel", "nearly antiparallel"],
)
def test_solution_gradients(right, phase):
    sizes = (5.0, 3.0) if right is RIGHT else (4.0, 4.0)
    point = [np.asarray(x) for x in ([0.0, 1.0, 4.0, 9.0], 0.05, sizes, LEFT, right, phase)]
    for i, gradient in enumerate(weighted_gradient(point)):
        if i == 5 and np.linalg.norm(LEFT + right) < 1e-6:
            continue  # the axis of the phase is not defined here
        difference = central_difference(lambda x, i=i: weighted_solution([*point[:i], x, *point[i + 1 :]]), point[i])
        np.testing.assert_allclose(gradient, difference, rtol=1e-6, atol=1e-8)


def test_phase_has_no_effect_and_no_nan_where_the_sum_vanishes():
    point = [np.asarray(x) for x in ([0.0, 1.0, 4.0, 9.0], 0.05, (4.0, 4.0), LEFT, -LEFT, 0.7)]
    assert weighted_solution(point) == weighted_solution([*point[:5], np.asarray(0.0)])
    gradients = weighted_gradient(point)
    assert gradients[5] == 0 and all(np.all(np.isfinite(gradient)) for gradient in gradients)


# The model


def test_field_is_the_microscopic_one():
    model, sizes = full_model(), np.array([5.0, 3.0])
    field = 0.03 * (sizes[:, None] * GENERIC)[::-1] + np.array([0.1, -0.05, 0.07])
    axes = np.stack([LEFT[::-1], RIGHT])
    field += 2 * np.array([[0.4], [0.02]]) * np.sum(GENERIC * axes, axis=1, keepdims=True) * axes
    np.testing.assert_allclose(model.effective_field(jnp.asarray(GENERIC)), field, atol=1e-14)


def test_rate_obeys_the_implicit_equation_of_gilbert():
    for model in (full_model(), MacrospinModel(j_eff=0.03, n_s=5, damping=0.2, damping_like=0.1, field_like=0.05)):
        m = jnp.asarray(GENERIC)
        p = m[::-1] if model.polarizer is None else model.polarizer
        rate = model.time_derivative(m)
        expected = (
            jnp.cross(m, model.effective_field(m))
            + model.damping_like[:, None] * jnp.cross(m, jnp.cross(p, m))
            + model.field_like[:, None] * jnp.cross(m, p)
            - model.damping[:, None] * jnp.cross(m, rate)
        )
        np.testing.assert_allclose(rate, expected, atol=1e-15)


def test_energy_is_conserved_without_damping_and_falls_with_it():
    t = np.linspace(0, 200, 41)
    still = [jnp.zeros(2)] * 3
    free = eqx.tree_at(lambda model: (model.damping, model.damping_like, model.field_like), full_model(), still)
    m = solve_macrospin(free, GENERIC, t)
    energies = jax.vmap(free.energy)(m)
    assert np.ptp(energies) < 1e-7 * abs(energies[0])
    np.testing.assert_allclose(np.linalg.norm(m, axis=-1), 1, atol=1e-8)
    assert np.abs(m[-1] - m[0]).max() > 0.1
    damped = eqx.tree_at(lambda model: model.damping, free, jnp.array([0.01, 0.02]))
    energies = jax.vmap(damped.energy)(solve_macrospin(damped, GENERIC, t))
    assert np.all(np.diff(energies) < 0)


def test_one_damped_spin_spirals_in_as_gilbert_says():
    t, alpha, b = np.linspace(0, 30, 41), 0.1, 0.7
    model = MacrospinModel(j_eff=0.0, n_s=5, field=(0, 0, b), damping=alpha, polarizer=GENERIC)
    m = solve_macrospin(model, GENERIC, t)
    rate = b / (1 + alpha**2)
    z = np.tanh(np.arctanh(LEFT[2]) + alpha * rate * t)
    turned = (LEFT[0] + 1j * LEFT[1]) / np.hypot(LEFT[0], LEFT[1]) * np.exp(-1j * rate * t) * np.sqrt(1 - z**2)
    np.testing.assert_allclose(m[:, 0], np.stack([turned.real, turned.imag, z], axis=1), atol=1e-8)


def test_damping_like_torque_turns_towards_the_polarizer():
    t, a, p = np.linspace(0, 30, 41), 0.05, np.array([0, 0, 1.0])
    model = MacrospinModel(j_eff=0.0, n_s=5, damping_like=a, polarizer=p)
    np.testing.assert_allclose(solve_macrospin(model, GENERIC, t)[:, 0, 2], np.tanh(np.arctanh(0.8) + a * t), atol=1e-8)


@pytest.mark.slow
def test_model_gradients_forward_and_reverse_against_differences():
    t, weights = np.linspace(0, 12, 4), np.random.default_rng(2).normal(size=(2, 3))

    def number(point):
        return jnp.sum(weights * solve_macrospin(*point, t, rtol=1e-11, atol=1e-11, max_steps=256)[-1])

    point = (full_model(), jnp.asarray(GENERIC))
    gradient_of = jax.jit(jax.value_and_grad(number))
    gradient = gradient_of(point)[1]
    tangent = jax.tree.map(lambda x: jnp.asarray(np.random.default_rng(x.size).normal(size=x.shape)), point)
    slope = float(jax.jit(lambda point: jax.jvp(number, (point,), (tangent,))[1])(point))
    products = jax.tree.map(lambda g, v: float(jnp.sum(g * v)), gradient, tangent)
    assert slope == pytest.approx(sum(jax.tree.leaves(products)), rel=1e-9)
    leaves, structure = jax.tree.flatten(point)
    for i, (leaf, leaf_gradient) in enumerate(zip(leaves, jax.tree.leaves(gradient), strict=True)):
        f = lambda x, i=i: gradient_of(jax.tree.unflatten(structure, [*leaves[:i], jnp.asarray(x), *leaves[i + 1 :]]))[
            0
        ]
        np.testing.assert_allclose(leaf_gradient, central_difference(f, leaf, 1e-4), rtol=1e-6, atol=1e-7)


def test_a_python_number_put_into_the_model_is_made_an_array():
    model = eqx.tree_at(lambda model: model.j_eff, full_model(), 0.02)
    canonical = eqx.tree_at(lambda model: model.j_eff, full_model(), jnp.array(0.02))
    t = np.linspace(0, 3, 41)
    np.testing.assert_array_equal(solve_macrospin(model, GENERIC, t), solve_macrospin(canonical, GENERIC, t))


def test_bad_arguments_of_the_model_raise():
    with pytest.raises(ValueError, match=r"Argument `m0` must be of shape \(2, 3\), but is of shape \(3,\)"):
        solve_macrospin(full_model(), LEFT, [0.0, 1.0])
    with pytest.raises(ValueError, match="Argument `times` must be of shape"):
        solve_macrospin(full_model(), GENERIC, [0.0])
    with pytest.raises(Exception, match="Argument `times` must be strictly increasing"):
        solve_macrospin(full_model(), GENERIC, np.linspace(1, 0, 41))


# The fit


@eqx.filter_jit
def fit_many(t, m, n_s, start):
    """Fits of (B, T) times, (B, T, 2, 3) data, from one start."""
    return jax.vmap(lambda t, m: fit_macrospin(t, m[:, 0], m[:, 1], n_s, start=start))(t, m)


def synthetic(t, j_eff, n_s, noise=0.0, seed=0, **start):
    m = np.asarray(macrospin_solution(t, j_eff, n_s, **start))
    return m + noise * np.random.default_rng(seed).normal(size=m.shape)


def test_fit_finds_any_frequency_sign_and_phase_without_a_guess():
    cases = [
        (sign * periods, phase, begin, uneven)
        for sign in (1, -1)
        for periods in (0.1, 0.5, 1.37, 7.0, 50.0)
        for phase in (0.0, 0.3, 1.0, 3.0, -2.5)
        for begin, uneven in ((0.0, False), (0.2, True))
    ]
    t, m, truth = [], [], []
    for periods, phase, begin, uneven in cases:
        grid = np.linspace(0, 1, SAMPLES)
        t.append(2000 * (begin + grid + 0.3 / SAMPLES * uneven * np.sin(37 * np.arange(SAMPLES))))
        truth.append(-periods * 2 * np.pi / 2000 / (np.sqrt(2) * 5))
        m.append(synthetic(t[-1], truth[-1], 5, phase=phase))
    fit = fit_many(np.array(t), np.array(m), jnp.array([5.0, 5.0]), jnp.array(PERPENDICULAR))
    np.testing.assert_allclose(fit.j_eff, truth, rtol=1e-9)
    np.testing.assert_allclose(fit.phase, [case[1] for case in cases], atol=1e-8)
    assert np.all(fit.ok) and np.all(fit.residual < 1e-9)


@pytest.mark.parametrize(
    "known", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["known start", "fitted start"]
)
def test_error_bar_covers_the_truth_in_about_68_of_100_trials(known):
    start = {"m_left": LEFT, "m_right": RIGHT, "phase": 0.4}
    t, j_eff, sizes, noise = np.linspace(20, 600, SAMPLES), -2.2e-3, (5.0, 3.0), 0.02
    m = np.stack([synthetic(t, j_eff, sizes, noise, seed, **start) for seed in range(100)])
    fit = fit_many(np.broadcast_to(t, (100, SAMPLES)), m, jnp.array(sizes), jnp.array(GENERIC) if known else None)
    assert np.all(fit.ok)
    assert 55 <= np.sum(np.abs(fit.j_eff - j_eff) < fit.error) <= 80
    np.testing.assert_allclose(fit.residual, noise, rtol=0.15)
    np.testing.assert_allclose(np.mean(fit.error), np.std(fit.j_eff), rtol=0.3)
    if known:
        assert 55 <= np.sum(np.abs(fit.phase - 0.4) < fit.phase_error) <= 80
    else:
        truth = macrospin_solution(0.0, j_eff, sizes, **start)
        assert np.sqrt(np.mean((fit.start - truth) ** 2)) < 0.3 * noise


def test_single_fit_is_the_vmapped_one_and_a_bad_run_leaves_the_others_alone():
    t = np.linspace(1, 2000, SAMPLES)
    m = np.stack([synthetic(t, j, 5, 1e-3, seed=3) for j in (-2e-4, 6e-4, 1.7e-3)])
    m[1, 17, 0, 2] = np.nan
    sweep = jax.vmap(fit_macrospin, in_axes=(None, 0, 0, None))(t, m[:, :, 0], m[:, :, 1], 5)
    assert sweep.ok.tolist() == [True, False, True] and np.isnan(sweep.j_eff[1])
    for i in (0, 2):
        one = fit_macrospin(t, m[i, :, 0], m[i, :, 1], 5)
        for name in ("j_eff", "error", "residual", "phase", "phase_error", "start"):
            np.testing.assert_allclose(getattr(sweep, name)[i], getattr(one, name), rtol=1e-6, atol=1e-9)
        assert one.message.startswith("J_eff = ")


def test_fit_without_a_known_start_finds_it_and_its_phase():
    t = np.linspace(0, 1500, SAMPLES)
    turned = synthetic(t, 3e-4, 5, phase=0.9)
    generic = synthetic(t, 3e-4, 5, m_left=LEFT, m_right=RIGHT)
    batch = np.stack([turned, generic] * 50)  # one batch shape, compiled once
    fit = fit_many(np.broadcast_to(t, (100, SAMPLES)), batch, jnp.array([5.0, 5.0]), None)
    np.testing.assert_allclose(fit.j_eff, 3e-4, rtol=1e-9)
    assert fit.phase[0] == pytest.approx(0.9, abs=1e-8)
    np.testing.assert_allclose(fit.start, batch[:, 0], atol=1e-8)
    wrong = fit_macrospin(t, generic[:, 0], generic[:, 1], 5)
    assert not wrong.ok and "not from this start" in wrong.message


def test_fit_says_when_the_layers_are_not_macrospins_or_do_not_move():
    t = np.linspace(0, 2000, SAMPLES)
    m = synthetic(t, -6e-4, 5) + 0.06 * np.sin(0.05 * t)[:, None, None]
    fit = fit_macrospin(t, m[:, 0], m[:, 1], 5)
    assert fit.residual == pytest.approx(0.06 / np.sqrt(2), rel=0.1)
    assert not fit.ok and "do not move as two macrospins" in fit.message
    for right in (LEFT, -LEFT):
        still = np.broadcast_to(np.stack([LEFT, right]), (SAMPLES, 2, 3))
        fit = fit_macrospin(t, still[:, 0], still[:, 1], 5, start=still[0])
        assert not fit.ok and np.isinf(fit.error) and "does not determine" in fit.message


@pytest.mark.slow
def test_error_bar_of_a_smooth_misfit_does_not_shrink_with_finer_sampling():
    errors = []
    for samples in (SAMPLES, 4 * SAMPLES):
        t = np.linspace(0, 2000, samples)
        m = synthetic(t, -6e-4, 5) + 0.02 * np.sin(0.05 * t)[:, None, None]
        errors.append(fit_macrospin(t, m[:, 0], m[:, 1], 5).error.item())
    assert errors[1] == pytest.approx(errors[0], rel=0.2)


@pytest.mark.slow
def test_fit_has_derivatives_with_respect_to_the_data():
    t = np.linspace(1, 900, SAMPLES)

    def fitted(j_eff, scale):
        m = macrospin_solution(t, j_eff, 5).at[:, 0, 1].add(scale * t / 900)
        return fit_macrospin(t, m[:, 0], m[:, 1], 5).j_eff

    fitted = jax.jit(jax.value_and_grad(fitted, argnums=(0, 1)))
    value, gradient = fitted(3e-4, 0.01)
    assert abs(value - 3e-4) > 1e-7
    for i, step in enumerate((1e-7, 1e-4)):
        f = lambda x, i=i: fitted(*((x, 0.01) if i == 0 else (3e-4, x)))[0]
        assert float(gradient[i]) == pytest.approx(float(central_difference(f, (3e-4, 0.01)[i], step)), rel=1e-4)


def test_bad_data_raise():
    t = np.linspace(0, 100, 10)
    m_left, m_right = np.moveaxis(synthetic(t, 1e-3, 5), 1, 0)
    with_nan = m_right.copy()
    with_nan[3, 1] = np.nan
    good = {"t": t, "m_left": m_left, "m_right": m_right, "n_s": 5}
    for message, change in {
        r"`t` must be of shape \(T,\) with T >= 4, but is of shape \(3,\)": {"t": t[:3]},
        "`t` must be strictly increasing, but is 0.0 and then 0.0": {"t": 0 * t},
        r"`m_left` must be of shape \(10, 3\), but is of shape \(9, 3\)": {"m_left": m_left[:9]},
        "`m_right` must be finite, but is nan": {"m_right": with_nan},
        r"`m_left` must be per spin \(length one\), but is of length 5": {"m_left": 5 * m_left},
        "`n_s` must be positive, but is -1": {"n_s": -1},
        r"`n_s` must be one number or one per layer, but is of shape \(3,\)": {"n_s": (1, 2, 3)},
        r"`start` must be of shape \(2, 3\), but is of shape \(3,\)": {"start": LEFT},
    }.items():
        with pytest.raises(ValueError, match="Argument " + message):
            fit_macrospin(**(good | change))
