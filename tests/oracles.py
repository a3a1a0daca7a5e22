"""Slow, independent reference implementations in NumPy and SciPy; they know nothing of the package under test.

Conventions (derivations are in ``tests/README.md``): hbar = 1; row ``2*j + s`` is site j, spin s; rho_ab = <c_b^+ c_a>;
the spin density is s_j = Tr(rho_jj sigma)/2; a current is positive from the lead into the valve; "pi" with axes
(lead, pole, 2N, 2N) are the pole-resolved current matrices of Eq. (9) and with axes (lead, 2N, 2N) their sum, Eq. (8).
Equation numbers are those of Phys. Rev. B 106, 144435.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_continuous_lyapunov
from scipy.special import digamma, expit

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def dagger(matrix):
    """Hermitian conjugate of the last two axes."""
    return np.swapaxes(matrix, -1, -2).conj()


def per_lead(value, n_leads):
    """One float for each lead, from a number or a sequence."""
    return np.broadcast_to(np.asarray(value, float), (n_leads,))


# ---------------------------------------------------------------------------------------------------- lattice, Eq. (1)


def square_bonds(length, width):
    """Nearest neighbours (i, j), i < j, of the open square lattice with sites j = x*width + y."""
    along = [(x * width + y, (x + 1) * width + y) for x in range(length - 1) for y in range(width)]
    across = [(x * width + y, x * width + y + 1) for x in range(length) for y in range(width - 1)]
    return along + across


def hamiltonian(n_sites, bonds, hopping, mu_bar, j_sd, spin_sites, spins):
    """Dense H of Eq. (1): H_ij = -hopping * amplitude (H_ji its conjugate), mu_bar, (J_sd/2) sigma . S_j."""
    matrix = np.zeros((2 * n_sites, 2 * n_sites), complex)
    for i, j, *amplitude in bonds:
        value = -hopping * (amplitude[0] if amplitude else 1.0)
        for s in range(2):
            matrix[2 * i + s, 2 * j + s] += value
            matrix[2 * j + s, 2 * i + s] += np.conj(value)
    matrix += mu_bar * np.eye(2 * n_sites)
    for site, spin in zip(spin_sites, spins, strict=True):
        block = slice(2 * site, 2 * site + 2)
        matrix[block, block] += j_sd / 2 * np.einsum("a,aij->ij", spin, PAULI)
    return matrix


def gamma_matrices(n_sites, contacts, couplings):
    """Gamma_l, (leads, 2N, 2N): the coupling of lead l on the diagonal of its contact sites, zero elsewhere."""
    gammas = np.zeros((len(contacts), 2 * n_sites, 2 * n_sites))
    for lead, (sites, coupling) in enumerate(zip(contacts, per_lead(couplings, len(contacts)), strict=True)):
        for site in sites:
            gammas[lead, 2 * site, 2 * site] = gammas[lead, 2 * site + 1, 2 * site + 1] = coupling
    return gammas


def effective_hamiltonian(h, gammas):
    """H_eff = H - (i/2) sum_l Gamma_l."""
    return h - 0.5j * np.sum(gammas, axis=0)


def pade_poles(n):
    """(xi, eta) of f(x) = 1/2 - sum_p eta_p [1/(x - i xi_p) + 1/(x + i xi_p)], n Pade poles, xi ascending.

    The continued fraction of tanh(x/2), cut after 2n steps, is the (1, 1) element of a resolvent of a tridiagonal
    matrix: xi is the inverse of an eigenvalue b and eta = |first component|^2 / (4 b^2) (Ozaki 2007).
    """
    k = np.arange(1, 2 * n)
    off_diagonal = 0.5 / np.sqrt((2 * k - 1) * (2 * k + 1))
    b, vectors = np.linalg.eigh(np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1))
    b, first = b[: n - 1 : -1], vectors[0, : n - 1 : -1]
    return 1 / b, (first / b) ** 2 / 4


# -------------------------------------------------------------------------------------- textbook equations of motion


@dataclass(frozen=True)
class System:
    """Everything Eqs. (1)-(10) need. `layers` and `contacts` are lists of site lists; spins are ordered by layer."""

    n_sites: int
    bonds: list
    layers: list = ()
    contacts: list = ()
    hopping: float = 1.0
    mu_bar: float = 0.0
    j_sd: float = 1.0
    j_ex: float = -1.0
    anisotropy: tuple = ()
    easy_axes: tuple = ()
    field: tuple = (0.0, 0.0, 0.0)
    lead_coupling: float | tuple = 1.0
    temperature: float | tuple = 0.1
    poles: tuple = ((), ())

    @property
    def spin_sites(self):
        return [site for layer in self.layers for site in layer]

    @property
    def gammas(self):
        return gamma_matrices(self.n_sites, self.contacts, self.lead_coupling)

    @property
    def temperatures(self):
        return per_lead(self.temperature, len(self.contacts))

    def hamiltonian(self, spins):
        return hamiltonian(self.n_sites, self.bonds, self.hopping, self.mu_bar, self.j_sd, self.spin_sites, spins)

    def exchange_pairs(self):
        """Pairs of spin indices that share a bond and a layer, whatever the amplitude of the bond."""
        index = {site: k for k, site in enumerate(self.spin_sites)}
        return [(index[b[0]], index[b[1]]) for b in self.bonds if any(b[0] in x and b[1] in x for x in self.layers)]


class State(NamedTuple):
    rho: np.ndarray  # (2N, 2N)
    pi: np.ndarray  # (leads, poles, 2N, 2N), stored whole
    spins: np.ndarray  # (N_S, 3)


def site_spin_density(rho):
    """s_j = Tr(rho_jj sigma)/2 of every site, (N, 3)."""
    n_sites = len(rho) // 2
    blocks = [rho[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] for j in range(n_sites)]
    return np.array([[np.trace(block @ sigma).real / 2 for sigma in PAULI] for block in blocks])


def classical_energy(system, spins, density):
    """H_C of Eq. (2) at a fixed spin density of the spin sites, (N_S, 3)."""
    energy = system.j_ex * sum(spins[a] @ spins[b] for a, b in system.exchange_pairs())
    energy += system.j_sd * np.sum(density * spins) - np.sum(spins @ np.asarray(system.field))
    k = 0
    for layer, strength, axis in zip(system.layers, system.anisotropy, system.easy_axes, strict=True):
        for _ in layer:
            energy -= strength * (spins[k] @ np.asarray(axis)) ** 2
            k += 1
    return energy


def effective_field(system, spins, density):
    """B_j = -dH_C/dS_j of Eq. (2), (N_S, 3)."""
    result = np.tile(np.asarray(system.field, float), (len(spins), 1)) - system.j_sd * density
    for a, b in system.exchange_pairs():
        result[a] -= system.j_ex * spins[b]
        result[b] -= system.j_ex * spins[a]
    k = 0
    for layer, strength, axis in zip(system.layers, system.anisotropy, system.easy_axes, strict=True):
        for _ in layer:
            result[k] += 2 * strength * (spins[k] @ np.asarray(axis)) * np.asarray(axis)
            k += 1
    return result


def total_energy(system, rho, spins):
    """Tr(rho H) + H_C without its last term, which Tr(rho H) has already: conserved when there are no leads."""
    without_electrons = classical_energy(system, spins, np.zeros_like(spins))
    return np.trace(rho @ system.hamiltonian(spins)).real + without_electrons


def current_matrices(system, state):
    """Pi_l = (1 - 2 rho) Gamma_l / 4 + sum_p Pi_lp, (leads, 2N, 2N), Eq. (8)."""
    unity = np.eye(2 * system.n_sites)
    return (unity - 2 * state.rho) @ system.gammas / 4 + state.pi.sum(axis=1)


def time_derivative(system, state, mu, frozen=False):
    """Eqs. (3), (4), (8), (9), (10) as printed; mu is one number per lead; `frozen` holds the spins."""
    rho, pi, spins = state
    h, gammas, (xi, eta) = system.hamiltonian(spins), system.gammas, np.asarray(system.poles)
    unity, h_eff = np.eye(2 * system.n_sites), effective_hamiltonian(h, gammas)
    d_rho = -1j * (h @ rho - rho @ h)
    for total in current_matrices(system, state):
        d_rho = d_rho + total + dagger(total)
    d_pi = np.zeros_like(pi)
    for lead, temperature in enumerate(system.temperatures):
        for p in range(len(xi)):
            chi = mu[lead] + 1j * xi[p] * temperature
            d_pi[lead, p] = -1j * eta[p] * temperature * gammas[lead] - 1j * (h_eff - chi * unity) @ pi[lead, p]
    field = effective_field(system, spins, site_spin_density(rho)[system.spin_sites])
    return State(d_rho, d_pi, np.zeros_like(spins) if frozen else np.cross(spins, field))


def rk38_step(rhs, t, state, dt):
    """One step of Kutta's 3/8 rule for a State; rhs(t, state) -> State."""

    def at(*weights_and_slopes):
        return State(*(x + dt * sum(w * k[i] for w, k in weights_and_slopes) for i, x in enumerate(state)))

    k1 = rhs(t, state)
    k2 = rhs(t + dt / 3, at((1 / 3, k1)))
    k3 = rhs(t + 2 * dt / 3, at((-1 / 3, k1), (1, k2)))
    k4 = rhs(t + dt, at((1, k1), (-1, k2), (1, k3)))
    return at((1 / 8, k1), (3 / 8, k2), (3 / 8, k3), (1 / 8, k4))


