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
# # Poles of the Fermi function and equilibrium spectra (Figs. 15, 19)

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit

import svjax as sv

jax.config.update("jax_enable_x64", True)
plt.rcParams.update(sv.plot.STYLE)

REDUCED = os.environ.get("SVJAX_NOTEBOOKS") == "reduced"  # in the tests: a smaller valve, fewer points
SIZE = dict(length=6, width=2, pinned=2, free=2) if REDUCED else dict(length=12, width=4, pinned=4, free=4)

# %% [markdown]
# ## Fig. 15: how many poles
#
# The only numerical parameter beside the step is the pole expansion of the Fermi function, Eq. (7). The paper compares
# Padé expansions of 10 to 50 poles by eye at $T = 0.025$ and settles for 30. Left, the functions; right, their error:
# a Padé sum is excellent up to some energy and then returns to 1/2. The optimised poles spread a small error over the
# whole range instead.

# %%
temperature = 0.025
energies = np.linspace(-10, 10, 401 if REDUCED else 4001)
exact = expit(-energies / temperature)
expansions = {f"Padé {n}": sv.pade_poles(n) for n in (10, 20, 30, 50)} | {"optimised 10": sv.optimized_poles(10)}

figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.0))
for (name, poles), colour in zip(expansions.items(), list(sv.plot.COLOURS.values())[1:], strict=False):
    f = sv.fermi(poles, energies / temperature)
    left.plot(energies, f, color=colour, label=name)
    right.semilogy(energies, np.maximum(np.abs(f - exact), 1e-17), color=colour, label=name)
left.plot(energies, exact, "k:", label="exact")
left.set(xlabel=sv.plot.ENERGY, ylabel="$f$")
right.set(xlabel=sv.plot.ENERGY, ylabel=r"$|f - f_\mathrm{exact}|$", ylim=(1e-16, 1))
left.legend()

# %% [markdown]
# ## What the poles do to the physics
#
# The band of the leads has no end, so a level far above the range of a Padé sum is still half occupied for part of the
# time, and the error of $\rho$ falls only as $N_P^{-4}$. Steady currents, which only see energies where the two leads
# differ, converge far faster. The exact answer needs no poles: it is a digamma function of $H_\mathrm{eff}$.

# %%
mu = (0.5, -0.5)
reference = sv.SpinValve.square(**SIZE, j_sd=2.0)
spins = sv.steady_state(reference, mu).spins
exact_rho = sv.exact_density_matrix(reference, spins, mu)
exact_current = float(sv.landauer_current(reference, spins, mu))


def pole_errors(poles):
    valve = sv.SpinValve.square(**SIZE, j_sd=2.0, poles=poles)
    state = sv.stationary(valve, spins, mu)
    return np.abs(state.rho - exact_rho).max(), abs(float(sv.charge_current(valve, state, 0)) - exact_current)


kinds = {
    "Padé": (sv.pade_poles, (20, 30, 50) if REDUCED else (5, 7, 10, 14, 20, 30, 40, 50, 70, 100)),
    "optimised": (sv.optimized_poles, (6, 10) if REDUCED else range(6, 17)),
}
errors = {
    kind: (np.array(counts), np.array([pole_errors(make(n)) for n in counts])) for kind, (make, counts) in kinds.items()
}

figure, ax = plt.subplots()
for (kind, (counts, error)), colour in zip(errors.items(), ("vermillion", "blue"), strict=True):
    ax.loglog(counts, error[:, 0], "o-", color=sv.plot.COLOURS[colour], label=rf"{kind}: $\rho$")
    ax.loglog(
        counts,
        np.maximum(error[:, 1], 1e-17),
        "s--",
        mfc="none",
        color=sv.plot.COLOURS[colour],
        label=f"{kind}: current",
    )
ax.set(xlabel="number of poles", ylabel="largest error", title="$V = 1$, symmetric, $J_{sd} = 2$, $T = 0.025$")
ax.legend()

