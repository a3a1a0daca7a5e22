"""The engine on problems it knows nothing of: order of the step, the table, checkpointed scans."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svjax.integrate import RK38, Tableau, checkpointed_scan, runge_kutta_step


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
    body = lambda c, x: (c * 1.01 + jnp.sin(x), {"seen": c * x})
    xs = jnp.linspace(0.0, 1.0, n)
    ours, theirs = checkpointed_scan(body, 0.3, xs), jax.lax.scan(body, 0.3, xs)
    assert np.isclose(ours[0], theirs[0], rtol=1e-15)
    assert np.allclose(ours[1]["seen"], theirs[1]["seen"], rtol=1e-15)
    slope = [
        jax.grad(lambda c, scan=scan: scan(body, c, xs)[0] ** 2)(0.3) for scan in (checkpointed_scan, jax.lax.scan)
    ]
    assert np.isclose(*slope, rtol=1e-14)


def test_reverse_mode_stores_the_square_root_of_the_steps():
    """Temporary memory of the compiled gradient grows like sqrt(n), where that of a plain scan grows like n."""

    def memory(scan, n):
        body = lambda c, x: (jnp.sin(c + x), None)
        loss = lambda c: jnp.sum(scan(body, c, jnp.arange(float(n)))[0])
        return jax.jit(jax.grad(loss)).lower(jnp.ones(1000)).compile().memory_analysis().temp_size_in_bytes

    assert memory(checkpointed_scan, 2500) < 2.6 * memory(checkpointed_scan, 400)
    assert memory(jax.lax.scan, 2500) > 5 * memory(jax.lax.scan, 400)