def evolve(system, state, mu, dt, steps, frozen=False):
    """`steps` steps from t = 0, with mu(t) -> one chemical potential per lead."""
    for n in range(steps):
        state = rk38_step(lambda t, y: time_derivative(system, y, mu(t), frozen), n * dt, state, dt)
    return state


# ------------------------------------------------------------------------- electrons at frozen spins, with a pole list


def pole_currents(h, gammas, mus, temperatures, xi, eta):
    """Fixed point of Eq. (9): Pi_lp = -eta_p T_l (H_eff - chi_lp)^-1 Gamma_l, (leads, poles, 2N, 2N)."""
    h_eff, unity = effective_hamiltonian(h, gammas), np.eye(len(h))
    return np.array(
        [
            [-e * t * np.linalg.solve(h_eff - (mu + 1j * x * t) * unity, gamma) for x, e in zip(xi, eta, strict=True)]
            for gamma, mu, t in zip(gammas, mus, temperatures, strict=True)
        ]
    )


def stationary(h, gammas, mus, temperatures, xi, eta):
    """(rho, pi) with d rho/dt = d Pi/dt = 0: Pi in closed form, rho from a Lyapunov equation (Schur form)."""
    pi = pole_currents(h, gammas, mus, temperatures, xi, eta)
    total = pi.sum(axis=(0, 1))
    source = np.sum(gammas, axis=0) / 2 + total + dagger(total)
    return solve_continuous_lyapunov(-1j * effective_hamiltonian(h, gammas), -source), pi


