"""Pole expansions of the Fermi function: closed forms, sum rules, and what they leave in rho of the 12x4 valve."""

import importlib.util
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, expit, polygamma

import svjax.reservoirs.poles
from svjax.reservoirs.poles import Poles, fermi, matsubara_poles, optimized_poles, pade_poles, poles_for

ROOT = pathlib.Path(__file__).parents[1]
TABLE = json.loads((ROOT / "svjax" / "reservoirs" / "optimized_poles.json").read_text())


def half_sum(poles, x):
    """sum_p eta_p/(x - i xi_p), all that rho needs of the poles."""
    return np.sum(np.asarray(poles.eta) / (x[..., None] - 1j * np.asarray(poles.xi)), axis=-1)


def exact_half_sum(x):
    """The same over all Matsubara poles with eta = 1, up to an imaginary constant that rho does not notice."""
    return -1j / (2 * np.pi) * digamma(0.5 + 1j * x / (2 * np.pi))


class FrozenValve:
    """The 12x4 valve, J_sd = 2, left layer along x, right layer along z: rho from any half sum."""

    def __init__(self, length=12, width=4):
        sites = np.arange(length * width).reshape(length, width)
        hopping = np.zeros((sites.size, sites.size))
        for a, b in [(sites[1:], sites[:-1]), (sites[:, 1:], sites[:, :-1])]:
            hopping[a, b] = hopping[b, a] = -1
        layers = np.zeros((2, sites.size))
        layers[0, :16] = layers[1, -16:] = 1
        sigma_x, sigma_z = np.array([[0, 1], [1, 0]]), np.diag([1, -1])
        h = np.kron(hopping, np.eye(2)) + np.kron(np.diag(layers[0]), sigma_x) + np.kron(np.diag(layers[1]), sigma_z)
        contacts = np.zeros((2, length, width))
        contacts[0, 0] = contacts[1, -1] = 1
        gammas = [np.kron(np.diag(c.ravel()), np.eye(2)) for c in contacts]
        self.levels, self.right = np.linalg.eig(h - 0.5j * sum(gammas))
        left = np.linalg.inv(self.right)
        self.gammas = [left @ gamma @ left.conj().T for gamma in gammas]

    def rho(self, half, mu, temperature=0.025):
        """0 = -i (H_eff rho - rho H_eff^+) + Gamma/2 + sum (Pi + Pi^+), solved in the eigenbasis of H_eff."""
        source = 0
        for gamma, mu_l in zip(self.gammas, mu, strict=True):
            value = half((self.levels - mu_l) / temperature)
            source = source + gamma / 2 - value[:, None] * gamma - gamma * value.conj()
        rho = source / (1j * (self.levels[:, None] - self.levels.conj()))
        return self.right @ rho @ self.right.conj().T

    def error(self, poles, mu, temperature=0.025):
        """Largest element of the error of rho."""
        exact = self.rho(exact_half_sum, mu, temperature)
        return np.abs(self.rho(lambda x: half_sum(poles, x), mu, temperature) - exact).max()


@pytest.fixture(scope="module")
def valve():
    return FrozenValve()


def test_pade_closed_forms():
    one = pade_poles(1)
    np.testing.assert_allclose(one.xi, [np.sqrt(12)], rtol=1e-14)
    np.testing.assert_allclose(one.eta, [1.5], rtol=1e-14)
    # tanh z ~ z (105 + 10 z^2)/(105 + 45 z^2 + z^4), z = x/2
    two = pade_poles(2)
    z_squared = (45 + np.array([-1, 1]) * np.sqrt(1605)) / 2
    np.testing.assert_allclose(two.xi, 2 * np.sqrt(z_squared), rtol=1e-13)
    x = np.array([-7.0, 0.3, 11.0])
    z = x / 2
    np.testing.assert_allclose(fermi(two, x), 0.5 - z * (105 + 10 * z**2) / (105 + 45 * z**2 + z**4) / 2, rtol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 10, 31, 200])
def test_pade_defining_properties(n):
    poles = pade_poles(n)
    xi, eta = np.asarray(poles.xi), np.asarray(poles.eta)
    assert np.all(np.diff(xi) > 0) and np.all(eta > 0)
    # The expansion of tanh(x/2)/2 = x/4 - x^3/48 + x^5/480 - 17 x^7/80640 + ... holds up to x^(4n-1),
    for power, moment in {2: 1 / 8, 4: 1 / 96, 6: 1 / 960, 8: 17 / 161280}.items():
        if power <= 4 * n:
            np.testing.assert_allclose(np.sum(eta / xi**power), moment, rtol=1e-12)
    # and x (f - 1/2) tends to -n (2n+1) for large x.
    np.testing.assert_allclose(2 * np.sum(eta), n * (2 * n + 1), rtol=1e-11)
    if n >= 10:
        np.testing.assert_allclose(xi[:3], matsubara_poles(3).xi, rtol=1e-8)


