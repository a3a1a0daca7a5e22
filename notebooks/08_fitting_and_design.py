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
# # Fitting and inverse design
#
# Runs, steady states and relaxation rates have derivatives in every parameter. So parameters can be learned from data,
# with error bars, and a valve or a pulse can be asked for by what it shall do.

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv
from svjax.macrospin.model import solve_macrospin

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: a smaller valve, shorter runs
SIZE = dict(length=4, width=1, pinned=1, free=1) if REDUCED else dict(length=12, width=4, pinned=4, free=4)
K_R, DURATION = (0.1, 30.0) if REDUCED else (0.02, 200.0)
COLOURS, COMPONENTS = sv.plot.COLOURS, sv.plot.COMPONENTS

# %% [markdown]
# ## Three parameters from a noisy trace
#
# The "measurement": magnetisations of both layers after a quench from equilibrium to $V = 1$, once per $\hbar/\gamma$,
# with noise of $10^{-3}$. The fit starts 30 % off in all three.

# %%
valve = sv.SpinValve.square(**SIZE, j_sd=2.0, anisotropy=(0.4, K_R), poles=sv.optimized_poles(8))
bias = sv.symmetric(1.0)
truth = {"j_sd": 2.0, "anisotropy[1]": K_R, "lead_coupling": 1.0}

run = sv.evolve(valve, sv.steady_state(valve, None), bias, DURATION, dt=0.1, save_every=10, method="etd")
clean = np.asarray(run.observables["magnetization"])
trace = sv.Trace(run.t, clean + 1e-3 * np.random.default_rng(0).normal(size=clean.shape), sigma=1e-3)

start = {"j_sd": 2.6, "anisotropy[1]": 0.7 * K_R, "lead_coupling": 0.7}
losses = []
fit = sv.fit(valve, start, trace, bias=bias, progress=lambda step: losses.append(step.loss))
print(fit)
for name, value in truth.items():
    off = abs(fit.values[name] - value) / fit.errors[name]
    print(f"{name}: {off:.1f} error bars from the truth")
    assert off < 3

# %% [markdown]
# Left: the data (dots), the start of the fit (dotted) and its end (lines). Right: the loss, half of $\chi^2$, down to
# half of the number of data (dashed).

# %%
guess = sv.set_parameters(valve, None, start)[0]
figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.8), width_ratios=(2, 1))
for k, (name, colour) in enumerate(COMPONENTS.items()):
    left.plot(run.t, trace.values[:, 1, k] - clean[0, 1, k], ".", color=colour, ms=2)
    left.plot(
        run.t, trace.predicted(fit.valve, bias)[:, 1, k] - clean[0, 1, k], color=colour, lw=0.9, label=f"${name}$"
    )
    left.plot(run.t, trace.predicted(guess, bias)[:, 1, k] - clean[0, 1, k], color=colour, lw=0.9, ls=":")
left.set(xlabel=sv.plot.TIME, ylabel=r"$[\mathbf{M}_r(t) - \mathbf{M}_r(1)]/N_S$")
left.legend(ncols=3)
right.semilogy(losses, "o-", color=COLOURS["blue"], ms=3)
right.axhline(trace.values.size / 2, color="0.5", lw=0.8, ls="--")
right.set(xlabel="step", ylabel="loss")

# %% [markdown]
# What follows from the fitted parameters has an error bar too: here the relaxation time, which the trace is too short
# to show, and the steady current.

# %%
slowest = lambda valve, bias: sv.relaxation_modes(valve, sv.steady_state(valve, bias), bias, count=1)[0]
t_r = fit.derived(lambda valve, bias: -1 / slowest(valve, bias).real)
current = fit.derived(lambda valve, bias: sv.charge_current(valve, sv.steady_state(valve, bias), 0))
print(
    f"t_R = {t_r[0]:.2f} +- {t_r[1]:.2g}, exact {-1 / slowest(valve, bias).real:.2f}; "
    f"I = {current[0]:.5f} +- {current[1]:.1g}"
)

# %% [markdown]
# ## What the data leave open
#
# A steady tilt is a balance of torques. Both the exchange of the layers and a field-like torque act on a macrospin as a
# field along the other layer, so that its state of rest cannot tell them apart. A fit refuses such a set, and names the
# combination; the covariance would be infinite.

