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
# # Steady states: torques and tilts (Figs. 12, 13, 14)
#
# Where the runs of the previous notebooks end: torque-free spins with stationary electrons. `sv.steady_states` follows
# them along the voltage by Newton's method; no time evolution is used here.

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: a smaller valve, fewer points
SIZE = dict(length=6, width=2, pinned=2, free=2) if REDUCED else dict(length=12, width=4, pinned=4, free=4)
COUPLINGS = (2.0, 6.0) if REDUCED else (1.0, 2.0, 3.0, 6.0)
POINTS = 3 if REDUCED else 65

# %% [markdown]
# ## What is compared
#
# In a steady state the torques on a layer add up to zero. The voltage drives the torque of Eq. (15), $\mathcal T_{cd} =
# \mathcal J_F - \mathcal J_r - \mathcal J_F^{eq}$, and the anisotropy answers with $\mathcal T_\mathrm{eff} \approx 2
# K_\ell\, \mathbf e_\ell \times \Delta\mathbf M_\ell$, where $\Delta\mathbf M$ is the change from equilibrium. Its
# components on the free layer are $(-2K_r\Delta M_r^y,\ 2K_r\Delta M_r^x)$; the paper's text has the first one without
# the minus, which the cross product gives.


# %%
def torques(j_sd, drop, voltages):
    """Along the voltage: T_cd, T_eff of both layers, the change of both magnetisations, spin current at the right."""
    valve = sv.SpinValve.square(**SIZE, j_sd=j_sd, poles=sv.optimized_poles(10))
    equilibrium = sv.steady_state(valve, None)
    states = sv.steady_states(valve, [drop(v) for v in voltages], spins=equilibrium.spins)
    rest = sv.magnetization(valve, equilibrium)
    row = lambda state: {
        "driven": sv.current_driven_torque(valve, state, equilibrium),
        "effective": sv.effective_torque(valve, state, equilibrium),
        "change": sv.magnetization(valve, state) - rest,
        "lead_spin": sv.spin_current(valve, state, 1),
        "charge": sv.interface_currents(valve, state)[0],
    }
    rows = [row(state) for state in states]
    return {name: np.array([r[name] for r in rows]) for name in rows[0]}


symmetric_voltages, asymmetric_voltages = np.linspace(0, 8, POINTS), np.linspace(0, 4, POINTS)
symmetric = {j: torques(j, sv.symmetric, symmetric_voltages) for j in COUPLINGS}
asymmetric = {j: torques(j, sv.asymmetric, asymmetric_voltages) for j in COUPLINGS}


# %%
def mismatch(one, other):
    """Largest difference, relative to the largest torque."""
    return np.abs(one - other).max() / np.abs(one).max()


# %% [markdown]
# ## Fig. 12: symmetric drop
#
# Claim: $\mathcal T_{cd}^y$ (line) equals $2K_r\Delta M_r^x$ (circles) and $2K_l\Delta M_l^z$ (crosses), summed over
# the layer, at every voltage and $J_{sd}$; the only significant component is $y$, and no spin current reaches the
# leads.

# %%
figure, axes = plt.subplots(len(COUPLINGS), 1, figsize=(5.2, 1.7 * len(COUPLINGS)), sharex=True)
for ax, (j_sd, found) in zip(axes, symmetric.items(), strict=True):
    ax.plot(
        symmetric_voltages, found["driven"][:, 1], color=sv.plot.COLOURS["vermillion"], label=r"$\mathcal{T}_{cd}^y$"
    )
    free, pinned = found["effective"][:, 1, 1], -found["effective"][:, 0, 1]
    ax.plot(symmetric_voltages, free, "o", mfc="none", color=sv.plot.COLOURS["blue"], label=r"$2K_r\Delta M_r^x$")
    ax.plot(symmetric_voltages, pinned, "x", color=sv.plot.COLOURS["black"], label=r"$2K_l\Delta M_l^z$")
    ax.set_ylabel(r"torque ($\gamma$)")
    ax.set_title(f"$J_{{sd}} = {j_sd:g}$", loc="left")
    y = found["driven"][:, 1]
    others = np.abs(found["driven"][:, [0, 2]]).max() / np.abs(y).max()
    print(
        f"J_sd = {j_sd:g}: T_cd against 2 K_r dM_r^x {mismatch(y, free):.4f}, 2 K_l dM_l^z {mismatch(y, pinned):.4f}, "
        f"T_cd^x,z/T_cd^y {others:.1e}, spin current at the right lead {np.abs(found['lead_spin']).max():.1e}"
    )
    assert np.abs(found["lead_spin"]).max() < 1e-6 and (REDUCED or (mismatch(y, free) < 0.06 and others < 0.02))