def isolated_rho(h, temperature=None):
    """Levels of H filled up to 0, zero modes by half; or thermally."""
    energies, vectors = np.linalg.eigh(h)
    if temperature is None:
        scale = np.finfo(float).eps * len(h) * np.abs(energies).max()
        occupation = np.where(np.abs(energies) <= 10 * scale, 0.5, energies < 0)
    else:
        occupation = expit(-energies / temperature)
    return (vectors * occupation) @ dagger(vectors)


def pole_step(h, gammas, mus, temperatures, xi, eta, shifts, time):
    """(rho, pi) at `time` after mu_l -> mu_l + shift_l at t = 0, from the stationary state; exact for the pole list.

    The equations are linear at frozen spins. In the eigenbasis of H_eff, with D = Pi(0) - Pi(infinity),
    Pi(t) = Pi(inf) + exp[-i (w_a - chi) t] D  and
    rho(t) = rho(inf) + exp[-i (w_a - w_b*) t] [rho(0) - rho(inf)] + sum (F + F^+),
    F_ab = D_ab (exp[-i (w_a - chi) t] - exp[-i (w_a - w_b*) t]) / (i (chi - w_b*)).
    """
    w, right, left = eigenbasis(h, gammas)
    new_mus = np.asarray(mus) + np.asarray(shifts)
    (rho_old, pi_old), (rho_new, pi_new) = (stationary(h, gammas, m, temperatures, xi, eta) for m in (mus, new_mus))
    beat = np.exp(-1j * time * (w[:, None] - w.conj()))
    rho = beat * (left @ (rho_old - rho_new) @ dagger(left))
    pi = np.array(pi_new)
    for lead, temperature in enumerate(temperatures):
        for p, x in enumerate(xi):
            chi = new_mus[lead] + 1j * x * temperature
            kick = left @ (pi_old - pi_new)[lead, p] @ dagger(left)
            decay = np.exp(-1j * time * (w - chi))[:, None]
            forced = kick * (decay - beat) / (1j * (chi - w.conj()))
            rho += forced + dagger(forced)
            pi[lead, p] += right @ (decay * kick) @ dagger(right)
    return rho_new + right @ rho @ dagger(right), pi