# %%
layers = sv.MacrospinModel(j_eff=2e-3, n_s=16, anisotropy=(0.4, K_R), damping=0.02)
at_rest = clean[-1]
torque = lambda model, _: model.time_derivative(jnp.asarray(at_rest))[1] / 1e-6
try:
    sv.fit(layers, ["j_eff", "field_like[1]"], torque)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Macrospins that move as the valve does
#
# Two macrospins with exchange, anisotropy, Gilbert damping and current-driven torques, fitted to the run from the time
# on at which its electrons have settled. Their relaxation time is that of the valve's own modes. The last lines are the
# numbers under the names of mumax3 and Ubermag, for $\gamma = 1$ eV and a layer of 1 nm.

# %%
length, settled = (100.0, 20.0) if REDUCED else (1600.0, 100.0)
run = sv.evolve(valve, sv.steady_state(valve, None), bias, length, dt=0.1, save_every=20, method="etd")
late = run.t >= settled
m = run.observables["magnetization"][late]
layers = sv.MacrospinModel(j_eff=1e-5, n_s=SIZE["free"] * SIZE["width"], anisotropy=(0.4, K_R), damping=(0.01, 0.02))
torques = sv.fit_torques(run.t[late], m, layers, ["field_like[1]", "anisotropy[1]", "damping[1]", "damping_like[1]"])
print(torques)
mode = slowest(valve, bias)
print(f"of the valve: t_R = {-1 / mode.real:.2f}, omega = {mode.imag:.6f}")
pinned, free = sv.micromagnetic_parameters(
    torques.model, sv.Units(gamma_ev=1.0), spin_volume_nm3=0.02, thickness_nm=1.0
)
for name, quantity in free.items():
    print(f"  {name} = {quantity.value:.4g} {quantity.unit}")

# %%
model = solve_macrospin(torques.model, torques.start, run.t[late] - run.t[late][0])
figure, axes = plt.subplots(3, 1, figsize=(5.2, 4.2), sharex=True)
for k, (ax, (name, colour)) in enumerate(zip(axes, COMPONENTS.items(), strict=True)):
    ax.plot(run.t[late], m[:, 1, k], color=colour, lw=0.9, label="valve")
    ax.plot(run.t[late], model[:, 1, k], color="0.2", lw=0.9, ls="--", label="macrospins")
    ax.set_ylabel(f"$M_r^{name}/N_S$")
axes[0].legend(ncols=2)
axes[-1].set_xlabel(sv.plot.TIME)
figure.align_ylabels()

# %% [markdown]
# ## A long trace, cut into pieces
#
# The loss of a trace of many periods has many minima: the frequency must be right to a fraction of a period over the
# whole of it. Cut into segments with starts of their own (multiple shooting, `segments=`), the fit finds the way.
# A spin in a field, twenty periods, its strength 30 % off:

# %%
precessing = sv.SpinValve.square(
    4, 1, 1, 1, j_sd=0.5, anisotropy=(0.1, 0.0), field=(0.0, 0.0, 0.6), poles=sv.optimized_poles(6), temperature=0.1
)
tilted = jnp.array([[1.0, 0.0, 0.0], [0.8, 0.0, 0.6]])
begin = lambda valve: sv.stationary(valve, tilted)
turns, pieces = (24.0, 3) if REDUCED else (240.0, 24)
seen = sv.evolve(precessing, begin(precessing), bias, turns, dt=0.2, save_every=5, method="etd")
noisy = np.asarray(seen.observables["magnetization"])
noisy = noisy + 1e-3 * np.random.default_rng(1).normal(size=noisy.shape)
for segments in (1, pieces):
    long = sv.Trace(seen.t, noisy, sigma=1e-3, start=begin, dt=0.2, segments=segments)
    found = sv.fit(precessing, {"field[2]": 0.42}, long, bias=bias)
    print(f"{segments} segments: B_z = {found.values['field[2]']:.5f}, loss {found.loss:.4g} of {noisy.size} data")

# %% [markdown]
# ## A pulse that tilts the free layer with least charge
#
# Any function of valve and bias that returns one number is a loss. The bias is a waveform of 13 levels; the loss is the
# charge $e\int|2\mathcal I_l|\,dt$ that the pulse draws, and a price on missing the tilt that we ask for, 0.2 from
# rest. Reverse mode carries the derivatives through electrons and spins to all levels at once.

# %%
small = sv.SpinValve.square(4, 1, 1, 1, j_sd=2.0, anisotropy=(0.4, 0.1), poles=sv.optimized_poles(6), temperature=0.1)
PULSE, LEVELS = 60.0, 13


