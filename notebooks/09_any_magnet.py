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
# # Any magnet
#
# The paper's valve is one point in a family: bonds can carry spin-orbit coupling and a flux, spins any exchange,
# leads can be magnets, parameters can depend on time and the spins can be hot. Five small systems, each beside its
# closed form. All keywords are in the table of "From the paper's valve to your magnet".

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import svjax as sv

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: fewer points, a smaller ensemble
POINTS, SPINS, ENSEMBLE = (9, 3, 64) if REDUCED else (121, 8, 1024)
COLOURS, NO_SPINS = sv.plot.COLOURS, np.zeros((0, 3))

# %% [markdown]
# ## A ring with spin-orbit coupling
#
# Levels of a ring of 8 sites against the flux $\phi$ through it, with the Rashba coupling $\lambda = 0.4 \gamma$
# (lines) and without (dotted). Spin-orbit coupling splits the two spins by the Aharonov-Casher phase. Right: the
# persistent current at $T = 0.1$, the derivative of the grand potential in the flux by `jax.grad`; dots are the bond
# current of the electrons.

# %%
fluxes = np.linspace(-np.pi, np.pi, POINTS)
ring = lambda flux, rashba: sv.SpinValve.ring(8, rashba=rashba, flux=flux)
levels = lambda rashba: jax.jit(jax.vmap(lambda flux: sv.energy_levels(ring(flux, rashba), NO_SPINS)))(fluxes)
potential = lambda flux: -0.1 * jnp.sum(jnp.logaddexp(0.0, -sv.energy_levels(ring(flux, 0.4), NO_SPINS) / 0.1))
persistent = jax.jit(jax.vmap(jax.grad(potential)))(fluxes)
some = fluxes[:: POINTS // 8]
bond = [sv.bond_currents(ring(x, 0.4), sv.stationary(ring(x, 0.4), NO_SPINS, temperature=0.1))[0] for x in some]

figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.8))
left.plot(fluxes, levels(0.0), ":", color="0.6", lw=0.8)
left.plot(fluxes, levels(0.4), color=COLOURS["blue"], lw=0.9)
left.set(xlabel=r"$\phi$ ($\hbar/e$)", ylabel=r"level ($\gamma$)")
right.plot(fluxes, persistent, color=COLOURS["blue"], lw=0.9)
right.plot(some, bond, "o", color=COLOURS["orange"], ms=3)
right.set(xlabel=r"$\phi$ ($\hbar/e$)", ylabel=r"persistent current ($\gamma/\hbar$)")
print(f"largest difference of the dots from the line: {np.abs(np.array(bond) - persistent[:: POINTS // 8]).max():.1e}")

# %% [markdown]
# ## A spiral
#
# Dzyaloshinskii-Moriya exchange $D$ beside a ferromagnetic $J$ winds a chain by $\arctan(D/|J|)$ from spin to spin:
# the end of damped runs (dots), and the formula.


# %%
def winding(dmi, exchange=-0.8):
    matrix = exchange * np.eye(3) + dmi * np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0]])
    held = dict(anisotropy=np.eye(SPINS)[0], easy_axes=[(1.0, 0.0, 0.0)] * SPINS, damping=0.8)
    bonds = [(j, j + 1, matrix) for j in range(SPINS - 1)]
    chain = sv.SpinValve.from_bonds(SPINS, [], layers=[range(SPINS)], spin_bonds=bonds, **held)
    angle = 0.1 * np.arange(SPINS)
    start = np.stack([np.cos(angle) * np.cos(0.3), -np.sin(angle) * np.cos(0.3), np.full(SPINS, np.sin(0.3))], 1)
    end = sv.evolve(chain, sv.stationary(chain, start), None, 600.0, dt=0.05).state.spins
    return -np.diff(np.unwrap(np.arctan2(end[:, 1], end[:, 0])))


