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
# # Metallic interfaces and linear response (Figs. 20, 21, 22)
#
# Appendix F of the paper asks whether the difference between the two voltage drops survives when the leads' surfaces
# can be polarised: six monolayers of plain metal are put on either side of the valve, 24x4 sites in all. Appendix G
# compares the drops at small voltage.

# %%
import os
from functools import partial

import jax
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: smaller valves, fewer points
SIZE = dict(width=2, pinned=2, free=2) if REDUCED else dict(width=4, pinned=4, free=4)
LENGTH, BUFFER = (6, 3) if REDUCED else (12, 6)
POLES = sv.optimized_poles(12)


def bare(j_sd):
    return sv.SpinValve.square(LENGTH, **SIZE, j_sd=j_sd, poles=POLES)


def extended(j_sd):
    return sv.SpinValve.square(LENGTH + 2 * BUFFER, **SIZE, buffer=BUFFER, j_sd=j_sd, poles=POLES)


DROPS = {"asymmetric": sv.asymmetric, "symmetric": sv.symmetric}
VALVES = {"bare": bare(2.0), "extended": extended(2.0)}
voltages = np.linspace(0, 4, 3 if REDUCED else 41)
curves = {
    (name, drop): sv.steady_states(valve, [make(v) for v in voltages], allow_unstable=True)
    for name, valve in VALVES.items()
    for drop, make in DROPS.items()
}

# %% [markdown]
# ## Fig. 20: polarisation of the monolayers
#
# Eq. (F1) along $z$, the axis of the free layer. Claims: the metal next to the free layer is polarised, against the
# free layer, most of all with the asymmetric drop at high voltage, and less and less with the distance; otherwise the
# bare valve shows the same picture.

# %%
polarization = {
    key: np.array([sv.monolayer_polarization(VALVES[key[0]], state)[:, 2] for state in states])
    for key, states in curves.items()
}
monolayers = {"bare": BUFFER + 1 + np.arange(LENGTH), "extended": 1 + np.arange(LENGTH + 2 * BUFFER)}
edges = BUFFER + 0.5, BUFFER + LENGTH + 0.5

figure, axes = plt.subplots(2, 2, figsize=(7.6, 5.2))
limit = max(np.abs(polarization["extended", drop]).max() for drop in DROPS)
for ax, drop in zip(axes[0], DROPS, strict=True):
    mesh = ax.pcolormesh(
        monolayers["extended"],
        voltages,
        polarization["extended", drop],
        cmap="PuOr",
        vmin=-limit,
        vmax=limit,
        rasterized=True,
    )
    ax.set(xlabel="monolayer $j_l$", ylabel=f"{drop} {sv.plot.VOLTAGE}")
figure.colorbar(mesh, ax=axes[0], label="$P^z$")
for ax, voltage in zip(axes[1], (4.0, 2.0), strict=True):
    k = int(np.argmin(np.abs(voltages - voltage)))
    for drop, colour in (("asymmetric", "black"), ("symmetric", "vermillion")):
        for name, style in (("extended", "o-"), ("bare", "x--")):
            ax.plot(
                monolayers[name], polarization[name, drop][k], style, color=sv.plot.COLOURS[colour], ms=3, lw=0.9,
                label=f"{drop}, {name}",
            )  # fmt: skip
    ax.set(xlabel="monolayer $j_l$", ylabel="$P^z$", title=f"$V = V' = {voltage:g}$")
for ax in axes.ravel():
    for edge in edges:
        ax.axvline(edge, color="0.5", lw=0.8, ls="--")
axes[1, 0].legend(fontsize=7)

# %%
free = slice(BUFFER + LENGTH - SIZE["free"], BUFFER + LENGTH)
for drop in DROPS:
    values = polarization["extended", drop][-1]
    print(f"{drop}, V = {voltages[-1]:g}: P^z in the free layer {values[free].mean():.3f}, in the metal after it "
          f"{np.array2string(values[free.stop :], precision=4)}")  # fmt: skip

# %% [markdown]
# ## Fig. 21: spin and charge currents at the right lead, bare and extended
#
# Claims: with and without the metal, steady spin currents reach the right lead under an asymmetric drop and none under
# a symmetric one; charge currents differ in course but are comparable, and for $0.1 < V < 2$ the two drops agree better
# in the extended valve.

# %%
charge = {key: np.array([sv.charge_current(VALVES[key[0]], s, 1) for s in states]) for key, states in curves.items()}
spin = {key: np.array([sv.spin_current(VALVES[key[0]], s, 1) for s in states]) for key, states in curves.items()}
look = {
    ("bare", "asymmetric"): dict(color=sv.plot.COLOURS["blue"]),
    ("bare", "symmetric"): dict(color=sv.plot.COLOURS["vermillion"]),
    ("extended", "asymmetric"): dict(color=sv.plot.COLOURS["black"], ls="--"),
    ("extended", "symmetric"): dict(color=sv.plot.COLOURS["orange"], ls="--"),
}