def test_matsubara_slope_at_zero_is_a_trigamma_function():
    for n in (1, 7):
        slope = jax.grad(lambda x, n=n: fermi(matsubara_poles(n), x))(0.0)
        np.testing.assert_allclose(slope, -0.25 + polygamma(1, n + 0.5) / (2 * np.pi**2), rtol=1e-13)


@pytest.mark.parametrize(
    ("poles", "largest", "error"),
    [
        (pade_poles(10), 40, 1e-7),
        (pade_poles(30), 400, 1e-7),
        (optimized_poles(10), 400, 3e-7),
        (optimized_poles(14), 400, 2e-10),
    ],
)
def test_fermi_function_on_its_range(poles, largest, error):
    x = np.append(np.geomspace(1e-3, largest, 500), 0.0)
    x = np.concatenate([x, -0.9 * x])
    approximate = np.asarray(fermi(poles, x))
    assert np.abs(approximate - expit(-x)).max() < error
    np.testing.assert_allclose(approximate + fermi(poles, -x), 1, atol=1e-14)
    np.testing.assert_allclose(fermi(poles, 1e12), 0.5, atol=1e-3)
    assert fermi(poles, 3.0).shape == () and fermi(poles, np.ones((2, 3))).shape == (2, 3)


def test_table_holds_what_it_says():
    rng = np.random.default_rng(7)
    radius, angle = np.sqrt(rng.uniform(size=400)), rng.uniform(-np.pi, 0, size=400)
    for entry in TABLE:
        xi, eta = np.array(entry["xi"]), np.array(entry["eta"])
        assert len(xi) == len(eta) == entry["n"]
        assert np.all(np.diff(xi) > 0) and np.all(eta > 0) and xi[0] > 3
        rim = np.linspace(-1, 1, 101)
        x = entry["reach"] * np.concatenate([rim, np.sinh(9 * rim) / np.sinh(9), radius * np.exp(1j * angle)])
        difference = half_sum(Poles(xi, eta), x) - exact_half_sum(x)
        spread = np.abs(difference - 0.5j * (difference.imag.max() + difference.imag.min())).max()
        assert entry["error"] / 4 < spread < 1.05 * entry["error"], (entry["n"], entry["reach"])


def test_table_improves_with_every_pole():
    for reach in {entry["reach"] for entry in TABLE}:
        errors = {entry["n"]: entry["error"] for entry in TABLE if entry["reach"] == reach}
        assert sorted(errors) == list(range(min(errors), max(errors) + 1))
        assert all(errors[n + 1] < errors[n] / 2 for n in list(errors)[:-1])


def test_table_is_what_its_generator_makes():
    spec = importlib.util.spec_from_file_location("make_poles", ROOT / "benchmarks" / "make_poles.py")
    make_poles = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_poles)
    written = {entry["n"]: entry for entry in TABLE if entry["reach"] == 200.0}
    for xi, eta, error in make_poles.family(200.0, 7):
        if len(xi) in written:
            # the ripples are flat, so rounding of another machine moves the poles more than it moves the error
            np.testing.assert_allclose(xi, written[len(xi)]["xi"], rtol=1e-2)
            np.testing.assert_allclose(eta, written[len(xi)]["eta"], rtol=1e-2)
            assert error == pytest.approx(written[len(xi)]["error"], rel=1e-2)


def test_closed_form_of_rho_is_the_limit_of_pade(valve):
    assert valve.error(pade_poles(400), (0.9, -0.2)) < 3e-9


@pytest.mark.parametrize("voltage", [1.0, 8.0])
def test_pade_error_of_rho_falls_as_the_fourth_power(valve, voltage):
    n = np.array([60, 120, 240])
    errors = [valve.error(pade_poles(k), (voltage / 2, -voltage / 2)) for k in n]
    np.testing.assert_allclose(np.diff(np.log(errors)) / np.diff(np.log(n)), -4, atol=0.1)


@pytest.mark.parametrize("voltage", [1.0, 8.0])
@pytest.mark.parametrize(
    ("n", "error"), [(6, 1e-4), (8, 5e-6), (10, 1.5e-7), (12, 4e-9), (16, 1e-11), (24, 1e-11), (28, 1e-11)]
)
def test_optimized_error_of_rho(valve, voltage, n, error):
    assert valve.error(optimized_poles(n), (voltage / 2, -voltage / 2)) < error


