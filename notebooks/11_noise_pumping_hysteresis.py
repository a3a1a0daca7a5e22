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
# # Noise, pumping, hysteresis, oscillation, ensembles
#
# What other papers of the field show, for one small valve: the noise of its currents, the spin that a precessing layer
# pumps, its loop in a field, and how a hot ensemble of it switches; and a spin that a current makes go around.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: fewer points, a smaller ensemble
POINTS, FIELDS, SEEDS, DURATION = (3, 5, 2, 5.0) if REDUCED else (41, 41, 32, 400.0)
COLOURS = sv.plot.COLOURS
valve = sv.SpinValve.square(6, 1, 2, 2, j_sd=1.0, anisotropy=(0.4, 0.05), temperature=0.02)
spins = sv.aligned_spins(valve)

# %% [markdown]
# ## Noise
#
# $S(0)$ of the charge current at the left lead against the voltage, at frozen spins: $4 T G$ at $V = 0$ (the dot), shot
# noise beyond. Right: the Fano factor $S / 2 |I|$, with the thermal part's divergence at small voltage cut off.

# %%
volts = np.linspace(0.0, 2.0, POINTS)
noise = np.array([sv.zero_frequency_noise(valve, spins, sv.symmetric(v))[0, 0] for v in volts])
fano = np.array([sv.fano_factors(valve, spins, sv.symmetric(v))[0] for v in volts[1:]])
particles = jax.jacfwd(lambda v: 2 * sv.landauer_current(valve, spins, sv.symmetric(v)))(0.0)
nyquist = 4 * 0.02 * float(particles)

figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.7))
left.plot(volts, noise, color=COLOURS["blue"])
left.plot(0.0, nyquist, "o", color=COLOURS["orange"])
left.set(xlabel=sv.plot.VOLTAGE, ylabel=r"noise $S(0)$ ($\gamma/\hbar$)")
wide = volts[1:] > 0.15
right.plot(volts[1:][wide], fano[wide], color=COLOURS["purple"])
right.set(xlabel=sv.plot.VOLTAGE, ylabel="Fano factor", ylim=(0, None))
print(f"S at V = 0 is {noise[0]:.8f}, 4 T G is {nyquist:.8f}")

# %% [markdown]
# ## Pumping
#
# The free layer is made to precess about its easy axis at an angle of 0.6, without any voltage. In the frame that turns
# with it nothing moves; in the laboratory a spin current along the axis flows into both leads, which grows as the
# frequency, and the charge current stays zero on average.

# %%
ANGLE = 0.6


class Precession(eqx.Module):
    """The free layer at an angle to z, turning about z; the pinned one at rest."""

    omega: jax.Array

    def __call__(self, t):
        turning = jnp.stack(
            [jnp.sin(ANGLE) * jnp.cos(self.omega * t), jnp.sin(ANGLE) * jnp.sin(self.omega * t), jnp.cos(ANGLE) + 0 * t]
        )
        return jnp.where(jnp.asarray(valve.lattice.spin_layers == 1)[:, None], turning, spins)


omegas = np.array([0.8, 1.6]) if REDUCED else np.linspace(0.05, 0.35, 7)
pumped = [sv.periodic_state(valve, None, 2 * np.pi / w, spins=Precession(jnp.asarray(w))) for w in omegas]
rate = np.array([state.mean("spin_current")[:, 2] for state in pumped])

plt.figure(figsize=(4.2, 2.7))
for lead, (name, colour) in enumerate((("left", "vermillion"), ("right", "blue"))):
    plt.plot(omegas, rate[:, lead], "o-", ms=3, color=COLOURS[colour], label=f"{name} lead")
plt.xlabel(r"frequency $\omega$ ($\gamma/\hbar$)")
plt.ylabel(r"pumped spin along $z$ ($\gamma/\hbar$)")
plt.legend()

# %% [markdown]
# ## Hysteresis
#
# Stable states as the field along $z$ goes up and down, without voltage and with one. The jumps are located by
# following the branch to its fold.