strengths = np.linspace(0.1, 0.8, 3 if REDUCED else 6)
turns = np.array([winding(dmi) for dmi in strengths])
figure, axes = plt.subplots(figsize=(3.6, 2.6))
fine = np.linspace(0, 0.9, 50)
axes.plot(fine, np.degrees(np.arctan(fine / 0.8)), color=COLOURS["blue"], lw=0.9)
axes.plot(strengths, np.degrees(turns.mean(1)), "o", color=COLOURS["orange"], ms=3)
axes.set(xlabel=r"$D$ ($\gamma$)", ylabel="turn from spin to spin (degrees)")
print(f"largest difference from the formula: {np.abs(turns - np.arctan(strengths / 0.8)[:, None]).max():.1e} rad")

# %% [markdown]
# ## Magnetic leads and a field pulse
#
# Left: transmission of one level between two leads of polarisation $p = 0.9$ whose directions enclose an angle.
# Right: a valve under a constant voltage, whose free layer is hit by a field pulse (grey).

# %%
angles = np.linspace(0, 2 * np.pi, POINTS)


@jax.jit
@jax.vmap
def transmitted(angle):
    p = 0.9 * jnp.array([[0.0, 0.0, 1.0], [jnp.sin(angle), 0.0, jnp.cos(angle)]])
    leads = dict(contacts=[[0], [0]], lead_coupling=0.5, lead_polarization=p)
    return sv.transmission(sv.SpinValve.from_bonds(1, [], mu_bar=0.2, **leads), NO_SPINS, 0.2)


valve = sv.SpinValve.chain(1, 2, 1, j_sd=1.0, leads=True, anisotropy=(0.4, 0.05), poles=sv.optimized_poles(6))
pulse = sv.FieldPulse([0.0, 0.5, 0.0], center=10.0, width=2.0, layer=1)
run = sv.three_stage(valve, sv.symmetric(1.0), relax=20.0, duration=60.0, dt=0.1, drive=pulse)

figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.8))
left.plot(np.degrees(angles), transmitted(angles), color=COLOURS["blue"], lw=0.9)
left.set(xlabel="angle of the leads (degrees)", ylabel=r"$\Theta$", xticks=[0, 90, 180, 270, 360])
right.fill_between(run.t, 0.5 * np.exp(-(((run.t - 10) / 2) ** 2) / 2) * (run.t >= 0), color="0.85", lw=0)
for k, (name, colour) in enumerate(sv.plot.COMPONENTS.items()):
    right.plot(run.t, run.observables["magnetization"][:, 1, k], color=colour, lw=0.9, label=f"${name}$")
right.set(xlabel=sv.plot.TIME, ylabel=r"$\mathbf{M}_r$")
right.legend(ncols=3)

# %% [markdown]
# ## A hot bath
#
# An ensemble of single spins in a field $B$ with damping, at the bath's temperature $T_s$: its mean (dots, with
# standard errors) and Langevin's function.

# %%
start = sv.stationary(sv.SpinValve.from_bonds(1, [], layers=[[0]]), [[0.0, 0.0, 1.0]])


def thermal(x):
    spin = sv.SpinValve.from_bonds(1, [], layers=[[0]], field=(0.0, 0.0, x), damping=0.5, spin_temperature=1.0)
    one = lambda key: sv.evolve(spin, start, None, 12.0, dt=0.04, method="rk38", key=key).state.spins[0, 2]
    found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), ENSEMBLE))
    return found.mean(), found.std() / np.sqrt(ENSEMBLE)


fields = np.array([1.0, 4.0]) if REDUCED else np.array([0.5, 1.0, 2.0, 4.0, 8.0])
means, errors = np.array([thermal(x) for x in fields]).T
langevin = lambda x: 1 / np.tanh(x) - 1 / x
fine = np.linspace(0.05, 9, 100)
figure, axes = plt.subplots(figsize=(3.6, 2.6))
axes.plot(fine, langevin(fine), color=COLOURS["blue"], lw=0.9)
axes.errorbar(fields, means, errors, fmt="o", color=COLOURS["orange"], ms=3)
axes.set(xlabel="$B/T_s$", ylabel=r"$\langle S_z \rangle$")
print(f"largest difference: {np.abs((means - langevin(fields)) / errors).max():.1f} standard errors")
assert np.abs((means - langevin(fields)) / errors).max() < 4