# ------------------------------------------------------------------------- electrons with the exact Fermi function


def eigenbasis(h, gammas):
    """(w, R, R^-1) with H_eff = R diag(w) R^-1; Im w < 0. Useless at an exceptional point."""
    w, right = np.linalg.eig(effective_hamiltonian(h, gammas))
    return w, right, np.linalg.inv(right)


def log_derivative(w, mu, temperature):
    """psi(1/2 + i (w - mu)/(2 pi T)) - i pi/2 = the integral of f(e)/(e - w), Im w < 0, up to a real constant."""
    return digamma(0.5 + 1j * (w - mu) / (2 * np.pi * temperature)) - 0.5j * np.pi


def exact_rho(h, gammas, mus, temperatures):
    """rho = sum_l int de/2pi f_l G^R Gamma_l G^A for the exact Fermi function, in digamma functions.

    With g_a = psi(1/2 + i (w_a - mu)/(2 pi T)) - i pi/2 in the eigenbasis R of H_eff (eigenvalues w),
    (R^-1 rho R^-H)_ab = sum_l (R^-1 Gamma_l R^-H)_ab (g_a - g_b*) / [2 pi (w_a - w_b*)].
    """
    w, right, left = eigenbasis(h, gammas)
    rho = np.zeros_like(right)
    for gamma, mu, temperature in zip(gammas, mus, temperatures, strict=True):
        g = log_derivative(w, mu, temperature)
        rho += (left @ gamma @ dagger(left)) * (g[:, None] - g.conj()) / (2 * np.pi * (w[:, None] - w.conj()))
    return right @ rho @ dagger(right)


def exact_current_matrices(h, gammas, mus, temperatures):
    """Pi_l = (i/2pi) R diag(g) R^-1 Gamma_l - rho Gamma_l/2, (leads, 2N, 2N), for the exact Fermi function.

    A wide band leaves Pi_l undefined by an imaginary multiple of Gamma_l, which enters no current and no d rho/dt.
    """
    w, right, left = eigenbasis(h, gammas)
    rho = exact_rho(h, gammas, mus, temperatures)
    sources = [(right * log_derivative(w, m, t)) @ left for m, t in zip(mus, temperatures, strict=True)]
    return np.array([1j / (2 * np.pi) * x @ g - rho @ g / 2 for x, g in zip(sources, gammas, strict=True)])


def lead_currents(totals):
    """(charge (leads,), spin (leads, 3)) of Eqs. (11), (12) from the Pi_l of Eq. (8), positive into the valve.

    The charge current is half of the particle current: d<N>/dt = 2 sum_l charge_l.
    """
    n_sites = totals.shape[-1] // 2
    charge = np.trace(totals, axis1=1, axis2=2).real
    spin = [[np.trace(np.kron(np.eye(n_sites), sigma) @ total).real for sigma in PAULI] for total in totals]
    return charge, np.array(spin).reshape(-1, 3)


def exact_lead_currents(h, gammas, mus, temperatures):
    """(charge, spin) of Eqs. (11), (12) for the exact Fermi function, in digamma functions."""
    return lead_currents(exact_current_matrices(h, gammas, mus, temperatures))


