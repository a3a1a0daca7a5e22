"""All that computes lowers for GPUs of NVIDIA; what calls which library there is known. None of it needs a GPU."""

import re
import sys
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cuda import HOST, TAKES_EIGENVECTORS, exported, libraries
from gpu import ROWS, halving, kernels
from helpers import small_valve

import svjax as sv
from svjax.engine.sparse import SparseRows
from svjax.sweeps.batch import steady_point

SPINS = np.array([[0.6, 0.0, 0.8], [0.48, 0.6, 0.64]])
MU = (0.3, -0.1)
LU = {"cusolver_getrf_ffi", "cu_lu_pivots_to_permutation"}


def start(valve):
    """A state of the valve's precision, from a program that is not exported."""
    return jax.tree.map(np.asarray, sv.stationary(valve, SPINS, MU))


def run(valve, state, method, voltage):
    found = sv.evolve(valve, state, sv.symmetric(voltage), 1.0, dt=0.1, method=method, save_every=5)
    return found.observables, found.state


@pytest.mark.parametrize("method", ["rk38", "etd", "magnus"])
@pytest.mark.parametrize(
    ("dtype", "batch"),
    [("float64", None), ("float32", 3)]
    + [pytest.param(*case, marks=pytest.mark.slow) for case in (("float64", 3), ("float32", None))],
)
def test_runs_call_no_library(method, dtype, batch):
    """Not even for matrix products: a step is gathers and arithmetic, all of it in the precision of the valve."""
    valve = small_valve(dtype=dtype, damping=0.01, poles=sv.optimized_poles(4))
    go = partial(run, valve, start(valve), method)
    text = exported(go if batch is None else jax.vmap(go), np.ones(() if batch is None else (batch,), dtype))
    assert libraries(text) == set()
    arrays = re.findall(r"tensor<((?:\d+x)+)(?:complex<)?(f\d\d)", text)
    large = {kind for shape, kind in arrays if np.prod([int(n) for n in shape[:-1].split("x")]) >= 64}
    assert large == {dtype.replace("loat", "")}


@pytest.mark.parametrize(
    ("way", "method"),
    [(jax.jacrev, "etd"), (jax.jacfwd, "magnus")]
    + [
        pytest.param(way, method, marks=pytest.mark.slow)
        for way, method in ((jax.jacfwd, "rk38"), (jax.jacrev, "rk38"), (jax.jacfwd, "etd"), (jax.jacrev, "magnus"))
    ],
)
def test_derivatives_of_runs_call_no_library(way, method):
    valve = small_valve(poles=sv.optimized_poles(4))
    state = start(valve)
    end = lambda valve: run(valve, state, method, 0.3)[1].spins
    assert libraries(exported(way(end), valve)) == set()


def of_coupling(function):
    """A function of the valve, of its J_sd."""
    valve = small_valve()
    return lambda j_sd: function(eqx.tree_at(lambda v: v.j_sd, valve, jnp.broadcast_to(j_sd, valve.j_sd.shape)))


def modes(valve):
    return sv.relaxation_modes(valve, sv.steady_state(valve, MU), MU, count=2)


def task(kind, valve):
    return steady_point(kind, valve, sv.symmetric(0.2))