figure, axes = plt.subplots(3, 1, figsize=(5.2, 5.6), sharex=True)
panels = [{k: v[:, 2] for k, v in spin.items()}, {k: np.hypot(*v[:, :2].T) for k, v in spin.items()}, charge]
labels = r"$\mathcal{J}_r^z$", r"$|(\mathcal{J}_r^x, \mathcal{J}_r^y)|$", r"$\mathcal{I}_r$"
for ax, panel, label in zip(axes, panels, labels, strict=True):
    for key, values in panel.items():
        ax.plot(voltages, values, **look[key], label=f"{key[0]}, {key[1]}")
    ax.set_ylabel(rf"{label} ($\gamma/\hbar$)")
axes[0].legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
axes[-1].set_xlabel(sv.plot.VOLTAGE)
figure.align_ylabels()

# %%
window = (voltages > 0.1) & (voltages <= 2)
for name in VALVES:
    one, other = charge[name, "asymmetric"][window], charge[name, "symmetric"][window]
    print(
        f"{name}: spin current at the right lead up to {np.linalg.norm(spin[name, 'asymmetric'], axis=1).max():.3f} "
        f"(asymmetric), {np.abs(spin[name, 'symmetric']).max():.0e} (symmetric); for 0.1 < V <= 2 the charge currents "
        f"of the drops differ by {np.mean(np.abs(one / other - 1)):.1%} on average, "
        f"{np.abs(one / other - 1).max():.1%} at most"
    )
    assert np.abs(spin[name, "symmetric"]).max() < 1e-8
    assert np.linalg.norm(spin[name, "asymmetric"], axis=1).max() > 1e-3

# %% [markdown]
# Beyond linear response the current is said to be enhanced whenever the level of a lead meets a maximum of DOSh. Then
# $dI/dV$ at the asymmetric $V'$ and DOSh at $\varepsilon = V'$ should rise and fall together.

# %%
for name, valve in VALVES.items():
    slope, middle = np.diff(charge[name, "asymmetric"]) / np.diff(voltages), (voltages[1:] + voltages[:-1]) / 2
    dos = np.asarray(sv.density_of_states(valve, curves[name, "asymmetric"][0].spins, middle))
    print(f"{name}: correlation of dI/dV' with DOSh(V') {np.corrcoef(slope, dos)[0, 1]:.2f}")

# %% [markdown]
# ## Fig. 22: linear response
#
# Claim: for $V \ll 1$ both drops give the same charge current, linear in $V$, and differ clearly beyond. The limit can
# be taken exactly: the derivative of the steady current at $V = 0$, through the steady state itself (spins and all), is
# the conductance of either drop. It must be that of Landauer, $dI/dV = \frac{1}{4\pi}\int d\varepsilon\,
# \Theta(\varepsilon)(-f')$ (half of the particle current, as everywhere in the paper).

# %%
CASES = {
    "$J_{sd} = 2$": bare(2.0),
    "$J_{sd} = 3$": bare(3.0),
    "$J_{sd} = 6$": bare(6.0),
    "extended, $J_{sd} = 2$": extended(2.0),
}
small = np.array([0.01, 0.1]) if REDUCED else np.geomspace(1e-3, 2.0, 25)


def current(valve, drop, voltage):
    return sv.charge_current(valve, sv.steady_state(valve, drop(voltage), allow_unstable=True), 1)


linear = {}
for name, valve in CASES.items():
    slopes = [jax.jvp(partial(current, valve, drop), (0.0,), (1.0,))[1] for drop in (sv.symmetric, sv.asymmetric)]
    landauer = sv.conductance(valve, sv.steady_state(valve, None).spins)
    linear[name] = np.array([*slopes, landauer])
    off = np.abs(linear[name] / landauer - 1).max()
    print(f"{name}: dI/dV symmetric {slopes[0]:.8f}, asymmetric {slopes[1]:.8f}, Landauer {landauer:.8f}; to {off:.1e}")
    assert off < 1e-4

# %%
figure, axes = plt.subplots(2, 2, figsize=(7.6, 5.0), sharex=True)
for ax, (name, valve) in zip(axes.ravel(), CASES.items(), strict=True):
    for drop, colour, style in (("symmetric", "vermillion", "-"), ("asymmetric", "blue", "--")):
        states = sv.steady_states(valve, [DROPS[drop](v) for v in small], allow_unstable=True)
        ratio = np.array([sv.charge_current(valve, state, 1) for state in states]) / small
        ax.semilogx(small, ratio, style, color=sv.plot.COLOURS[colour], label=drop)
        print(
            f"{name}, {drop}: I/V at V = {small[0]:g} over the conductance - 1: {ratio[0] / linear[name][2] - 1:+.1e}"
        )
    ax.axhline(linear[name][2], color=sv.plot.COLOURS["black"], lw=0.8, ls=":", label=r"Landauer, $V \to 0$")
    ax.set_title(name, loc="left")
for ax in axes[-1]:
    ax.set_xlabel(sv.plot.VOLTAGE)
for ax in axes[:, 0]:
    ax.set_ylabel(r"$\mathcal{I}_r/V$ ($e/\hbar$)")
axes[0, 0].legend()
