"""Lattices, lists of bonds, and valves from what others have built; and that nonsense is refused by name."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from systems import random_spins

import svjax as sv

NO_SPINS = np.zeros((0, 3))
HAMILTONIAN = jax.jit(sv.hamiltonian)
build = sv.SpinValve


def levels(valve):
    """The levels of H without spins, one for each site (their spins degenerate)."""
    return np.linalg.eigvalsh(HAMILTONIAN(valve, NO_SPINS))[::2]


def open_chain(n):
    return 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))


def test_the_cubic_bar_has_the_levels_of_three_chains():
    valve = build.cubic(3, 2, 4, 0, 0, j_sd=0.0, hopping=0.7)
    grid = open_chain(3)[:, None, None] + open_chain(2)[:, None] + open_chain(4)
    assert np.allclose(levels(valve), np.sort(-0.7 * grid.ravel()), atol=1e-12)
    assert valve.lattice.monolayers[1] == tuple(range(8, 16))


@pytest.mark.parametrize(("name", "inside"), [("square", 4), ("honeycomb", 3), ("triangular", 6)])
def test_sites_inside_have_the_neighbours_of_their_lattice_one_bond_away(name, inside):
    valve = getattr(build, name)(6, 5, 1, 2, buffer=1, j_sd=1.0)
    lattice = valve.lattice
    places = np.array(lattice.positions)
    i, j = lattice.bond_array.T
    assert np.allclose(np.linalg.norm(places[i] - places[j], axis=1), 1, atol=1e-12)
    degree = np.bincount(lattice.bond_array.ravel(), minlength=30).reshape(6, 5)
    assert np.all(degree[1:-1, 1:-1] == inside)
    assert lattice.layers == (tuple(range(5, 10)), tuple(range(15, 25)))
    assert lattice.contacts == (tuple(range(5)), tuple(range(25, 30)))


def test_a_honeycomb_has_the_two_interpenetrating_lattices_of_graphene():
    """Both sublattices see the six second neighbours of a triangular lattice: (H^2)_ii = 3, H^2_ij = 1 inside."""
    valve = build.honeycomb(7, 6, 0, 0, j_sd=0.0)
    h = np.array(HAMILTONIAN(valve, NO_SPINS))[::2, ::2].real
    second = (h @ h).round(12).reshape(7, 6, 7, 6)[3, 2]
    assert second[3, 2] == 3
    assert np.sum(second == 1) == 6
    assert np.isclose(np.abs(levels(valve)).max(), 3, atol=0.35)


def test_the_ring_has_the_levels_of_its_flux():
    flux = 0.7
    found = levels(build.ring(7, flux=flux, hopping=1.3, mu_bar=0.1))
    assert np.allclose(found, np.sort(0.1 - 2.6 * np.cos((2 * np.pi * np.arange(7) + flux) / 7)), atol=1e-12)


def test_a_magnetic_field_on_a_square_lattice_is_its_flux_through_every_cell():
    """The phases around a unit cell of the strip, wherever it is, add up to the flux."""
    valve = build.square(4, 3, 0, 0, j_sd=0.0, anisotropy=0.0, flux=0.4)
    h = np.array(HAMILTONIAN(valve, NO_SPINS))[::2, ::2]
    for x in range(3):
        for y in range(2):
            a, b, c, d = 3 * x + y, 3 * x + 3 + y, 3 * x + 4 + y, 3 * x + y + 1
            assert np.isclose(h[a, b] * h[b, c] * h[c, d] * h[d, a], np.exp(0.4j), atol=1e-12)


def test_a_list_of_bonds_changes_the_amplitudes_that_it_names_and_adds_the_rest():
    matrix = np.array([[1.0, 0.2j], [0.3, 0.5]])
    valve = build.chain(1, 2, 1, j_sd=0.0, hopping=2.0, bonds=[(2, 1, matrix), (0, 3, 0.5j)], spin_bonds=[(0, 3, 0.7)])
    assert valve.lattice.bonds == ((0, 1), (1, 2), (2, 3), (0, 3))
    h = np.array(HAMILTONIAN(valve, np.eye(3)[[0, 2]])).reshape(4, 2, 4, 2).swapaxes(1, 2)
    assert np.allclose(h[2, 1], -2 * matrix, atol=1e-14)
    assert np.allclose(h[1, 2], -2 * matrix.conj().T, atol=1e-14)
    assert np.allclose(h[0, 3], -1j * np.eye(2), atol=1e-14)
    assert np.allclose(h[0, 1], -2 * np.eye(2), atol=1e-14)
    assert np.allclose(valve.spin_bonds, [0.7])
    assert build.chain(1, 2, 1, j_sd=0.0, bonds=np.array([1.0, 2j, 1.0])).bonds[1] == 2j


def test_a_listed_amplitude_can_be_differentiated():
    level = lambda a: jnp.linalg.eigvalsh(HAMILTONIAN(build.chain(0, 3, 0, j_sd=0.0, bonds=[(0, 1, a)]), NO_SPINS))[0]
    assert np.isclose(jax.grad(level)(0.8), -0.8 / np.sqrt(1 + 0.8**2), atol=1e-12)


def test_a_hamiltonian_comes_back():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8))
    a = a + a.conj().T
    spins = random_spins(rng, 1)
    valve = sv.from_hamiltonian(sp.csr_array(a), [[2]], [[1], [5, 7]], hopping=0.7, j_sd=0.0)
    assert np.allclose(HAMILTONIAN(valve, spins), np.kron(a, np.eye(2)), atol=1e-14)
    for j in range(4):
        a[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] = (0.3 * j - 0.2) * np.eye(2)
    a[0:2, 6:8] = a[6:8, 0:2] = 0
    valve = sv.from_hamiltonian(a, spinful=True)
    assert np.allclose(HAMILTONIAN(valve, NO_SPINS), a, atol=1e-14)
    assert len(valve.lattice.bonds) == 5
    for wrong, message in {
        (0, 1): "equal levels of both spins, but not on site 0",
        (0, 2): "finite and Hermitian",
    }.items():
        with pytest.raises(ValueError, match=f"`hamiltonian` must .*{message}"):
            sv.from_hamiltonian(
                a + 0.1 * _single(*wrong) + (0.1 * _single(*wrong).T if wrong == (0, 1) else 0), spinful=True
            )


def _single(i, j):
    matrix = np.zeros((8, 8))
    matrix[i, j] = 1
    return matrix


def test_a_graph_becomes_a_valve():
    nx = pytest.importorskip("networkx", reason="networkx is not installed")
    graph = nx.DiGraph()
    graph.add_node("a", pos=(0, 0))
    graph.add_node("b", pos=(1, 0))
    graph.add_edge("b", "a", weight=0.5j)
    valve = sv.from_hamiltonian(graph, hopping=2.0, rashba=0.1)
    assert valve.lattice.bonds == ((1, 0),)
    assert np.isclose(HAMILTONIAN(valve, NO_SPINS)[2, 0], -1j)
    assert levels(sv.from_hamiltonian(nx.cycle_graph(5)))[0] == pytest.approx(-2)
    with pytest.raises(ValueError, match="`hamiltonian` must be a directed graph"):
        sv.from_hamiltonian(graph.to_undirected())


LATTICE = """
[[sites]]
position = [0, 0]
level = 0.3
[[sites]]
position = [1, 0]
[[sites]]
position = [1, 1]
[[bonds]]
sites = [0, 1]
amplitude = [["0.5+1j", 0], [0.2, 1]]
[[bonds]]
sites = [2, 1]
[[layers]]
sites = [0, 1]
[[leads]]
sites = [2]
[[spin_bonds]]
sites = [0, 1]
exchange = -1
dmi = [0.1, 0.2, 0.3]
"""


def test_a_lattice_file_is_a_geometry_without_python(tmp_path):
    path = tmp_path / "lattice.toml"
    path.write_text(LATTICE)
    valve = sv.load_lattice(path, j_sd=1.5, poles=sv.pade_poles(3))
    matrix = np.array([[0.5 + 1j, 0], [0.2, 1]])
    spins = random_spins(np.random.default_rng(1), 2)
    exchange = -np.eye(3) + np.array([[0, 0.3, -0.2], [-0.3, 0, 0.1], [0.2, -0.1, 0]])
    built = build.from_bonds(
        3, [(0, 1, matrix), (2, 1)], [[0, 1]], [[2]], spin_bonds=[(0, 1, exchange)], mu_bar=[0.3, 0, 0],
        positions=[(0, 0), (1, 0), (1, 1)], j_sd=1.5, poles=sv.pade_poles(3),
    )  # fmt: skip
    assert valve == built
    vector = np.array([0.1, 0.2, 0.3]) @ np.cross(spins[0], spins[1])
    assert np.isclose(spins[0] @ valve.spin_bonds[0] @ spins[1], vector - spins[0] @ spins[1], atol=1e-14)
    wrong = {
        "[[sites]]": "[[places]]",
        "level": "levels",
        "sites = [2, 1]": "site = [2, 1]",
        '"0.5+1j"': '"half"',
        "sites = [2]": "sites = [7]",
        "[[leads]]": "[leads]",
        "= -1": "= ",
    }
    for old, new in wrong.items():
        path.write_text(LATTICE.replace(old, new))
        with pytest.raises(ValueError, match=r"^Lattice file .*lattice.toml: "):
            sv.load_lattice(path, j_sd=1.0)


def test_disorder_moves_every_level_within_its_width():
    valve = build.square(30, 10, 0, 0, j_sd=0.0, anisotropy=0.0, mu_bar=0.4)
    rough = sv.disorder(valve, jax.random.key(1), 1.5)
    moved = np.array(rough.mu_bar) - 0.4
    assert moved.shape == (300,)
    assert np.all(np.abs(moved) <= 0.75)
    assert abs(moved.mean()) < 4 * 1.5 / np.sqrt(12 * 300)
    assert np.isclose(moved.std(), 1.5 / np.sqrt(12), rtol=0.1)
    assert rough == sv.disorder(valve, jax.random.key(1), 1.5)
    assert jax.grad(lambda w: sv.disorder(valve, jax.random.key(1), w).mu_bar[3])(1.5) == pytest.approx(moved[3] / 1.5)


def test_every_builder_has_all_parameters_as_keywords():
    for name in ("square", "chain", "honeycomb", "triangular", "cubic", "ring", "from_bonds"):
        keywords = inspect.signature(getattr(build, name)).parameters
        assert {"rashba", "flux", "bonds", "spin_bonds", "damping", "lead_polarization"} <= set(keywords)


PLAIN = dict(j_sd=1.0)
STRIP = lambda **given: build.square(4, 1, 1, 1, **PLAIN | given)
CHAIN = lambda **given: build.chain(1, 2, 1, **PLAIN | given)
REFUSED = {
    "length": lambda: build.square(4.0, 1, 1, 1, j_sd=1.0),
    "width": lambda: build.square(4, True, 1, 1, j_sd=1.0),
    "pinned": lambda: build.honeycomb(4, 1, "1", 1, j_sd=1.0),
    "spacer": lambda: build.chain(1, 2.0, 1, j_sd=1.0),
    "free": lambda: build.chain(1, 2, -1, j_sd=1.0),
    "height": lambda: build.cubic(4, 1, None, j_sd=1.0),
    "n_sites": lambda: build.ring(2),
    "leads": lambda: CHAIN(leads="no"),
    "layers": lambda: build.from_bonds(4, [(0, 1)], layers=[[0.7, 1.2]]),
    "layers ": lambda: build.from_bonds(4, [(0, 1)], layers=["01"]),
    "layers  ": lambda: build.from_bonds(4, [(0, 1)], layers=([j] for j in (0, 1))),
    "layers   ": lambda: build.from_bonds(4, [(0, 1)], layers=[{0, 1}]),
    "contacts": lambda: build.from_bonds(4, [(0, 1)], contacts=[0, 3]),
    "contacts ": lambda: build.from_bonds(4, [(0, 1)], contacts=[[True]]),
    "monolayers": lambda: build.from_bonds(3, [(0, 1)], monolayers=[[0, 1], [1, 2]]),
    "positions": lambda: build.from_bonds(2, [(0, 1)], positions=[(0, 0)]),
    "positions ": lambda: build.from_bonds(2, [(0, 1)], positions=[(0, 0), (0, 0)], rashba=0.1),
    "windings": lambda: build.from_bonds(2, [(0, 1)], windings=[0.1, 0.2]),
    "windings ": lambda: build.from_bonds(2, [(0, 1)], windings=[np.nan]),
    "bonds": lambda: build.from_bonds(4, [(0.4, 1.6)]),
    "bonds ": lambda: build.from_bonds(4, ((j, j + 1) for j in range(3))),
    "bonds  ": lambda: build.from_bonds(4, [(0, 1, "1")]),
    "bonds   ": lambda: build.from_bonds(4, [(0, 1, np.eye(3))]),
    "bonds    ": lambda: build.from_bonds(4, [(0, 1, np.nan)]),
    "bonds     ": lambda: CHAIN(bonds=[(0, 1, 2.0), (1, 0, 2.0)]),
    "bonds      ": lambda: CHAIN(bonds=[1.0, 2.0]),
    "spin_bonds": lambda: CHAIN(spin_bonds=[(0, 3)]),
    "spin_bonds ": lambda: CHAIN(spin_bonds=[(0, 1, 1.0)]),
    "spin_bonds  ": lambda: CHAIN(spin_bonds=[(0, 3, 1j)]),
    "hopping": lambda: STRIP(hopping=1 + 0.1j),
    "hopping ": lambda: STRIP(hopping=True),
    "j_sd": lambda: STRIP(j_sd=1 + 2j),
    "j_sd ": lambda: STRIP(j_sd="2"),
    "j_sd  ": lambda: STRIP(j_sd=np.ma.array([1.0, 2.0], mask=[True, False])),
    "j_sd   ": lambda: STRIP(j_sd=[1.0, 2.0, 3.0]),
    "mu_bar": lambda: STRIP(mu_bar=-0.1j),
    "mu_bar ": lambda: STRIP(mu_bar=[0.1, 0.2]),
    "field": lambda: STRIP(field=0.1),
    "easy_axes": lambda: STRIP(easy_axes=(0, 0, np.inf)),
    "easy_axes ": lambda: STRIP(easy_axes=(0, 1)),
    "damping": lambda: STRIP(damping=-0.1),
    "lead_polarization": lambda: STRIP(lead_polarization=(0, 0.8, 0.8)),
    "lead_coupling": lambda: STRIP(lead_coupling={1.0, 0.5}),
    "temperature": lambda: STRIP(temperature=[0.1, 0.0]),
    "poles": lambda: STRIP(poles=8),
    "poles ": lambda: STRIP(poles=(sv.pade_poles(3),)),
    "dtype": lambda: STRIP(dtype="complex128"),
    "dtype ": lambda: STRIP(dtype="half"),
    "flux": lambda: build.from_bonds(2, [(0, 1)], flux=0.1),
    "rashba": lambda: build.from_bonds(2, [(0, 1)], rashba=0.1),
    "width ": lambda: sv.disorder(STRIP(), jax.random.key(0), -1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"Argument `{name.strip()}` "):
        REFUSED[name]()


def test_messages_say_how_to():
    with pytest.raises(ValueError, match=r"`poles` must be an expansion such as `svjax.optimized_poles\(8\)`"):
        STRIP(poles=8)
    with pytest.raises(TypeError, match=r"square\(\) has no argument `temprature`; the nearest is `temperature`"):
        STRIP(temprature=0.1)


def test_a_layer_that_is_not_there_takes_its_default_anisotropy_with_it():
    for layers, kept in {(1, 1): [0.4, 0.02], (1, 0): [0.4], (0, 1): [0.02], (0, 0): []}.items():
        assert np.allclose(build.square(4, 1, *layers, j_sd=1.0).anisotropy, kept)
    with pytest.raises(ValueError, match="Argument `anisotropy` must have"):
        build.square(4, 1, 0, 1, j_sd=1.0, anisotropy=(0.4, 0.03))


def test_numbers_of_all_types_make_the_same_valve():
    valve = build.square(4, 1, 1, 1, j_sd=1.0, temperature=0.5, easy_axes=((2, 0, 0), (0, 0, 3)))
    others = dict(j_sd=np.int8(1), temperature=[np.float32(0.5), jnp.asarray(0.5)], easy_axes=np.eye(3)[[0, 2]])
    assert build.square(np.int64(4), jnp.asarray(1), 1, 1, **others) == valve


def test_a_lattice_with_places_can_be_built_inside_a_compiled_function():
    build = lambda flux: sv.SpinValve.ring(5, flux=flux, rashba=0.2).flux
    assert float(jax.jit(build)(0.3)) == 0.3
