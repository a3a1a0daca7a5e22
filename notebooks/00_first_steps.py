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
# # First steps
#
# A spin valve is two magnetic layers with a metal between them. Here the electrons are quantum (a density matrix
# $\rho$, and current matrices $\Pi_{lp}$ of the leads), the localized moments $\mathbf S_j$ are classical unit vectors,
# and both are evolved as one state under any voltage. In ten minutes you will build the valve of [Phys. Rev. B **106**,
# 144435](https://doi.org/10.1103/PhysRevB.106.144435), switch a voltage on, watch the free layer tilt, find the end of
# the motion without the motion, and ask for a derivative.
#
# Energies are in units of the hopping $\gamma$, times in $\hbar/\gamma$: with $\gamma = 1$ eV a time unit is 0.66 fs
# and a temperature of 0.025 is room temperature.

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv

jax.config.update("jax_enable_x64", True)  # svjax works in double precision and does not switch it on for you
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # how the tests run every notebook: smaller, shorter
SIZE = dict(length=6, width=2, pinned=2, free=2) if REDUCED else dict(length=12, width=4, pinned=4, free=4)

# %% [markdown]
# ## A valve and its spins
#
# A 12x4 strip: four columns of the pinned layer (easy axis $x$, strong anisotropy), four of plain metal, four of the
# free layer (easy axis $z$, weak anisotropy), one lead on each end. The electrons feel the spins through $J_{sd}$.
# Eight optimised poles of the Fermi function are more accurate than the paper's thirty Padé poles, and four times
# faster.

# %%
valve = sv.SpinValve.square(**SIZE, j_sd=2.0, poles=sv.optimized_poles(8))
spins = sv.aligned_spins(valve)  # (N_S, 3), each layer along its easy axis
print(f"{valve.lattice.n_sites} sites, {len(spins)} spins; anisotropy {valve.anisotropy}, T = {valve.temperature[0]}")

figure, ax = plt.subplots(figsize=(5.2, 2.2))
sv.plot.configuration(valve, spins, ax=ax)

# %% [markdown]
# ## Switch a voltage on
#
# The paper's protocol has three stages. Stage 0: electrons in equilibrium with spins that are held along their axes.
# Stage 1: the spins are let go; the electrons couple the layers, so that they turn a little and come to rest.
# Stage 2: at $t = 0$ the leads jump to $\mu_{l,r} = \pm V/2$, and the run goes on.
#
# `method="etd"` is a fourth-order exponential method that takes the fast poles exactly; it allows `dt=0.1`.

# %%
times = dict(relax=100.0, duration=100.0) if REDUCED else dict(relax=1500.0, duration=1500.0)
run = sv.three_stage(valve, sv.symmetric(1.0), **times, dt=0.1, method="etd")

print("M_r before the quench:", run.observables["magnetization"][run.t == 0.0][0, 1])
print("M_r at the end:       ", run.observables["magnetization"][-1, 1])

# %% [markdown]
# `run.t`, `run.stage` and `run.observables` are NumPy arrays; every run can also be kept on disk and opened as an
# xarray dataset, and drawn from there. The free layer rings at its precession frequency, and its $M_r^x$ changes sign:
# the voltage has turned the coupling of the layers around.

# %%
sv.save_run("runs/first_steps", run, overwrite=True)
figure, ax = plt.subplots()
sv.plot.magnetization(sv.open_run("runs/first_steps"), ax=ax)

# %% [markdown]
# A run says how far it can be trusted: the error of the poles, of the step, of the charge balance, of $|\mathbf S_j|$.

# %%
print(sv.convergence_report(run))

# %% [markdown]
# ## The end of the motion, without the motion
#
# The steady state is a root of the torques and needs no run. The modes around it give the relaxation time $t_R =
# -1/\mathrm{Re}\,\lambda$ and the frequency: about $530\,\hbar/\gamma$ here, so that the run above is still ringing.

# %%
bias = sv.symmetric(1.0)
end = sv.steady_state(valve, bias)
slowest = sv.relaxation_modes(valve, end, bias, count=1)[0]
print("M_r of the steady state:", np.round(sv.magnetization(valve, end)[1], 4))
print(f"t_R = {-1 / slowest.real:.1f}, precession period {2 * np.pi / slowest.imag:.1f}")

# %% [markdown]
# ## Derivatives
#
# Everything above can be differentiated, by JAX, with respect to every parameter: the steady state too.


# %%
def tilt(valve, voltage):
    """M_r^x of the free layer in the steady state."""
    return sv.magnetization(valve, sv.steady_state(valve, sv.symmetric(voltage)))[1, 0]


slope, by_voltage = jax.grad(tilt, argnums=(0, 1))(valve, 1.0)
print(f"dM_r^x/dV = {by_voltage:.4f}, d/dJ_sd = {slope.j_sd:.4f}, d/dK = {slope.anisotropy}")

# %% [markdown]
# ## Switching
#
# So far the voltage came from both sides, or (in the paper's asymmetric case) from that of the pinned layer. Let it
# come from the side of the *free* layer, $\mu_r = 4$: the spin current that the pinned layer sends back now feeds the
# precession of the free layer. Its slow mode grows, $\mathrm{Re}\,\lambda > 0$, and no fit of a damping is needed to
# see where that ends: the free layer spirals out of its axis and comes to rest against the pinned layer.

# %%
bias = (0.0, 4.0)  # one level for each lead
start = sv.steady_state(valve, None)
unstable = sv.steady_state(valve, bias, allow_unstable=True)
print("modes there:", sv.relaxation_modes(valve, unstable, bias, count=2))

switching = sv.evolve(valve, start, bias, 50.0 if REDUCED else 1600.0, dt=0.1, method="etd")
panels = sv.plot.switching(valve, switching, start)

# %%
print(
    "M_r:", np.round(sv.magnetization(valve, start)[1], 3), "->", switching.observables["magnetization"][-1, 1].round(3)
)

# %% [markdown]
# ## From here
#
# - `01` to `06` go through the paper, figure by figure; `07` builds a valve of your own.
# - `svjax run --j-sd 2 --voltage 1` does all of the above from the command line.
# - The documentation has a page of *sharp bits*: what goes wrong most often, and how to see it.
