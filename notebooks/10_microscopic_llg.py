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
# # The microscopic Landau-Lifshitz-Gilbert equation
#
# A voltage turns the free layer of the paper's valve off its axis. Three descriptions: the full run, electrons
# and spins together; `effective_llg`, two rigid layers whose torques, damping and moments at every angle come from the
# electrons, with nothing fitted; and two phenomenological macrospins whose numbers are fitted to the beginning of the
# full run, as one would do with a measurement.

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv
from svjax.macrospin.model import solve_macrospin

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: a short strip, short runs, few angles
SIZE = (4, 1, 1, 1) if REDUCED else (12, 4, 4, 4)
LENGTH, SETTLED, FITTED, ANGLES = (60.0, 20.0, 40.0, 5) if REDUCED else (1800.0, 100.0, 500.0, 21)
COLOURS = sv.plot.COLOURS

# %% [markdown]
# ## The switching
#
# Levels (0, 4), switched on at t = 0. Both equations start from the directions of the full run at t = 100, when its
# electrons have settled; the fit sees the run up to t = 500 (grey).

# %%
valve, mu = sv.SpinValve.square(*SIZE, j_sd=2.0, poles=sv.optimized_poles(8)), (0.0, 4.0)
run = sv.evolve(valve, sv.steady_state(valve, None), mu, LENGTH, save_every=5)
t, m = np.asarray(run.t), np.asarray(run.observables["magnetization"])
late = t >= SETTLED
directions = m[late] / np.linalg.norm(m[late], axis=-1, keepdims=True)

llg = sv.effective_llg(valve, mu, angles=ANGLES)
without_fit = np.asarray(llg.solve(directions[0], t[late]))

seen = t[late] <= FITTED
layers = sv.MacrospinModel(j_eff=1e-5, n_s=SIZE[1] * SIZE[3], anisotropy=valve.anisotropy, damping=(0.1, 0.02))
fit = sv.fit_torques(
    t[late][seen], directions[seen], layers, ["field_like[1]", "damping[1]", "damping_like[1]"], sigma=1e-3
)
fitted = np.asarray(solve_macrospin(fit.model, fit.start, t[late] - t[late][0]))
print(llg)
print(fit)

# %%
figure, axes = plt.subplots(figsize=(6.4, 2.8))
axes.axvspan(SETTLED, FITTED, color="0.93", lw=0)
axes.plot(t, m[:, 1, 2], color="0.2", lw=1.2, label="full run")
axes.plot(t[late], without_fit[:, 1, 2], color=COLOURS["blue"], lw=0.9, ls="--", label="microscopic, no fit")
axes.plot(t[late], fitted[:, 1, 2], color=COLOURS["orange"], lw=0.9, ls=":", label="macrospins, fitted")
axes.set(xlabel=sv.plot.TIME, ylabel="$M_r^z/N_S$", ylim=(-1.1, 1.1))
axes.legend(ncols=3, loc="lower left")
for name, times, z in (("full run", t, m), ("microscopic", t[late], without_fit), ("fitted", t[late], fitted)):
    below = np.flatnonzero(z[:, 1, 2] < 0.5)
    print(f"{name:12} M_r^z < 0.5 {f'from t = {times[below[0]]:.0f} on' if len(below) else 'never'}")

# %% [markdown]
# ## Where each fails
#
# The microscopic equation takes the electrons as settled: started with the quench itself, it turns the layer at once,
# where the current needs some 15 time units to build up, and what grows from there is early by a constant time (see the
# page on the microscopic LLG). The fitted macrospins know the angles that they have seen: their torques are constants,
# while those of the electrons change with the angle.

# %%
theta = np.linspace(0.05, np.pi - 0.05, 61)
torques, damping, form = llg.torques(theta), llg.damping(theta), sv.slonczewski_form(llg)
figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.8))
left.plot(np.degrees(theta), torques.damping_like[:, 1], color=COLOURS["blue"], lw=0.9, label="damping-like")
left.plot(np.degrees(theta), torques.field_like[:, 1], color=COLOURS["orange"], lw=0.9, label="field-like")
for name, colour in (("damping_like", COLOURS["blue"]), ("field_like", COLOURS["orange"])):
    left.axhline(float(getattr(fit.model, name)[1]), color=colour, lw=0.9, ls=":")
left.set(xlabel="angle of the layers (degrees)", ylabel=r"field on the free layer ($\gamma$)", xticks=[0, 90, 180])
left.legend(title="dotted: fitted")
right.plot(np.degrees(theta), damping.alpha[:, 1, 1], color=COLOURS["blue"], lw=0.9)
right.axhline(float(fit.model.damping[1]), color=COLOURS["orange"], lw=0.9, ls=":")
right.set(xlabel="angle of the layers (degrees)", ylabel=r"$\alpha$ of the free layer", xticks=[0, 90, 180])
print(form)

# %% [markdown]
# ## A phase diagram
#
# When the free layer turns over, for voltages and fields along its axis: one table for each voltage, and all runs in
# one call. Grey: never, up to the end of the runs. From the command line: `svjax diagram`.

# %%
voltages = np.linspace(2.0, 6.0, 2 if REDUCED else 9)
fields = np.linspace(-0.03, 0.03, 3 if REDUCED else 25)
diagram = sv.phase_diagram(
    valve, voltages, fields, bias=lambda v: (0.0, v), duration=100.0 if REDUCED else 3000.0, angles=5 if REDUCED else 17
)
axes = sv.plot.phase_diagram(diagram)
axes.set_xlabel(r"level of the right lead ($\gamma$)")
