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
# # Transients (Figs. 6, 7)
#
# The 12x4 valve after a voltage is switched on: the magnetisation of the free layer through all stages, and the
# currents of stage 2 on a logarithmic time axis. Captions and text of the paper name different $J_{sd}$ for Fig. 6 (1
# and 5, 2 and 6); here it is 2 and 6.

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: a smaller valve, shorter runs
SIZE = dict(length=6, width=2, pinned=2, free=2) if REDUCED else dict(length=12, width=4, pinned=4, free=4)
COUPLINGS = (2.0, 6.0)
valves = {j_sd: sv.SpinValve.square(**SIZE, j_sd=j_sd, poles=sv.optimized_poles(10)) for j_sd in COUPLINGS}

# %% [markdown]
# ## Fig. 6: the free layer through the three stages
#
# Stage 1 (shaded) relaxes from aligned spins to equilibrium, stage 2 follows the quench to $V = 1$, symmetric. Claims:
# the layers are tilted even in equilibrium; at $J_{sd} = 2$ the oscillations are centred on the steady state (dotted,
# from `sv.steady_state`) early, from $t \sim 500$ on, but take longer to die; at $J_{sd} = 6$ the slow approach of
# $M_r^x$ to its steady value is the longer of the two times.

# %%
relax, duration = (20.0, 200.0) if REDUCED else (1500.0, 2000.0)
bias = sv.symmetric(1.0)
figure, axes = plt.subplots(2, 1, figsize=(5.2, 4.6), sharex=True)
centred = {}
for ax, (j_sd, valve) in zip(axes, valves.items(), strict=True):
    run = sv.three_stage(valve, bias, relax=relax, duration=duration, dt=0.1, method="etd", save_every=10)
    m = run.observables["magnetization"][:, 1]
    equilibrium = sv.steady_state(valve, None)
    end = sv.steady_state(valve, bias)
    rest, goal = (np.asarray(sv.magnetization(valve, state)[1]) for state in (equilibrium, end))
    for k, (name, colour) in enumerate(sv.plot.COMPONENTS.items()):
        ax.plot(run.t, m[:, k], color=colour, lw=0.9, label=f"$M_r^{name}$")
        ax.plot([-relax, 0, 0, duration], [rest[k], rest[k], goal[k], goal[k]], color=colour, lw=0.8, ls=":")
    ax.axvspan(-relax, 0, color=sv.plot.RELAXATION, lw=0, zorder=0)
    ax.set(ylabel=r"$\mathbf{M}_r/N_S$", xlim=(-relax, duration), title=f"$J_{{sd}} = {j_sd:g}$")
    rate = sv.relaxation_modes(valve, end, bias, count=1)[0]
    period = 2 * np.pi / rate.imag
    after = run.t > 0
    t, x = run.t[after], m[after, 0]
    window = round(period / (t[1] - t[0]))
    centred[j_sd] = t[: len(t) - window + 1] + period / 2, np.convolve(x, np.ones(window) / window, "valid") - goal[0]
    print(
        f"J_sd = {j_sd:g}: equilibrium tilt {rest[0]:.4f}, steady tilt {goal[0]:.4f}, t_R {-1 / rate.real:.0f}, "
        f"period {period:.0f}; mean over one period minus the steady value: "
        + ", ".join(f"{np.interp(at, *centred[j_sd]):+.4f} at t = {at:.0f}" for at in (250, 500, 1000, 1500))
    )
axes[0].legend(ncols=3, loc="center right")
axes[-1].set_xlabel(sv.plot.TIME)

# %% [markdown]
# ## Fig. 7: currents after the quench
#
# Solid: charge and spin currents at the right lead, Eqs. (11), (12); dashed: at the interface of spacer and free layer,
# Eqs. (13), (14), less their equilibrium value. Claims: only $\mathcal J_F^y$ is not zero in equilibrium. With the
# symmetric drop ($V = 1$) currents at the lead start at once, reach the interface from the right at $t \approx 2$ and
# from the left at $t \approx 4$, and the spin currents at the lead die out. With the asymmetric drop ($V' = 0.5$) the
# interface hears at $t \approx 4$, the right lead later, and finite spin currents stay.