axes[0].legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.1))
axes[-1].set_xlabel("symmetric " + sv.plot.VOLTAGE)
figure.align_ylabels()

# %% [markdown]
# ## Fig. 13: asymmetric drop
#
# Claim: now $\Delta M_r^y$ is significant too, and both components of $\mathcal T_{cd}$ (lines) are balanced by the
# anisotropy (symbols). Spin currents flow into the right lead.

# %%
figure, axes = plt.subplots(len(COUPLINGS), 1, figsize=(5.2, 1.7 * len(COUPLINGS)), sharex=True)
for ax, (j_sd, found) in zip(axes, asymmetric.items(), strict=True):
    for k, (name, symbol) in enumerate({"x": r"$-2K_r\Delta M_r^y$", "y": r"$2K_r\Delta M_r^x$"}.items()):
        colour = sv.plot.COMPONENTS[name]
        ax.plot(asymmetric_voltages, found["driven"][:, k], color=colour, label=rf"$\mathcal{{T}}_{{cd}}^{name}$")
        ax.plot(asymmetric_voltages, found["effective"][:, 1, k], "o", mfc="none", color=colour, label=symbol)
    ax.set_ylabel(r"torque ($\gamma$)")
    ax.set_title(f"$J_{{sd}} = {j_sd:g}$", loc="left")
    x, y = (mismatch(found["driven"][:, k], found["effective"][:, 1, k]) for k in (0, 1))
    ratio = np.abs(found["change"][:, 1, 1]).max() / np.abs(found["change"][:, 1, 0]).max()
    print(
        f"J_sd = {j_sd:g}: mismatch x {x:.4f}, y {y:.4f}; max dM_r^y/max dM_r^x = {ratio:.2f}; "
        f"spin current at the right lead up to {np.linalg.norm(found['lead_spin'], axis=1).max():.3f}"
    )
    assert np.linalg.norm(found["lead_spin"], axis=1).max() > 1e-3
axes[0].legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.1))
axes[-1].set_xlabel("asymmetric " + sv.plot.VOLTAGE.replace("$V$", "$V'$"))
figure.align_ylabels()

# %% [markdown]
# ## Fig. 14: a symmetric voltage is a gate voltage
#
# Claim: $M_r^x$ under a symmetric drop $V$ equals that of *equilibrium* at $\bar\mu = V/2$. This is exact at half
# filling, not approximate: the electrons of the left lead see the level $V/2$, those of the right lead $-V/2$, and the
# particle-hole symmetry of the bipartite lattice turns the one into the other without changing the spin density.

# %%
valve = sv.SpinValve.square(**SIZE, j_sd=3.0, poles=sv.optimized_poles(10))
voltages = np.linspace(0, 8, POINTS)
driven = np.array([sv.magnetization(valve, s)[1] for s in sv.steady_states(valve, [sv.symmetric(v) for v in voltages])])
shifted = np.array([sv.magnetization(valve, s)[1] for s in sv.equilibrium_states(valve, voltages / 2)])

figure, ax = plt.subplots()
ax.plot(voltages, driven[:, 0], color=sv.plot.COLOURS["vermillion"], label="symmetric voltage $V$")
ax.plot(voltages, shifted[:, 0], "o", mfc="none", color=sv.plot.COLOURS["black"], label=r"equilibrium, $2\bar\mu = V$")
ax.set(xlabel=r"$V$ or $2\bar\mu$ ($\gamma$)", ylabel=r"$M_r^x/N_S$", title="$J_{sd} = 3$")
ax.legend()

difference = np.abs(driven - shifted).max()
print(f"largest difference of M_r over {POINTS} voltages, all components: {difference:.1e}")
assert difference < 1e-9
