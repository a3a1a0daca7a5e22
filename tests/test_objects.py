"""Every public object can be copied, sent to another process and printed: in at most 15 lines, with numbers."""

import copy
import dataclasses
import inspect
import pickle
import re
import sys
from functools import cache

import equinox as eqx
import jax
import numpy as np
import pytest
from helpers import small_report, small_run, small_valve

import svjax as sv

T = np.linspace(0.5, 20.0, 40)


class Misfit(eqx.Module):
    """Residuals of j_sd, or half their square; a class, which other processes find by its name."""

    aim: float
    whole: bool = False

    def __call__(self, valve, bias):
        misfit = (valve.j_sd - self.aim) * np.ones(3)
        return misfit @ misfit if self.whole else misfit


def rising(t):
    """A level that jumps at t = 5."""
    return np.array([0.1, -0.1]) * (t >= 5.0)


VALVE, MODEL = small_valve(), sv.MacrospinModel(j_eff=0.1, n_s=2, anisotropy=(0.3, 0.2))
M = np.asarray(sv.macrospin_solution(T, 0.1, 2))
state = lambda: small_run().state
llg = cache(lambda: sv.effective_llg(VALVE, (0.0, 0.1), angles=5, at=0.05))
trajectory = lambda: sv.Trajectory(T, state(), {"magnetization": M})

MADE = {
    "Branch": lambda: sv.Branch("field[2]", T, np.ones((40, 1, 3)), T + 1j, (made("CriticalPoint"),)),
    "Check": lambda: sv.Check("poles", 1e-5, 1e-4, "more poles"),
    "Constant": lambda: sv.Constant([0.1, 0.0]),
    "Convergence": small_report,
    "ConvergenceError": lambda: sv.ConvergenceError("no steady state", 0.1, state(), 0.1j),
    "CriticalPoint": lambda: sv.CriticalPoint("fold", 0.3, np.ones((1, 3)), 0.1j),
    "DivergedError": lambda: sv.DivergedError("nan after t = 1", trajectory()),
    "DivergedRun": lambda: sv.DivergedRun(small_run()),
    "EffectiveLLG": lambda: llg(),
    "Equilibrium": lambda: small_run().equilibrium,
    "ExchangeCoupling": lambda: sv.exchange_coupling(sv.SpinValve.chain(1, 2, 1, j_sd=1.0), temperature=0.1),
    "FieldPulse": lambda: sv.FieldPulse((0.0, 0.0, 0.1), center=5.0, width=2.0),
    "Fit": lambda: sv.fit(VALVE, ["j_sd"], Misfit(2.5)),
    "FitProgress": lambda: sv.FitProgress("polish", 1, 0.5, {"j_sd": 2.0}),
    "Free": lambda: sv.Free(1.0),
    "FunctionBias": lambda: sv.FunctionBias(rising, jumps=[5.0]),
    "Interrupted": lambda: sv.Interrupted(small_run()),
    "Lattice": lambda: VALVE.lattice,
    "LayerDamping": lambda: llg().damping(1.0),
    "LayerExchange": lambda: llg().exchange(),
    "LayerTorques": lambda: llg().torques([0.5, 1.0]),
    "LorentzianBand": lambda: sv.LorentzianBand(4.0),
    "MacrospinFit": lambda: sv.fit_macrospin(T, M[:, 0], M[:, 1], 2),
    "MacrospinModel": lambda: MODEL,
    "Minimum": lambda: sv.minimise(VALVE, ["j_sd"], Misfit(2.5, whole=True)),
    "Modes": lambda: sv.Modes(np.array([-0.1 + 1j]), np.ones((1, 2, 3)) + 0j),
    "ModesTask": lambda: sv.ModesTask(),
    "Oscillating": lambda: sv.Oscillating((0.0, 0.0), (0.1, 0.0), 0.3),
    "PeierlsPulse": lambda: sv.PeierlsPulse((0.1, 0.0, 0.0), width=2.0, omega=1.0),
    "PeriodicState": lambda: sv.PeriodicState(np.float64(20.0), T, state(), {"magnetization": M}),
    "Poles": lambda: VALVE.poles,
    "PolesWarning": lambda: sv.PolesWarning("The poles leave much."),
    "Progress": lambda: sv.Progress(1, 2.0, 3, 4, 5.0, 6.0),
    "Pulse": lambda: sv.Pulse((0.0, 0.0), (0.1, 0.0), 5.0, 2.0),
    "Ramp": lambda: sv.Ramp("j_sd", (0.0, 1.0), (1.0, 2.0)),
    "RelaxationFit": lambda: sv.fit_relaxation(10 * T, np.exp(-T / 40) * np.cos(2 * T), start=0.0),
    "Run": small_run,
    "RungeKutta38": sv.RungeKutta38,
    "RunTask": lambda: sv.RunTask(10.0, dt=0.02, method="rk38"),
    "RunWriter": lambda: sv.RunWriter("a folder that is not there"),
    "Spectrum": lambda: sv.spectrum(VALVE, sv.aligned_spins(VALVE)),
    "SlonczewskiForm": lambda: sv.slonczewski_form(llg()),
    "SpinValve": lambda: VALVE,
    "State": state,
    "SteadyCurve": lambda: sv.SteadyCurve([0.0, 1.0], [0.1, 0.2], "charge_current[0]"),
    "SteadyTask": lambda: sv.SteadyTask(),
    "StripBand": lambda: sv.StripBand(4),
    "SweepProgress": lambda: sv.SweepProgress(1, 2.0, 3, 4.0, 5.0, 6.0),
    "Thermoelectric": lambda: sv.thermoelectric(VALVE, sv.aligned_spins(VALVE), 0.3),
    "TorqueFit": lambda: sv.fit_torques(T, M, MODEL, ["j_eff"]),
    "Trace": lambda: sv.Trace(T, M, sigma=0.1),
    "Trajectory": trajectory,
    "Units": lambda: sv.Units(1.0),
    "VoltageDrop": lambda: sv.symmetric(1.0),
    "Waveform": lambda: sv.Waveform((0.0, 1.0), (0.0, 0.4)),
}
"""One object of each public class."""