# %%
short, long_run = (2.0, 6.0) if REDUCED else (20.0, 2000.0)
cases = [(sv.symmetric(1.0), "symmetric, $V = 1$"), (sv.asymmetric(0.5), "asymmetric, $V' = 0.5$")]
figure, axes = plt.subplots(2, 2, figsize=(7.6, 5.2), sharex=True, sharey="row")
for (j_sd, valve), column in zip(valves.items(), axes.T, strict=True):
    equilibrium = sv.steady_state(valve, None)
    charge, spin = sv.interface_currents(valve, equilibrium)
    leads = max(float(np.abs(sv.spin_current(valve, equilibrium, lead)).max()) for lead in (0, 1))
    print(f"J_sd = {j_sd:g}, at rest: J_F = {np.round(spin, 4)}, I_F = {charge:.0e}, spin current at leads {leads:.0e}")
    for ax, (bias, title) in zip(column, cases, strict=True):
        first = sv.evolve(valve, equilibrium, bias, short, dt=0.05, method="etd", save_every=2)
        later = sv.evolve(
            valve,
            first.state,
            bias,
            long_run - short,
            dt=0.1,
            method="etd",
            save_every=5,
            start_step=round(short / 0.1),
        )
        t = np.concatenate([first.t, later.t])
        seen = {name: np.concatenate([first.observables[name], later.observables[name]]) for name in first.observables}
        lines = {"charge": (seen["charge_current"][:, 1], seen["interface_charge_current"], sv.plot.CHARGE)}
        for k, (name, colour) in enumerate(sv.plot.COMPONENTS.items()):
            lines[name] = seen["spin_current"][:, 1, k], seen["interface_spin_current"][:, k] - spin[k], colour
        for name, (lead, interface, colour) in lines.items():
            ax.semilogx(
                t,
                lead,
                color=colour,
                lw=1.0,
                label=r"$\mathcal{I}$" if name == "charge" else rf"$\mathcal{{J}}^{name}$",
            )
            ax.semilogx(t, interface, color=colour, lw=0.9, ls=(0, (4, 1.5)))
        for arrival in (2, 4):
            ax.axvline(arrival, color="0.85", lw=0.8, zorder=0)
        ax.set_title(f"$J_{{sd}} = {j_sd:g}$, {title}")
        early = [np.interp(range(1, 6), t, values).round(4).tolist() for values in lines["charge"][:2]]
        end = np.abs(seen["spin_current"][-1, 1]).max()
        print(
            f"J_sd = {j_sd:g}, {title}: at t = 1 ... 5 I_r = {early[0]}, I_F = {early[1]}; "
            f"spin current at the right lead at the end {end:.1e}"
        )
for ax in axes[:, 0]:
    ax.set_ylabel(r"current ($\gamma/\hbar$)")
for ax in axes[-1]:
    ax.set_xlabel(sv.plot.TIME)
axes[0, 0].legend(ncols=2)

# %% [markdown]
# ## The ends, without the runs
#
# What the currents above become in the end: steady states.

# %%
for j_sd, valve in valves.items():
    equilibrium = sv.steady_state(valve, None)
    for bias, title in cases:
        state = sv.steady_state(valve, bias)
        lead = np.asarray(sv.spin_current(valve, state, 1))
        torque = np.asarray(sv.current_driven_torque(valve, state, equilibrium))
        print(f"J_sd = {j_sd:g}, {title}: J_r = {np.round(lead, 5)}, T_cd = {np.round(torque, 5)}")
        symmetric = title.startswith("symmetric")
        assert symmetric == bool(np.abs(lead).max() < 1e-8)
        assert symmetric == bool(np.abs(torque[0]) < 1e-8)
