"""The engine on problems it knows nothing of: order of the step, the table, checkpointed scans."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import svjax as sv
from svjax.engine.integrate import RK38, Tableau, checkpointed_scan, exponential_step, runge_kutta_step


def driven_rotation(t, y):
    """A complex linear equation and a real nonlinear one with explicit time, coupled: y' = -i H(z) y, z' = ..."""
    psi, z = y
    h = jnp.array([[0.3 + z[0], 0.2 - 0.5j], [0.2 + 0.5j, -jnp.sin(t)]])
    return -1j * h @ psi, jnp.cross(z, jnp.array([jnp.cos(2 * t), jnp.abs(psi[0]) ** 2, 1.0]))


def solve(steps, time=2.0):
    dt = time / steps
    y = jnp.array([0.6, 0.8j]), jnp.array([0.0, 0.6, 0.8])
    step = lambda y, n: (runge_kutta_step(driven_rotation, n * dt, y, dt), None)
    return jnp.concatenate([*jax.lax.scan(step, y, jnp.arange(steps))[0]])


def test_the_step_is_of_fourth_order():
    reference = solve(4096)
    errors = [float(jnp.abs(solve(n) - reference).max()) for n in (16, 32, 64, 128)]
    slopes = np.diff(np.log2(errors))
    assert np.all(np.abs(slopes + 4) < 0.1), slopes


def test_one_step_is_kuttas_three_eighths_rule():
    """Against the stages written out, in a case where the weights of k1 ... k4 can all be told apart."""
    f = lambda t, y: jnp.sin(3 * t) + y**2
    t, y, h = 0.3, 0.7, 0.5
    k1 = f(t, y)
    k2 = f(t + h / 3, y + h * k1 / 3)
    k3 = f(t + 2 * h / 3, y + h * (k2 - k1 / 3))
    k4 = f(t + h, y + h * (k1 - k2 + k3))
    expected = y + h * (k1 + 3 * k2 + 3 * k3 + k4) / 8
    assert np.isclose(runge_kutta_step(f, t, y, h), expected, rtol=1e-15)


def test_a_wrong_table_is_refused():
    with pytest.raises(ValueError, match=r"b\.c = 1/2"):
        Tableau(RK38.a, (1 / 8, 3 / 8, 1 / 4, 1 / 4), RK38.c)
    with pytest.raises(ValueError, match="a 1 = c"):
        Tableau(RK38.a, RK38.b, (0.0, 1 / 3, 1 / 3, 1.0))


@pytest.mark.parametrize("n", [0, 1, 7, 12, 97, 100])
def test_checkpointed_scan_is_scan(n):
    body = lambda c, k: (c * 1.01 + jnp.sin(k), {"seen": c * k})
    ours = lambda c: checkpointed_scan(body, c, 5, n, stride=3)
    plain = lambda c: jax.lax.scan(body, c, 5 + 3 * jnp.arange(n))
    found, expected = ours(0.3), plain(0.3)
    assert np.isclose(found[0], expected[0], rtol=1e-15)
    assert np.allclose(found[1]["seen"], expected[1]["seen"], rtol=1e-15)
    slope = [jax.grad(lambda c, scan=scan: scan(c)[0] ** 2)(0.3) for scan in (ours, plain)]
    assert np.isclose(*slope, rtol=1e-14)


def test_reverse_mode_stores_the_square_root_of_the_steps():
    """Temporary memory of the compiled gradient grows like sqrt(n), where that of a plain scan grows like n."""
    body = lambda c, k: (jnp.sin(c + k), None)
    ours = lambda c, n: checkpointed_scan(body, c, 0, n)
    plain = lambda c, n: jax.lax.scan(body, c, jnp.arange(n))

    def memory(scan, n):
        loss = lambda c: jnp.sum(scan(c, n)[0])
        return jax.jit(jax.grad(loss)).lower(jnp.ones(1000)).compile().memory_analysis().temp_size_in_bytes

    assert memory(ours, 2500) < 2.6 * memory(ours, 400)
    assert memory(plain, 2500) > 5 * memory(plain, 400)


def stiff_and_soft(t, y):
    """A stiff complex pair, y' = -RATES y + drive(z), and a soft real vector z that drives it and is turned by it."""
    fast, slow = y
    drive = jnp.array([slow[0] + 1j * slow[1], slow[2] * jnp.sin(t) + 1j])
    return -RATES * fast + drive, jnp.cross(slow, jnp.array([fast[0].real, fast[1].imag, 1.0]))


RATES = jnp.array([5.0, 2000.0])


def solve_exponentially(steps, time=2.0):
    dt = time / steps
    slow = jnp.array([0.0, 0.6, 0.8])
    y = jnp.array([0.6j / 5, 1j / 2000]), slow
    step = lambda y, n: (exponential_step(stiff_and_soft, (RATES, None), n * dt, y, dt), None)
    return jnp.concatenate([*jax.lax.scan(step, y, jnp.arange(steps))[0]])


def test_the_exponential_step_is_of_fourth_order_whatever_the_rates():
    """With rates 5 and 2000 and steps of 1/8 to 1/64, where an explicit step would need less than 1/700."""
    reference = solve_exponentially(2048)
    errors = [float(jnp.abs(solve_exponentially(n) - reference).max()) for n in (32, 64, 128, 256)]
    slopes = np.diff(np.log2(errors))
    assert np.all(np.abs(slopes + 4) < 0.1), (slopes, errors)


def test_the_exponential_step_without_rates_is_the_classic_runge_kutta_step():
    f = lambda t, y: jnp.sin(3 * t) + y**2
    t, y, h = 0.3, jnp.array(0.7), 0.5
    k1 = f(t, y)
    k2 = f(t + h / 2, y + h * k1 / 2)
    k3 = f(t + h / 2, y + h * k2 / 2)
    k4 = f(t + h, y + h * k3)
    expected = y + h * (k1 + 2 * k2 + 2 * k3 + k4) / 6
    assert np.isclose(exponential_step(f, None, t, y, h), expected, rtol=1e-15)
    assert np.isclose(exponential_step(f, 1e-13, t, y, h), expected, rtol=1e-12)


def test_the_exponential_step_is_exact_for_a_linear_decay_with_a_constant_source():
    f = lambda t, y: -50.0 * y + 3.0
    assert np.isclose(exponential_step(f, 50.0, 0.0, jnp.array(2.0), 0.3), 0.06 + 1.94 * np.exp(-15.0), rtol=1e-14)


def test_stages_stay_apart_where_everything_but_the_state_is_constant():
    """Under an outer ``jit`` step and valve are constants; the branch between stages must not be folded away."""
    valve = sv.SpinValve.chain(1, 1, 1, j_sd=1.0, leads=True, poles=sv.pade_poles(2))
    state = sv.stationary(valve, sv.aligned_spins(valve))
    run = jax.jit(lambda s: sv.evolve(valve, s, (0.1, 0.0), 1.0, dt=0.1, save_every=10, method="rk38").state)
    program = run.lower(state).compile().as_text()
    assert program.count(" conditional(") >= 8, program.count(" conditional(")