def bond_currents(h, rho, pairs):
    """(charge, spin (3,)) of Eqs. (13), (14) summed over the site pairs (j, j'), positive from j to j'."""
    charge, spin = 0.0, np.zeros(3)
    for j, k in pairs:
        one, two = slice(2 * j, 2 * j + 2), slice(2 * k, 2 * k + 2)
        flow = 0.5j * (h[one, two] @ rho[two, one] - rho[one, two] @ h[two, one])
        charge += np.trace(flow).real
        spin += np.array([np.trace(sigma @ flow).real for sigma in PAULI])
    return charge, spin


# ------------------------------------------------------------------------------------------------- energy quadrature


def graded_nodes(singularities, low, high, longest=np.inf, order=16):
    """Gauss-Legendre nodes and weights on [low, high], the panels growing threefold away from each singularity."""
    edges = [[low, high]]
    if np.isfinite(longest):
        edges.append(np.linspace(low, high, int(np.ceil((high - low) / longest)) + 1))
    for z in np.atleast_1d(singularities):
        smallest = max(abs(z.imag), 1e-13) / 2
        steps = smallest * 3.0 ** np.arange(int(np.ceil(np.log((high - low) / smallest) / np.log(3))) + 1)
        edges.append(np.concatenate([z.real - steps, z.real + steps]))
    edges = np.unique(np.clip(np.concatenate(edges), low, high))
    x, weight = np.polynomial.legendre.leggauss(order)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + x)).ravel(), (half * weight).ravel()


def occupied_contour(levels, mu, temperature, time=0.0):
    """Nodes z and weights (times f) of int de f(e) F(e), for F analytic but for poles at `levels` and their conjugates.

    The real axis down to an energy below all levels where f = 1 to rounding, then straight up into the complex
    plane, where exp(i e time) decays and an integrand like e^-2 needs few nodes.
    """
    high, low = mu + 40 * temperature, min(np.min(np.real(levels)), mu) - 10 - 40 * temperature
    edge = mu + 1j * np.pi * temperature
    x, weight = graded_nodes(np.append(levels, edge), low, high, longest=6 / time if time > 0 else np.inf)
    start = min(4, 4 / time) if time > 0 else 4
    s, tail_weight = graded_nodes(np.array([0.5j * start]), 0.0, start * 2.0**55)
    return np.append(x, low + 1j * s), np.append(weight * expit((mu - x) / temperature), -1j * tail_weight)