pade = dict(zip(errors["Padé"][0].tolist(), errors["Padé"][1].tolist(), strict=True))
power = np.polyfit(np.log([20, 30, 50]), np.log([pade[n][0] for n in (20, 30, 50)]), 1)[0]
print(f"30 Padé poles: error {pade[30][0]:.1e} in rho, {pade[30][1]:.1e} in the current; power law of rho: {power:.2f}")
assert pade[30][0] < 5e-5 and pade[30][1] < 1e-10 and abs(power + 4) < 0.2

# %% [markdown]
# ## Fig. 19: density of states, transmission and its polarisation in equilibrium
#
# Claims, for $J_{sd} = 2$ and 6: the transmission drops strongly at $J_{sd} = 6$; the density of states has sharp lines
# there (states in the middle that the leads hardly broaden); states far from the Fermi level add little to the
# transmission; and the spin polarisation, Eq. (17), is antisymmetric about the Fermi level.

# %%
energies = np.linspace(-6, 6, 241 if REDUCED else 4801)
spectra = {}
for j_sd in (2.0, 6.0):
    valve = sv.SpinValve.square(**SIZE, j_sd=j_sd, poles=sv.optimized_poles(10))
    spins = sv.steady_state(valve, None).spins
    functions = (sv.density_of_states, sv.transmission, sv.spin_polarization)
    spectra[j_sd] = [np.asarray(function(valve, spins, energies)) for function in functions]

figure, axes = plt.subplots(3, 1, figsize=(5.2, 5.4), sharex=True)
labels = r"DOSh ($1/\gamma$)", r"$\Theta$", r"$P$"
for (j_sd, curves), colour in zip(spectra.items(), ("vermillion", "blue"), strict=True):
    for ax, curve, label in zip(axes, curves, labels, strict=True):
        ax.plot(energies, curve, color=sv.plot.COLOURS[colour], lw=0.9, label=f"$J_{{sd}} = {j_sd:g}$")
        ax.set_ylabel(label)
axes[0].set_ylim(0, 3)
axes[0].legend()
axes[-1].set_xlabel(sv.plot.ENERGY)
figure.align_ylabels()

# %%
for j_sd, (dos, theta, p) in spectra.items():
    odd, even = np.abs(p + p[::-1]).max(), np.abs(theta - theta[::-1]).max()
    middle, outer = np.abs(energies) < 2, np.abs(energies) > 3.5
    outside = [
        np.trapezoid(np.where(outer, curve, 0), energies) / np.trapezoid(curve, energies) for curve in (dos, theta)
    ]
    print(
        f"J_sd = {j_sd:g}: Theta up to {theta.max():.3f}, mean at |e| < 2 {theta[middle].mean():.4f}; DOSh up to "
        f"{dos.max():.2f}; P odd to {odd:.0e}, Theta even to {even:.0e}; beyond |e| = 3.5 are {outside[0]:.0%} of "
        f"DOSh and {outside[1]:.1%} of Theta"
    )
    assert odd < 1e-8 and even < 1e-8
means = [theta[np.abs(energies) < 2].mean() for _, theta, _ in spectra.values()]
print(f"mean transmission at |e| < 2 drops by a factor of {means[0] / means[1]:.1f}")
assert means[0] > 3 * means[1]

# %% [markdown]
# The drop comes from a gap of the local density of states on the magnetic layers (Appendix E and Sec. III A); the metal
# between them has states at the Fermi level all the same.

# %%
near = np.linspace(-0.5, 0.5, 11 if REDUCED else 201)
for j_sd in (2.0, 6.0):
    valve = sv.SpinValve.square(**SIZE, j_sd=j_sd, poles=sv.optimized_poles(10))
    local = np.asarray(sv.local_density_of_states(valve, sv.steady_state(valve, None).spins, near)).sum(-1).mean(0)
    on_layer = np.isin(np.arange(valve.lattice.n_sites), valve.lattice.spin_sites)
    means = local[on_layer].mean(), local[~on_layer].mean()
    print(f"J_sd = {j_sd:g}: LDOS at |e| < 0.5 is {means[0]:.3f} on the layers, {means[1]:.3f} between them")
