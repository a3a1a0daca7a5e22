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
# # Your own valve
#
# Nothing in the library is tied to the strip of the paper. This notebook builds another geometry with three leads,
# drives it with an AC bias, adds an observable, and ends with a family of valves.

# %%
import os
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: shorter runs, fewer points
COMPONENTS = sv.plot.COMPONENTS

# %% [markdown]
# ## A T junction: three leads, three layers
#
# Sites are numbers, bonds are pairs (with a complex amplitude if you like: a flux), layers and contacts are lists of
# sites. `monolayers` groups sites for pictures and for layer-resolved observables; parameters take a value or one for
# each layer or lead.

# %%
arm = 5
left, right = range(arm), range(arm + 1, 2 * arm + 1)
stem = range(2 * arm + 1, 3 * arm)
path = [*left, arm, *right]
bonds = [*pairwise(path), *pairwise([arm, *stem])]
junction = sv.SpinValve.from_bonds(
    3 * arm,
    bonds,
    layers=[[1, 2], [8, 9], [stem[1], stem[2]]],
    contacts=[[path[0]], [path[-1]], [stem[-1]]],
    j_sd=2.0,
    anisotropy=(0.4, 0.05, 0.4),
    easy_axes=((1, 0, 0), (0, 0, 1), (0, 1, 0)),
    lead_coupling=(1.0, 1.0, 0.5),
    temperature=0.05,
    poles=sv.optimized_poles(10),
)
mu = (0.5, -0.5, 0.0)
state = sv.steady_state(junction, mu)
currents = np.array([sv.charge_current(junction, state, lead) for lead in range(3)])
print("current into the valve from each lead (half of dN/dt):", currents.round(5), "sum", f"{currents.sum():.0e}")
print("magnetisation of the three layers:\n", np.round(sv.magnetization(junction, state), 3))
print("slowest precession:", sv.relaxation_modes(junction, state, mu, count=1)[0])
assert abs(currents.sum()) < 1e-10
for lead in range(3):
    assert abs(currents[lead] - sv.landauer_current(junction, state.spins, mu, lead=lead)) < 1e-6

# %% [markdown]
# With three leads the signs of the currents are all "into the valve" (with two they are the paper's, left into and
# right out of it). Transmissions are between any pair.

# %%
energies = np.linspace(-3, 3, 61 if REDUCED else 601)
figure, ax = plt.subplots()
for (one, other), colour in zip(((0, 1), (0, 2), (1, 2)), ("vermillion", "blue", "black"), strict=True):
    theta = sv.transmission(junction, state.spins, energies, lead=one, other=other)
    ax.plot(energies, theta, color=sv.plot.COLOURS[colour], label=f"leads {one} and {other}")
ax.set(xlabel=sv.plot.ENERGY, ylabel=r"$\Theta$")
ax.legend()

# %% [markdown]
# ## An AC bias
#
# A bias is any function of the time that returns one level for each lead. The wide-band equations stay exact: the band
# of a lead moves with its level. `sv.Oscillating` is one whose amplitude and frequency can be differentiated; here the
# right lead of the junction is shaken. On average no charge flows: at half filling, what the valve does to electrons in
# one half of a period it does to holes in the other.

# %%
shaken = sv.Oscillating(base=jnp.zeros(3), amplitude=jnp.array([0.0, 1.0, 0.0]), omega=0.5)
start = sv.steady_state(junction, None)
period = 2 * np.pi / 0.5
steps = 128
run = sv.evolve(junction, start, shaken, (2 if REDUCED else 12) * period, dt=period / steps, method="etd", save_every=2)
current = run.observables["charge_current"]

figure, ax = plt.subplots()
for lead, colour in zip(range(3), ("vermillion", "blue", "black"), strict=True):
    ax.plot(run.t / period, current[:, lead], color=sv.plot.COLOURS[colour], label=f"lead {lead}")
ax.set(xlabel="time (periods)", ylabel=r"$\mathcal{I}$ into the valve ($\gamma/\hbar$)")
ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
print("mean current over the last period:", current[-steps // 2 :].mean(0).round(5))

# %% [markdown]
# Your own function does as well, here a ramp. Leaves of an `eqx.Module` can be differentiated and batched; a plain
# function with constants in it is fine for one run.


# %%
class Ramp(eqx.Module):
    """mu_l rises linearly to V within `rise`, then stays."""

    voltage: jax.Array
    rise: jax.Array

    def __call__(self, t):
        return self.voltage * jnp.minimum(t / self.rise, 1.0) * jnp.array([0.5, -0.5])


# %% [markdown]
# ## An observable of your own
#
# `observe` is a function of valve and state that returns a dictionary of arrays; it runs inside the compiled loop, at
# the saves only. Here: the angle between the layers, and the charge on every site.


# %%
def observe(valve, state):
    m = sv.magnetization(valve, state)
    cosine = m[0] @ m[1] / (jnp.linalg.norm(m[0]) * jnp.linalg.norm(m[1]))
    return {"angle": jnp.degrees(jnp.arccos(cosine)), "charge": sv.site_charge(valve, state)}


small = sv.SpinValve.square(6, 2, 2, 2, j_sd=2.0, poles=sv.optimized_poles(10))
quenches = [Ramp(jnp.asarray(1.0), jnp.asarray(rise)) for rise in (0.1, 30.0)]
start = sv.steady_state(small, None)
figure, axes = plt.subplots(1, 2, figsize=(7.6, 2.8))
for ramp, colour in zip(quenches, ("vermillion", "blue"), strict=True):
    run = sv.evolve(small, start, ramp, 100.0, dt=0.1, method="etd", save_every=5, observe=observe)
    name = rf"rise within {ramp.rise:g} $\hbar/\gamma$"
    axes[0].plot(run.t, run.observables["angle"], color=sv.plot.COLOURS[colour], label=name)
    axes[1].plot(run.t, run.observables["charge"][:, 0] - 1, color=sv.plot.COLOURS[colour], label=name)
axes[0].set(xlabel=sv.plot.TIME, ylabel="angle of the layers (degrees)")
axes[1].set(xlabel=sv.plot.TIME, ylabel="charge on site 0, less 1 (electrons)")
axes[1].legend()

# %% [markdown]
# ## Many valves at once
#
# Every parameter is a leaf, so `jax.vmap` runs a whole family, and `sv.set_parameters` (or `eqx.tree_at`) makes it.

# %%
voltages = jnp.linspace(0.0, 4.0, 3 if REDUCED else 17)
tilt = lambda k, v: sv.magnetization(
    small, sv.steady_state(eqx.tree_at(lambda w: w.anisotropy, small, k), (v / 2, -v / 2))
)
map_of_tilts = jax.jit(jax.vmap(jax.vmap(tilt, (None, 0)), (0, None)))
anisotropies = jnp.stack([jnp.full(3, 0.4), jnp.array([0.02, 0.05, 0.1])], axis=1)
tilts = np.asarray(map_of_tilts(anisotropies, voltages))[:, :, 1, 0]
figure, ax = plt.subplots()
for k, values, colour in zip(anisotropies[:, 1], tilts, ("vermillion", "blue", "black"), strict=True):
    ax.plot(voltages, values, color=sv.plot.COLOURS[colour], label=f"$K_r = {k:g}$")
ax.set(xlabel=f"symmetric {sv.plot.VOLTAGE}", ylabel="$M_r^x/N_S$")
ax.legend()