# %%
tilted = sv.SpinValve.square(6, 1, 2, 2, j_sd=1.0, anisotropy=(0.4, 0.05), field=(0.02, 0.01, 0.0))
fields = np.linspace(-0.12, 0.12, FIELDS)
loops = {voltage: sv.hysteresis(tilted, sv.symmetric(voltage), "field[2]", fields) for voltage in (0.0, 0.6)}

figure, panels = plt.subplots(1, 2, figsize=(7.2, 2.9), sharey=True)
for ax, (voltage, loop) in zip(panels, loops.items(), strict=True):
    sv.plot.hysteresis(loop, ax=ax)
    ax.text(0.03, 0.75, f"$V = {voltage:g}$", transform=ax.transAxes)

# %% [markdown]
# ## A spin that goes around by itself
#
# A spin with a hard axis in a field, between a magnetic and a plain lead. Electrons turn it away from its rest, which
# is lost in a Hopf bifurcation at $V_c$; beyond, the spin goes into a limit cycle, whose period is found with it. Its
# size grows as the square root of $V_c - V$ at first (dotted). The voltage is negative.

# %%
oscillator = sv.SpinValve.from_bonds(
    1, [], layers=[[0]], contacts=[[0], [0]], j_sd=1.0, anisotropy=-0.15, field=(0.05, 0.02, 0.5), damping=0.02,
    lead_coupling=0.5, lead_polarization=((0.3, 0.0, 0.7), (0.0, 0.0, 0.0)), temperature=0.2,
)  # fmt: skip
lost = sv.follow(oscillator, sv.symmetric(0.0), "voltage", [0.0, -1.0]).critical[0]
beyond = np.array([0.05, 0.3]) if REDUCED else np.array([0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3])
cycles = [sv.limit_cycle(oscillator, sv.symmetric(lost.value - d), observe=("spins",)) for d in beyond]
sizes = np.array([float(cycle.amplitude("spins")[0, 0]) for cycle in cycles])

figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9))
for cycle, shade in zip(cycles, np.linspace(0.75, 0.0, len(cycles)), strict=True):
    orbit = np.asarray(cycle.observables["spins"])[:, 0]
    left.plot(*np.concatenate([orbit, orbit[:1]])[:, :2].T, color=str(shade), lw=0.8)
left.set(xlabel="$S^x$", ylabel="$S^y$", aspect="equal")
right.plot(beyond, sizes, "o-", ms=3, color=COLOURS["blue"])
near = np.linspace(0.0, beyond[-1], 50)
right.plot(near, sizes[0] * np.sqrt(near / beyond[0]), ":", color="0.4")
right.set(xlabel=r"$V_c - V$ ($\gamma/e$)", ylabel="amplitude of $S^x$", ylim=(0, 1.05 * sizes.max()))
print(f"V_c = {lost.value:.6f} ({lost.kind}); multipliers of the last cycle: {np.round(cycles[-1].multipliers, 4)}")

# %% [markdown]
# ## An ensemble
#
# The free layer starts against a field in which it is not stable, and thermal noise at $T_s = 0.005$ decides when it
# leaves: mean and standard error over seeds, and single runs in grey. Each seed is the run that `svjax run --seed`
# makes.

# %%
hot = sv.SpinValve.square(
    6, 1, 2, 2, j_sd=1.0, anisotropy=(0.4, 0.05), field=(0.0, 0.0, -0.15), damping=0.05, spin_temperature=0.005
)
task = sv.RunTask(DURATION, start="aligned")
runs = sv.sweep(hot, {"seed": range(SEEDS)}, task)
mean = sv.ensemble(runs)

plt.figure(figsize=(4.6, 2.9))
for seed in range(min(6, SEEDS)):
    plt.plot(runs["time"], runs["magnetization"][seed, :, 1, 2], color="0.8", lw=0.6)
middle, error = (mean[name][:, 1, 2].values for name in ("magnetization", "magnetization_error"))
plt.plot(mean["time"], middle, color="k")
plt.fill_between(mean["time"], middle - error, middle + error, color="0.4", alpha=0.4, lw=0)
plt.xlabel(sv.plot.TIME)
plt.ylabel(r"$\langle M_r^z \rangle$")
