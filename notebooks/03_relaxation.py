# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Relaxation (Figs. 8, 9, 10, 11)
#
# After a quench the free layer precesses and comes to rest within the relaxation time $t_R$. The paper fits $t_R$ to
# the envelope of long runs, Eq. (22). Here it comes from the modes of the coupled equations, linearised at the steady
# state: $t_R = -1/\mathrm{Re}\,\lambda$ of the slow precession, about a second for each voltage, however long $t_R$ is.
# Runs with fits of Eq. (22) check it at some voltages.

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: a smaller valve, fewer points, shorter runs
SIZE = dict(length=6, width=2, pinned=2, free=2) if REDUCED else dict(length=12, width=4, pinned=4, free=4)
POINTS, COUPLINGS = (3, (2.0,)) if REDUCED else (65, (2.0, 3.0))
DROPS = {
    "symmetric": (sv.symmetric, np.linspace(0, 8, POINTS)),
    "asymmetric": (sv.asymmetric, np.linspace(0, 4, POINTS)),
}

valves = {j_sd: sv.SpinValve.square(**SIZE, j_sd=j_sd, poles=sv.optimized_poles(10)) for j_sd in COUPLINGS}
equilibria = {j_sd: sv.steady_state(valve, None) for j_sd, valve in valves.items()}


# %%
def precession(j_sd, drop):
    """lambda of the slow precession along the voltage: of the mode that follows the one before it."""
    make, voltages = DROPS[drop]
    biases = [make(v) for v in voltages]
    states = sv.steady_states(valves[j_sd], biases, spins=equilibria[j_sd].spins, allow_unstable=True)
    rates = [sv.relaxation_modes(valves[j_sd], s, b, count=1)[0] for s, b in zip(states, biases, strict=True)]
    return np.array(rates)


def simulated(j_sd, drop, voltage):
    """t_R and its error from a run, a quench from equilibrium, by a fit of Eq. (22) from t = 200 on."""
    duration = 700.0 if REDUCED else {"symmetric": 3000.0, "asymmetric": 1600.0}[drop]
    bias = DROPS[drop][0](voltage)
    run = sv.evolve(valves[j_sd], equilibria[j_sd], bias, duration, dt=0.1, method="etd", save_every=10)
    fit = sv.fit_relaxation(run.t, run.observables["magnetization"][:, 1, 0], start=50.0 if REDUCED else 200.0)
    return fit.t_r, fit.error