made = cache(lambda name: MADE[name]())


PUBLIC = {name: getattr(sv, name) for name in dir(sv) if not name.startswith("_")}
SLOW = ("TorqueFit", "Convergence", "EffectiveLLG")
"""Which take long to compile."""
CLASSES = sorted(name for name, item in PUBLIC.items() if inspect.isclass(item) and not inspect.isabstract(item))


def parts(item):
    """All arrays and numbers that an object is made of."""
    if isinstance(item, BaseException):
        item = vars(item)
    elif dataclasses.is_dataclass(item) and not isinstance(item, eqx.Module):
        item = {part.name: getattr(item, part.name) for part in dataclasses.fields(item)}
    leaves = jax.tree.leaves(item)
    if len(leaves) == 1 and leaves[0] is item:
        return [item] if eqx.is_array_like(item) else []
    return [part for leaf in leaves for part in parts(leaf)]


every = pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CLASSES])


@every
def test_copies_and_pickles_are_the_same(name):
    item = made(name)
    for again in (pickle.loads(pickle.dumps(item)), copy.deepcopy(item)):
        assert type(again) is type(item) and repr(again) == repr(item)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(parts(item), parts(again), strict=True))


@every
def test_prints_are_short_and_tell_numbers(name):
    text = repr(made(name))
    assert len(text.splitlines()) <= 15 and len(text) < 1500
    assert not re.search(r"object at 0x|f64\[|<function|Array\(", text)
    if hasattr(made(name), "_repr_html_"):
        assert "<table>" in made(name)._repr_html_()


def test_a_valve_prints_its_numbers_with_units():
    text = repr(sv.SpinValve.square(j_sd=2.0, field=(0, 0, 0.1)))
    assert text.startswith("SpinValve: 48 sites, 80 bonds, 2 layers (16, 16 spins), 2 leads (4, 4 sites)\n")
    for line in (
        "j_sd           2 hopping",
        "field          [0. , 0. , 0.1] hopping",
        "Poles: 30 of the Fermi function",
    ):
        assert line in text
    assert "damping" not in text and "damping" in repr(sv.SpinValve.square(j_sd=2.0, damping=0.1))
    assert small_valve()._repr_html_().count("<circle") == 4 + 2


def test_more_lines_than_there_is_room_for_are_named():
    sites = [[k] for k in range(20)]
    valve = sv.SpinValve.from_bonds(20, [(k, k + 1) for k in range(19)], sites)
    fit = sv.fit(valve, [f"anisotropy[{k}]" for k in range(20)], lambda valve, bias: valve.anisotropy - 0.1)
    assert len(repr(fit).splitlines()) == 15 and "  and anisotropy[12], anisotropy[13]" in repr(fit)


def test_a_point_that_fails_does_not_break_a_pool(launch):
    """The error of one point comes back from its process, and the others have their results."""
    program = launch([sys.executable, "-c", POOL])
    assert program.end() == 0, program.text
    assert program.text.split()[-3:] == ["0.3", "ConvergenceError", "0.2"]


POOL = """
import concurrent.futures, multiprocessing
import svjax as sv

def point(k):
    if k:
        return k
    raise sv.ConvergenceError("no steady state", 1.0, None)

if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        for future in [pool.submit(point, k) for k in (0.3, 0.0, 0.2)]:
            print(type(future.exception()).__name__ if future.exception() else future.result())
"""
