"""Batches for LAPACK: as many matrices at once as make a single task, and what they give."""

import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import svjax.engine

RNG = np.random.default_rng(0)
FUNCTIONS = {
    "solve": lambda a: jnp.linalg.solve(a, a @ a),
    "inverse of a transpose": lambda a: jnp.linalg.inv(a.T.conj()),
    "eigenvalues": lambda a: jnp.prod(jnp.linalg.eigvals(a)),
    "eigh": lambda a: jnp.linalg.eigh(a + a.conj().T)[0],
    "qr": lambda a: jnp.linalg.qr(a)[0],
    "svd": lambda a: jnp.linalg.svd(a)[1],
    "cholesky": lambda a: jnp.linalg.cholesky(a @ a.conj().T),
    "schur": lambda a: jax.scipy.linalg.schur(a)[0],
    "determinant": lambda a: jnp.linalg.slogdet(a)[1],
}


assert svjax.engine  # which gives JAX its loops


def matrices(count, dim, kind=complex):
    parts = RNG.normal(size=(2, count, dim, dim)) + dim * np.eye(dim)
    return jnp.asarray(parts[0] + 1j * parts[1] if kind is complex else parts[0])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("count", "dim"), [(5, 30), (9, 4)])
def test_a_batch_is_its_matrices(name, count, dim):
    function, a = FUNCTIONS[name], matrices(count, dim)
    text = jax.jit(jax.vmap(function)).lower(a).as_text()
    calls = re.findall(r"custom_call @lapack.*\} : \(tensor<((?:\d+x)+)", text)
    batches = [int(shape.split("x")[0]) for shape in calls if shape.count("x") == 3]
    assert calls and (dim == 4 or ("while" in text and max(batches, default=1) < 4))
    found = jax.jit(jax.vmap(function))(a)
    assert np.allclose(found, np.stack([jax.jit(function)(one) for one in a]), rtol=1e-10)


def test_batches_of_batches_have_derivatives():
    a = matrices(6, 24, float).reshape(2, 3, 24, 24)
    value = lambda a: jnp.sum(jnp.linalg.inv(a) ** 2)
    slope = jax.jit(jax.grad(value))(a)
    along = matrices(6, 24, float).reshape(a.shape)
    change = (value(a + 1e-5 * along) - value(a - 1e-5 * along)) / 2e-5
    assert np.isclose(jnp.sum(slope * along), change, rtol=1e-6)
    assert np.isclose(jax.jit(lambda a: jax.jvp(value, (a,), (along,))[1])(a), change, rtol=1e-6)


PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
import svjax.engine
jax.config.update("jax_enable_x64", True)
a = jnp.asarray(np.random.default_rng(0).normal(size=(3, 96, 96)) + 0j)

def body(x, _):
    solved = [jnp.linalg.solve(a + k * x, a) for k in (1, 2)] + [jnp.linalg.inv(a - k * x) for k in (1, 2)]
    return 1e-4 * sum(solved), None

run = jax.jit(lambda x: jax.lax.scan(body, x, length=100)[0])
for _ in range(3):
    jax.block_until_ready(run(a))
print("came to its end")
"""


def test_calls_that_run_at_a_time_do_not_wait_for_each_other(launch):
    """Left to jaxlib, this program stands still within a second where two threads run it."""
    program = launch([sys.executable, "-c", PROGRAM])
    assert program.end(60) == 0 and "came to its end" in program.text