rates = {(j_sd, drop): precession(j_sd, drop) for j_sd in COUPLINGS for drop in DROPS}
chosen = {"symmetric": [1.0], "asymmetric": [1.0]} if REDUCED else {
    "symmetric": [0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "asymmetric": [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
}  # fmt: skip
runs = {
    (j_sd, drop): np.array([simulated(j_sd, drop, v) for v in chosen[drop]]) for j_sd in COUPLINGS for drop in DROPS
}

# %% [markdown]
# ## Fig. 8: relaxation times
#
# Claims: with a symmetric drop $t_R$ grows by orders of magnitude with the voltage, up to about $10^5$; with an
# asymmetric drop it changes within about five hundred time units and saturates at high voltage, orders of magnitude
# below. Lines: modes. Symbols: fits of runs, with error bars where they are larger than the symbol.

# %%
figure, axes = plt.subplots(2, 1, figsize=(5.2, 5.0))
for ax, (drop, (_, voltages)) in zip(axes, DROPS.items(), strict=True):
    for j_sd, colour in zip(COUPLINGS, ("vermillion", "blue"), strict=False):
        shown = dict(color=sv.plot.COLOURS[colour])
        ax.plot(voltages, -1 / rates[j_sd, drop].real, **shown, label=f"modes, $J_{{sd}} = {j_sd:g}$")
        t_r, error = runs[j_sd, drop].T
        ax.errorbar(chosen[drop], t_r, error, fmt="o", mfc="none", **shown, label=f"runs, $J_{{sd}} = {j_sd:g}$")
    ax.set(xlabel=f"{drop} {sv.plot.VOLTAGE}", ylabel=sv.plot.RELAXATION_TIME)
axes[0].set_yscale("log")
axes[0].legend(ncols=2)

# %%
for (j_sd, drop), values in rates.items():
    t_r, voltages = -1 / values.real, DROPS[drop][1]
    at = np.interp(chosen[drop], voltages, t_r)
    exact = [abs(voltages - v).min() < 1e-9 for v in chosen[drop]]
    off = np.abs(runs[j_sd, drop][:, 0] / at - 1)
    late = t_r[voltages >= 0.8 * voltages[-1]]
    print(
        f"J_sd = {j_sd:g}, {drop}: t_R from {t_r.min():.0f} to {t_r.max():.4g} at V = {voltages[t_r.argmax()]:g}; "
        f"over the last fifth {late.min():.4g} to {late.max():.4g}; runs differ by {np.array2string(off, precision=4)}"
    )
    assert REDUCED or (all(exact) and np.all(values.real < 0) and off.max() < 0.05)

# %% [markdown]
# ## Fig. 11: relaxation rates follow the density of states
#
# The rates $R = 1/t_R$ at $J_{sd} = 2$ against the level $\mu_l$ of the left lead ($V/2$ and $V'$), above the
# equilibrium density of states. Claim: the maxima of $R$ follow those of DOSh, in the symmetric case even near the edge
# of the spectrum; in the asymmetric case damping by the spin currents outweighs it there.

# %%
valve, equilibrium = valves[2.0], equilibria[2.0]
energies = np.linspace(0, 4, 101 if REDUCED else 1601)
dos = np.asarray(sv.density_of_states(valve, equilibrium.spins, energies))

figure, (above, below) = plt.subplots(2, 1, figsize=(5.2, 4.6), sharex=True)
for drop, colour, scale in (("symmetric", "vermillion", 0.5), ("asymmetric", "blue", 1.0)):
    voltages, shown = scale * DROPS[drop][1], dict(color=sv.plot.COLOURS[colour])
    above.plot(voltages, -1e3 * rates[2.0, drop].real, **shown, label=f"{drop}, modes")
    t_r, error = runs[2.0, drop].T
    at = scale * np.array(chosen[drop])
    above.errorbar(at, 1e3 / t_r, 1e3 * error / t_r**2, fmt="o", mfc="none", **shown, label=f"{drop}, runs")
below.plot(energies, dos, color=sv.plot.COLOURS["black"])
above.set_ylabel(r"$R = 1/t_R$ ($10^{-3}\,\gamma/\hbar$)")
below.set(xlabel=r"$\mu_l$ or energy $\varepsilon$ ($\gamma$)", ylabel=r"DOSh ($1/\gamma$)")
above.legend(ncols=2)
figure.align_ylabels()


# %%
def maxima(x, y):
    inside = (y[1:-1] > y[:-2]) & (y[1:-1] > y[2:])
    return x[1:-1][inside]


peaks = maxima(energies, dos)
print("maxima of DOSh at", np.round(peaks, 2))
for drop, scale in (("symmetric", 0.5), ("asymmetric", 1.0)):
    found = maxima(scale * DROPS[drop][1], -rates[2.0, drop].real)
    nearest = [np.abs(peaks - x).min() if len(peaks) else np.nan for x in found]
    print(f"maxima of R, {drop}: at {np.round(found, 3)}, distance to the nearest of DOSh {np.round(nearest, 2)}")

# %% [markdown]
# ## Figs. 9 and 10: how a run at high voltage settles
#
# $V = 8$ symmetric and $V' = 4$ asymmetric, $J_{sd} = 2$. Claims: in the symmetric case spin currents and the torque
# $\mathcal T_{cd}(t)$ of Eq. (15) vanish quickly and leave the magnetisation to a Larmor-like precession that hardly
# decays; in the asymmetric case they stay, and the precession dies out. Both panels of a column belong to one run.

# %%
HIGH = {"symmetric": 8.0, "asymmetric": 4.0}


def torque_too(valve, state):
    return sv.default_observables(valve, state) | {"torque": sv.current_driven_torque(valve, state, equilibrium)}


def quench(drop):
    bias, duration = DROPS[drop][0](HIGH[drop]), 20.0 if REDUCED else 1000.0
    return sv.evolve(valve, equilibrium, bias, duration, dt=0.1, method="etd", save_every=5, observe=torque_too)


settling = {drop: quench(drop) for drop in HIGH}

figure, axes = plt.subplots(3, 2, figsize=(7.6, 6.0), sharex=True, sharey="row")
rest = np.asarray(sv.magnetization(valve, equilibrium))
for column, (drop, run) in zip(axes.T, settling.items(), strict=True):
    seen = run.observables
    rows = seen["spin_current"][:, 1], seen["torque"], seen["magnetization"][:, 1] - rest[1]
    for k, (name, colour) in enumerate(sv.plot.COMPONENTS.items()):
        for ax, values in zip(column, rows, strict=True):
            ax.plot(run.t, values[:, k], color=colour, lw=0.9, label=f"${name}$")
    column[0].plot(run.t, seen["charge_current"][:, 1], color=sv.plot.CHARGE, lw=0.9, label="charge")
    symbol = "V" if drop == "symmetric" else "V'"
    column[0].set_title(f"{drop}, ${symbol} = {HIGH[drop]:g}$")
    column[-1].set_xlabel(sv.plot.TIME)
labels = r"currents, right lead ($\gamma/\hbar$)", r"$\mathcal{T}_{cd}$ ($\gamma$)", r"$\Delta\mathbf{M}_r/N_S$"
for ax, label in zip(axes[:, 0], labels, strict=True):
    ax.set_ylabel(label)
axes[0, 0].legend(ncols=4, loc="upper right")
figure.align_ylabels()

# %%
for drop, run in settling.items():
    late = run.t > 0.8 * run.t[-1]
    spin, torque = (np.abs(run.observables[name][late]).max() for name in ("spin_current", "torque"))
    swing = np.ptp(run.observables["magnetization"][late, 1], axis=0)
    print(f"{drop}: late spin currents up to {spin:.1e}, T_cd up to {torque:.1e}, swing of M_r {np.round(swing, 4)}")