@pytest.mark.parametrize("temperature", [0.025, 0.2])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-10])
def test_poles_for_keeps_its_tolerance(valve, temperature, tolerance):
    mu = (2.0, -0.5)
    poles = poles_for(tolerance, temperature, 4.4 + 2.0)
    assert valve.error(poles, mu, temperature) < tolerance
    fewer = optimized_poles(len(poles.xi) - 1, 6.4 / temperature)
    assert valve.error(fewer, mu, temperature) > tolerance / 50


def test_poles_for_needs_more_poles_for_a_wider_band_and_a_lower_temperature():
    count = [len(poles_for(1e-8, temperature, 10.0).xi) for temperature in (0.1, 0.025, 0.001)]
    assert count == sorted(set(count))
    assert len(poles_for(1e-8, 0.01, 4.0).xi) == len(poles_for(1e-8, 0.1, 40.0).xi)


def test_reach_is_the_smallest_tabulated_one_that_is_enough():
    assert jnp.array_equal(optimized_poles(9, 300.0).xi, optimized_poles(9, 400.0).xi)
    assert optimized_poles(9, 401.0).xi[-1] > optimized_poles(9, 400.0).xi[-1]
    assert optimized_poles(28).xi.shape == (28,)


def test_leaves_are_float_arrays_and_only_xi_and_eta():
    poles = Poles(np.array([1, 2]), np.array([3, 4]))
    leaves = jax.tree.leaves(poles)
    assert len(leaves) == 2 and all(leaf.dtype == jnp.result_type(float) for leaf in leaves)
    gradient = jax.jit(jax.grad(lambda p: fermi(p, 1.5)))(poles)
    xi, eta = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    np.testing.assert_allclose(gradient.eta, -2 * 1.5 / (1.5**2 + xi**2), rtol=1e-12)
    np.testing.assert_allclose(gradient.xi, 4 * eta * 1.5 * xi / (1.5**2 + xi**2) ** 2, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pade_poles(0), "`n` must be at least 1, but is 0"),
        (lambda: matsubara_poles(-3), "`n` must be at least 1, but is -3"),
        (lambda: optimized_poles(2), r"`n` must be 3 to \d+ for a reach of 400, but is 2"),
        (lambda: optimized_poles(100), r"`n` must be 3 to \d+ for a reach of 400, but is 100"),
        (lambda: optimized_poles(8, reach=1e9), r"`reach`, .* at most 102400, but is 1e\+09"),
        (lambda: optimized_poles(8, reach=np.nan), "`reach`, .* but is nan"),
        (lambda: optimized_poles(8, reach=-1.0), "`reach`, .* must be positive"),
        (lambda: poles_for(1e-20, 0.025, 5.0), "`tolerance` must be at least .* here, but is 1e-20"),
        (lambda: poles_for(-1.0, 0.025, 5.0), "`tolerance` must be positive and finite, but is -1.0"),
        (lambda: poles_for(1e-6, 0.0, 5.0), "`temperature` must be positive and finite, but is 0.0"),
        (lambda: poles_for(1e-6, 0.025, np.inf), "`bandwidth` must be positive and finite, but is inf"),
        (lambda: Poles(np.ones((1, 1)), np.ones((1, 1))), r"`xi` must have shape \(P,\)"),
        (lambda: Poles(np.ones(0), np.ones(0)), r"`xi` must have shape \(P,\)"),
        (lambda: Poles(np.ones(1), np.ones(2)), "`eta` must have the shape of `xi`"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_number_of_poles_is_an_integer():
    with pytest.raises((ValueError, TypeError), match=r"n(?s:.*)2\.5"):  # a TypeError where types are checked
        pade_poles(2.5)
    assert pade_poles(np.int64(2)).xi.shape == (2,)


@pytest.mark.parametrize("n", [5, 9, 13])
def test_estimate_covers_a_level_hardly_coupled_to_its_lead(n):
    """Such a level is filled with f itself, and its error is up to twice the tabulated one."""
    (tabulated,) = [entry["error"] for entry in TABLE if entry["n"] == n and entry["reach"] == 400.0]
    x = np.geomspace(0.1, 400, 2000)
    error = np.abs(fermi(optimized_poles(n), x) - expit(-x)).max()
    assert 1.2 * tabulated < error < svjax.reservoirs.poles.RHO_ERROR_PER_POLE_ERROR * tabulated