CASES = {
    "stationary": (lambda v: sv.stationary(v, SPINS, MU), LU),
    "isolated": (
        lambda v: sv.stationary(sv.SpinValve.chain(1, 2, 1, j_sd=v.j_sd), SPINS).rho, {"cusolver_syevd_ffi"}
    ),
    "density_of_states": (lambda v: sv.density_of_states(v, SPINS, np.linspace(-1, 1, 5)), LU),
    "transmission": (lambda v: sv.transmission(v, SPINS, np.linspace(-1, 1, 5)), LU),
    "spectrum": (lambda v: sv.energy_levels(v, SPINS), {"cusolver_syevd_ffi"}),
    "steady_state": (lambda v: sv.steady_state(v, MU), LU | HOST),
    "relaxation_modes": (modes, LU | HOST),
    "steady tasks": (partial(task, sv.SteadyTask()), LU | HOST | {"cusolver_gesvdj_ffi"}),
    "modes tasks": (partial(task, sv.ModesTask(2)), LU | HOST | {"cusolver_gesvdj_ffi"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [None, 3])
def test_closed_forms_and_solutions_call_these_libraries(name, batch):
    function, allowed = CASES[name]
    at = of_coupling(function)
    text = exported(at if batch is None else jax.vmap(at), np.full(() if batch is None else (batch,), 2.0))
    assert libraries(text) <= allowed
    assert bool(libraries(text) & HOST) == bool(allowed & HOST)


@pytest.mark.parametrize("name", ["stationary", "steady_state", "relaxation_modes"])
@pytest.mark.parametrize("way", [pytest.param(jax.jacfwd, marks=pytest.mark.slow), jax.grad])
def test_derivatives_of_these_lower_too(name, way):
    of_valve = CASES[name][0]
    size = lambda valve: sum(jnp.sum(jnp.abs(x) ** 2) for x in jax.tree.leaves(of_valve(valve)))
    assert libraries(exported(way(of_coupling(size)), np.array(2.0))) <= CASES[name][1]


@pytest.mark.slow
def test_the_microscopic_llg_and_its_derivatives_lower():
    def torques(valve):
        found = sv.effective_llg(valve, MU, angles=4, at=0.05)
        return found.torques(1.0).damping_like, found.modes().real

    text = exported(jax.jacfwd(of_coupling(torques)), np.array(2.0))
    assert libraries(text) <= LU | HOST | {"cusolver_gesvdj_ffi", "cusolver_syevd_ffi"}


def test_a_batch_adds_no_transpose_to_a_product():
    """The batch stays where it is, in the product, its derivatives and a batch of batches."""
    table = SparseRows((4, 3), [0, 1, 2, 3], [2, 0, 1, 2], [1.0, 2.0, 1.0, 1.0])
    x = np.random.default_rng(0).normal(size=(5, 6, 3, 2))
    dense = np.zeros((4, 3))
    dense[[0, 1, 2, 3], [2, 0, 1, 2]] = [1.0, 2.0, 1.0, 1.0]
    twice = jax.vmap(jax.vmap(table))
    np.testing.assert_array_equal(jax.jit(twice)(x), np.einsum("rc,abcd->abrd", dense, x))
    inner = jax.vmap(table, in_axes=2, out_axes=0)
    y = x[0].swapaxes(0, 1)
    np.testing.assert_array_equal(jax.jit(inner)(y), np.einsum("rc,cad->dra", dense, y))
    both = lambda x: jax.vjp(twice, x)[1](twice(x))[0]
    np.testing.assert_allclose(jax.jit(both)(x), np.einsum("rc,re,abed->abcd", dense, dense, x), rtol=1e-15)
    assert not any("stablehlo.transpose" in exported(function, x) for function in (twice, both))


def test_the_benchmark_begins_no_row_without_time(launch):
    program = launch([sys.executable, Path(__file__).parent.parent / "benchmarks" / "gpu.py", "--seconds", "0"])
    assert program.end() == 0, program.text
    assert program.text.count("skipped: the time is used up") == len(ROWS)


def test_the_benchmark_halves_what_the_memory_does_not_hold():
    def work(batch, most):
        if batch > most:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return 10 * batch

    assert halving(lambda batch: work(batch, 20), 64) == (160, 16, "64 do not fit into the memory")
    assert halving(lambda batch: work(batch, 64), 64) == (640, 64, "")
    with pytest.raises(jax.errors.JaxRuntimeError):
        halving(lambda batch: work(batch, 0), 4)


def test_the_benchmark_counts_what_loops_launch():
    def launched(rounds):
        turn = lambda x, _: (jnp.sin(x @ x), None)
        loop = jax.jit(lambda x: jax.lax.scan(turn, x, length=rounds)[0])
        return kernels(loop.lower(np.ones((9, 9))).compile().as_text())

    counts = [launched(rounds) for rounds in (20, 30, 40)]
    assert counts[2] - counts[1] == counts[1] - counts[0] >= 20


def test_the_documentation_says_what_takes_eigenvectors():
    page = (Path(__file__).parent.parent / "docs" / "sharp-bits.md").read_text()
    part = page.split("## On a GPU\n")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", part)) >= set(TAKES_EIGENVECTORS.split())