def driven(valve, bias):
    """The run under a pulse: M_r^x and the flow of charge |2 I_l|, once per hbar/gamma."""
    observe = lambda valve, state: {
        "tilt": sv.magnetization(valve, state)[1, 0],
        "flow": jnp.sqrt((2 * sv.charge_current(valve, state, 0)) ** 2 + 1e-4) - 1e-2,  # smooth where I vanishes
    }
    start = sv.steady_state(valve, None)
    return sv.evolve(valve, start, bias, PULSE, dt=0.2, save_every=5, method="etd", observe=observe)


def tilt_and_charge(valve, bias):
    seen = driven(valve, bias).observables
    return seen["tilt"][-1], jnp.sum(seen["flow"])


rest = sv.magnetization(small, sv.steady_state(small, None))[1, 0]
target = rest + 0.2


def price(valve, bias):
    tilt, charge = tilt_and_charge(valve, bias)
    return 1e-3 * charge + 100 * (tilt - target) ** 2


levels = {f"voltages[{k}]": sv.Free(start=0.2, low=-3.0, high=3.0) for k in range(1, LEVELS - 1)}
flat = sv.Waveform(np.linspace(0, PULSE, LEVELS), np.zeros(LEVELS))
design = sv.minimise(small, levels, price, bias=flat, mode="reverse", max_steps=2 if REDUCED else 60)
print(design.reason)
tilt, charge = tilt_and_charge(small, design.bias)
print(f"the pulse: tilt {tilt:.4f}, charge {charge:.4f}")

# %% [markdown]
# It ends as one short kick, half a precession before the end. Against it, constant voltages, switched on at $t = 0$ and
# kept: of those that have the tilt at the end, or more, the one that draws least charge. That is ten times as much.

# %%
constant = jax.jit(jax.vmap(lambda v: tilt_and_charge(small, sv.symmetric(v))))
steps = np.linspace(0.05, 3.0, 4 if REDUCED else 60)
tilts, charges = constant(steps)
best = int(np.argmin(np.where(tilts >= target, charges, np.inf)))
print(f"rest {rest:.4f}, asked for {target:.4f}; {np.count_nonzero(tilts >= target)} of {len(steps)} voltages reach it")
print(f"the cheapest, V = {steps[best]:.2f}: tilt {tilts[best]:.4f}, charge {charges[best]:.3f}")

figure, axes = plt.subplots(3, 1, figsize=(5.2, 4.6), sharex=True)
for pulse, colour, name in ((design.bias, "vermillion", "designed"), (sv.symmetric(steps[best]), "black", "constant")):
    shown = driven(small, pulse)
    shape = [pulse(t)[0] - pulse(t)[1] for t in shown.t]
    for ax, values in zip(axes, (shape, shown.observables["tilt"], shown.observables["flow"]), strict=True):
        ax.plot(shown.t, values, color=COLOURS[colour], label=name)
axes[1].axhline(target, color="0.5", lw=0.8, ls="--")
for ax, label in zip(axes, (sv.plot.VOLTAGE, "$M_r^x/N_S$", r"$|2\mathcal{I}_l|$ ($e\gamma/\hbar$)"), strict=True):
    ax.set_ylabel(label)
axes[0].legend(ncols=2)
axes[-1].set_xlabel(sv.plot.TIME)
figure.align_ylabels()

# %% [markdown]
# ## The valve that relaxes fastest, or slowest
#
# The relaxation time at $V = 1$ is a smooth function of the valve. Within bounds for $\Gamma$, $J_{sd}$ and the Fermi
# level, its extremes:

# %%
within = {
    "lead_coupling": sv.Free(low=0.3, high=4.0),
    "j_sd": sv.Free(low=0.5, high=6.0),
    "mu_bar": sv.Free(start=0.1, low=-2.0, high=2.0),
}
time = lambda valve, bias: -1 / slowest(valve, bias).real
print(f"as it is: t_R = {time(small, bias):.1f}")
for name, sign in (("fastest", 1), ("slowest", -1)):
    loss = lambda valve, bias, sign=sign: sign * jnp.log(time(valve, bias))
    found = sv.minimise(small, within, loss, bias=bias, max_steps=2 if REDUCED else 50)
    values = ", ".join(f"{key} = {value:.3f}" for key, value in found.values.items())
    print(f"{name}: t_R = {time(found.valve, bias):.1f} with {values} ({found.reason})")