def exact_rho_by_quadrature(h, gammas, mus, temperatures):
    """The integral of `exact_rho` done numerically with dense Green functions: no eigenvectors, no digamma."""
    h_eff, unity = effective_hamiltonian(h, gammas), np.eye(len(h))
    rho = np.zeros_like(h_eff)
    for gamma, mu, temperature in zip(gammas, mus, temperatures, strict=True):
        z, weight = occupied_contour(np.linalg.eigvals(h_eff), mu, temperature)
        for part in np.array_split(np.arange(len(z)), 1 + len(z) // 1000):
            energy = z[part, None, None] * unity
            rho += np.einsum(
                "e,eij->ij",
                weight[part] / (2 * np.pi),
                np.linalg.inv(energy - h_eff) @ gamma @ np.linalg.inv(energy - dagger(h_eff)),
            )
    return rho


def keldysh_step(h, gammas, mus, temperatures, shifts, time):
    """(rho, Pi_l) for the exact Fermi function at `time` after mu_l -> mu_l + shift_l at t = 0, at frozen spins.

    Before the step the electrons are stationary; the step moves the whole band of lead l with its occupation.
    rho(t) = sum_l int de/2pi f(e - mu_l) A_l Gamma_l A_l^+ and Pi_l = i int de/2pi f A_l Gamma_l - rho Gamma_l/2, where
    i dA_l/dt = (H_eff - e - shift_l) A_l + 1, A_l(0) = G^R(e). With z = e + shift_l and eigenvalues w of H_eff
    A = B + exp(i z t) C,   B = 1/(z - w),   C = exp(-i w t) shift / [(z - w) (z - shift - w)].
    Pi_l is undefined by an imaginary multiple of Gamma_l (see `exact_current_matrices`).
    """
    w, right, left = eigenbasis(h, gammas)
    fading = np.exp(-1j * w * time)
    rho, sources = np.zeros_like(right), []
    for gamma, mu, temperature, shift in zip(gammas, mus, temperatures, shifts, strict=True):
        z, weight = occupied_contour(np.append(w, w + shift), mu + shift, temperature, time)
        wave = np.exp(1j * z * time)
        b, b_adjoint = 1 / (z - w[:, None]), 1 / (z - w.conj()[:, None])
        c, c_adjoint = shift * b / (z - shift - w[:, None]), shift * b_adjoint / (z - shift - w.conj()[:, None])
        cross = fading[:, None] * ((weight * wave * c) @ b_adjoint.T)
        both = np.outer(fading, fading.conj()) * ((weight * c) @ c_adjoint.T)
        kernel = (weight * b) @ b_adjoint.T + cross + dagger(cross) + both
        rho += (left @ gamma @ dagger(left)) * kernel / (2 * np.pi)
        reference = 1 / (z - (mu + shift - 1j))  # its integral, i int de/2pi f / (e - mu + i), has the real part 1/4
        amplitude = 0.25 + 1j / (2 * np.pi) * ((b - reference) @ weight + fading * (c @ (weight * wave)))
        sources.append((right * amplitude) @ left @ gamma)
    rho = right @ rho @ dagger(right)
    return rho, np.array([x - rho @ gamma / 2 for x, gamma in zip(sources, gammas, strict=True)])


# ------------------------------------------------------------------------------------------------ Landauer-Buttiker


def retarded(h, gammas, energies):
    """G^R(e) = (e - H_eff)^-1 for each energy, (energies, 2N, 2N)."""
    h_eff = effective_hamiltonian(h, gammas)
    return np.linalg.inv(np.asarray(energies)[:, None, None] * np.eye(len(h)) - h_eff)


def transmission(h, gammas, energies, left=0, right=1):
    """Theta = Tr(Gamma_l G^R Gamma_r G^A), Eq. (16), (energies,)."""
    g = retarded(h, gammas, energies)
    return np.trace(gammas[left] @ g @ gammas[right] @ dagger(g), axis1=1, axis2=2).real


def spin_polarization(h, gammas, energies, left=0, right=1):
    """P = Tr(Gamma_l G^R Gamma_r sigma_z G^A), Eq. (17), (energies,): not divided by Theta."""
    g, sigma_z = retarded(h, gammas, energies), np.kron(np.eye(len(h) // 2), PAULI[2])
    return np.trace(gammas[left] @ g @ gammas[right] @ sigma_z @ dagger(g), axis1=1, axis2=2).real


def density_of_states(h, gammas, energies):
    """DOSh = i Tr(G^R - G^A)/(2 pi N), Eq. (18), (energies,): its integral is 2, one state per spin and site."""
    g = retarded(h, gammas, energies)
    return (1j * np.trace(g - dagger(g), axis1=1, axis2=2)).real / (np.pi * len(h))


def landauer_currents(h, gammas, mus, temperatures):
    """(charge, spin) as in `lead_currents`: int de/4pi sum_m Tr(sigma_a Gamma_l G^R Gamma_m G^A) (f_l - f_m)."""
    w, right, left = eigenbasis(h, gammas)
    mus, temperatures = np.asarray(mus, float), np.asarray(temperatures, float)
    singularities = np.append(w, mus + 1j * np.pi * temperatures)
    energies, weight = graded_nodes(singularities, np.min(mus - 40 * temperatures), np.max(mus + 40 * temperatures))
    fermi = expit((mus[:, None] - energies) / temperatures[:, None])
    b = 1 / (energies - w[:, None])
    flows = np.zeros((len(mus), *h.shape), complex)
    for flow, gamma, here in zip(flows, gammas, fermi, strict=True):
        for other, there in zip(gammas, fermi, strict=True):
            kernel = (weight * (here - there) * b) @ dagger(b) / (4 * np.pi)
            flow += gamma @ right @ ((left @ other @ dagger(left)) * kernel) @ dagger(right)
    return lead_currents(flows)
