"""Where runs start: spins drawn at random, from a temperature, from files and from other runs; ensembles of seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_valve
from scipy.integrate import quad

import svjax as sv
from svjax.cli.main import main

FEW = ["--length", "4", "--width", "1", "--pinned", "1", "--free", "1", "--poles", "8", "--anisotropy", "0.4", "0.02"]
RUN = [*FEW, "--relax", "0", "--duration", "2", "--dt", "0.1"]


def free_spins(count, **parameters):
    """Spins that see no electrons but each other: a chain of one layer without contacts."""
    bonds = [(k, k + 1) for k in range(count - 1)]
    none = {"j_sd": 0.0, "j_ex": 0.0, "anisotropy": 0.0, "poles": sv.pade_poles(1)}
    return sv.SpinValve.from_bonds(count, bonds, layers=[range(count)], contacts=[], **none | parameters)


def many(valve, count=400, **more):
    keys = jax.random.split(jax.random.key(3), count)
    return np.asarray(jax.vmap(lambda key: sv.thermal_spins(valve, key, **more))(keys))


def mean_is(values, exact):
    """Whether the mean of independent ``values`` is ``exact`` to within five of its standard errors, not large ones."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return error < 0.06 and abs(np.mean(values) - exact) < 5 * error


def test_random_spins_point_anywhere():
    spins = np.asarray(sv.random_spins(free_spins(4000), jax.random.key(1)))
    np.testing.assert_allclose(np.linalg.norm(spins, axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(spins.mean(0), 0, atol=5 / np.sqrt(3 * 4000))
    np.testing.assert_allclose(spins.T @ spins / 4000, np.eye(3) / 3, atol=5 * np.sqrt(4 / 45 / 4000))


def test_a_spin_in_a_field_follows_langevin():
    """<S.b> = coth x - 1/x, x = B/T_s, in a field that is along no axis."""
    field = np.array([0.3, -0.5, 0.2])
    for temperature in (0.2, 1.0):
        x = np.linalg.norm(field) / temperature
        valve = free_spins(1, field=field, spin_temperature=temperature)
        along = many(valve, sweeps=200)[:, 0] @ field / np.linalg.norm(field)
        assert mean_is(along, 1 / np.tanh(x) - 1 / x)


def test_a_spin_with_an_anisotropy_follows_boltzmann():
    valve = free_spins(1, anisotropy=0.5, easy_axes=np.array([[1.0, 2.0, -1.0]]) / np.sqrt(6))
    weight = lambda u: np.exp(0.5 * u**2 / 0.2)
    exact = quad(lambda u: u**2 * weight(u), -1, 1)[0] / quad(weight, -1, 1)[0]
    along = many(valve, temperature=0.2, sweeps=200)[:, 0] @ valve.easy_axes[0]
    assert mean_is(along**2, exact)


def test_coupled_spins_follow_boltzmann():
    """An open chain has <S_0.S_2> = L^2, L = coth x - 1/x with x = -J_ex/T_s, also where the coupling has no sign to
    its taste."""
    for j_ex in (-0.4, 0.3):
        x = -j_ex / 0.25
        spins = many(free_spins(3, j_ex=j_ex), temperature=0.25, sweeps=200)
        one = 1 / np.tanh(x) - 1 / x
        assert mean_is(np.sum(spins[:, 0] * spins[:, 1], 1), one)
        assert mean_is(np.sum(spins[:, 0] * spins[:, 2], 1), one**2)


def test_draws_depend_on_the_key_alone():
    valve = small_valve(spin_temperature=0.1)
    draw = lambda seed: np.asarray(sv.thermal_spins(valve, jax.random.key(seed), sweeps=5))
    assert np.array_equal(draw(1), draw(1)) and not np.allclose(draw(1), draw(2))
    for temperature in (0.0, -1.0, np.inf, [0.1, 0.2]):
        with pytest.raises(ValueError, match="`temperature` must be one positive number"):
            sv.thermal_spins(valve, jax.random.key(0), temperature)
    with pytest.raises(ValueError, match="`spin_temperature` must be one positive number"):
        sv.thermal_spins(small_valve(), jax.random.key(0))
    with pytest.raises(ValueError, match="`key`"):
        sv.random_spins(valve, None)


def test_spins_come_from_files(tmp_path):
    spins = np.array([[0.6, 0.0, -0.8], [0.0, 0.28, 0.96]])
    np.save(tmp_path / "a.npy", spins)
    (tmp_path / "b.csv").write_text("# x, y, z\n0.6, 0, -0.8  # the first\n\n0,0.28,0.9600004\n")
    np.savetxt(tmp_path / "c.dat", spins)
    for name in ("a.npy", "b.csv", "c.dat"):
        found = sv.load_spins(tmp_path / name)
        np.testing.assert_allclose(found, spins, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 0 0\n0 1", "must hold x, y, z of each spin"),
        ("1 0\n0 1", "must hold x, y, z of each spin"),
        ("", "must hold x, y, z of each spin"),
        ("a b c", "must hold x, y, z of each spin"),
        ("1 0 0\n1 1 0", "but spin 1 of .* has 1.41421"),
        ("nan 0 0", "but spin 0 of .* has nan"),
    ],
)
def test_files_without_spins_are_refused(tmp_path, text, why):
    (tmp_path / "spins.txt").write_text(text)
    with pytest.raises(ValueError, match=why):
        sv.load_spins(tmp_path / "spins.txt")
    np.save(tmp_path / "spins.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="must hold x, y, z"):
        sv.load_spins(tmp_path / "spins.npy")
    with pytest.raises(FileNotFoundError, match=r"`path` must be a file of spins or a run, but .* does not exist"):
        sv.load_spins(tmp_path / "nothing.txt")


def test_a_run_starts_where_another_ended(tmp_path, monkeypatch, capsys):
    """Electrons, currents of the leads and spins go on: two runs of half the time are one, to rounding."""
    monkeypatch.chdir(tmp_path)
    warm = ["--voltage", "0.5", "--save-every", "20", "--method", "rk38", "--dt", "0.025"]
    main(["run", *RUN, *warm, "--out", "first"])
    main(["run", *RUN, *warm, "--start", "first", "--out", "second", "--poles", "auto"])
    assert "differs" not in capsys.readouterr().err
    main(["run", *RUN, *warm, "--duration", "4", "--out", "whole"])
    second, whole = sv.open_run("second"), sv.open_run("whole")
    assert sv.load_valve(second).poles.xi.tolist() == sv.load_valve(whole).poles.xi.tolist()
    np.testing.assert_allclose(second["final_pi"], whole["final_pi"], atol=1e-12, rtol=0)
    np.testing.assert_allclose(second["magnetization"][-1], whole["magnetization"][-1], atol=1e-12, rtol=0)
    capsys.readouterr()
    main(["run", *RUN, *warm, "--j-sd", "3", "--field", "0", "0.1", "0", "--start", "first", "--out", "third"])
    assert "svjax: the valve differs from that of first in j_sd, field." in capsys.readouterr().err
    for words, why in (
        (["--start", "first", "--equilibrium", "first"], "exclude each other"),
        (["--start", "first", "--length", "5"], "must be a run on the same lattice"),
        (["--start", "first", "--poles", "9"], "`poles` must be those of first"),
        (["--start", "thermal"], "needs a seed"),
        (["--start", "thermal", "--seed", "1"], "`spin_temperature` must be one positive number"),
        (["--start", "random", "--seed=-1"], "whole number"),
        (["--start", "nowhere"], "nowhere"),
    ):
        assert main(["run", *RUN, *words, "--out", "fourth"]) == 2
        assert why in capsys.readouterr().err


def test_the_command_line_starts_from_files_and_seeds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spins.txt").write_text("0 0.6 0.8\n1 0 0\n")
    first = ["--duration", "0.5", "--observe", "spins"]
    main(["run", *RUN, *first, "--start", "spins.txt", "--out", "a"])
    np.testing.assert_allclose(sv.open_run("a")["spins"][0], [[0, 0.6, 0.8], [1, 0, 0]], atol=1e-15)
    for k, seed in enumerate(("5", "5", "6")):
        main(["run", *RUN, *first, "--start", "random", "--seed", seed, "--out", f"b{k}"])
    same, again, other = (sv.open_run(f"b{k}")["spins"].values for k in range(3))
    assert np.array_equal(same, again) and not np.allclose(same[0], other[0])


@pytest.mark.slow
def test_a_sweep_over_seeds_holds_the_runs_of_these_seeds(tmp_path, monkeypatch):
    """Start, stage 1 and noise of a point are those of a run with its seed."""
    monkeypatch.chdir(tmp_path)
    warm = ["--damping", "0.1", "--spin-temperature", "0.05", "--method", "rk38", "--dt", "0.025", "--save-every", "20"]
    relaxed = [*FEW, *warm, "--relax", "1", "--duration", "2", "--observe", "spins", "--start", "thermal"]
    assert main(["sweep", *relaxed, "--seed", "3:5:3", "--voltage", "0,1", "--out", "sweep"]) == 0
    found = sv.open_sweep("sweep")
    assert found["spins"].dims == ("voltage", "seed", "time", "spin", "component")
    for seed in (3, 5):
        main(["run", *relaxed, "--seed", str(seed), "--voltage", "1", "--out", f"run{seed}"])
        run = sv.open_run(f"run{seed}")
        own = found["spins"].sel(voltage=1, seed=seed)
        np.testing.assert_allclose(own, run["spins"].where(run["time"] >= 0, drop=True), atol=1e-12, rtol=0)
    assert sv.resume("sweep").identical(found)


def test_the_ensemble_of_a_sweep_in_words(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["sweep", *FEW, "--start", "random", "--duration", "1", "--dt", "0.1", "--seed", "1,2,7", "--out", "sweep"])
    told, mean = capsys.readouterr().out, sv.ensemble(sv.open_sweep("sweep")).isel(time=-1)
    assert "mean of 3 at the end" in told
    for name in ("magnetization", "magnetization_error"):
        for value in mean[name].values.ravel():
            assert f"{value:.5g}" in told


def test_seeds_and_starts_of_sweeps(tmp_path):
    valve = small_valve(damping=0.1, spin_temperature=0.05)
    short = dict(duration=0.2, dt=0.05, method="rk38", save_every=2, observe=("spins",))
    spins = [[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]]
    found = sv.sweep(valve, {"seed": [1, 2]}, sv.RunTask(**short, start=spins))
    np.testing.assert_allclose(found["spins"][:, 0], [spins, spins], atol=1e-15)
    assert not np.allclose(found["spins"][0, -1], found["spins"][1, -1])
    task = sv.RunTask(**short, start="random", key=jax.random.key(2))
    sv.sweep(valve, {"j_sd": [2.0, 3.0], "voltage": [0.0, 0.1]}, task, out=tmp_path / "sweep")
    drawn = sv.open_sweep(tmp_path / "sweep")["spins"][:, :, 0].values
    assert np.array_equal(drawn[:, 0], drawn[:, 1]) and not np.allclose(drawn[0], drawn[1])
    for task, why in (
        (sv.RunTask(**short, start="random"), "must come with a key"),
        (sv.RunTask(**short, start=spins[:1]), "`spins` must have shape"),
        (sv.RunTask(**short, key=jax.random.key(1)), "must not name 'seed' where the task has a `key`"),
        (sv.SteadyTask(), "'seed' must be one of"),
    ):
        grid = {"seed": [1, 2]} if "start" not in why and "must come" not in why else {"voltage": [0.0, 1.0]}
        with pytest.raises(ValueError, match=why):
            sv.sweep(valve, grid, task)
    for seeds in ([0.5], [-1], [2.0**32]):
        with pytest.raises(ValueError, match="whole numbers from 0 on"):
            sv.sweep(valve, {"seed": seeds}, sv.RunTask(**short))


def test_the_mean_of_an_ensemble():
    """Mean and standard error over seeds, of complete points alone."""
    valve = small_valve(damping=0.1, spin_temperature=0.05)
    task = sv.RunTask(0.5, dt=0.05, method="rk38", start="random")
    found = sv.sweep(valve, {"seed": range(5), "voltage": [0.0, 1.0]}, task)
    mean = sv.ensemble(found)
    runs = found["magnetization"].values
    np.testing.assert_allclose(mean["magnetization"], runs.mean(0), atol=1e-15)
    np.testing.assert_allclose(mean["magnetization_error"], runs.std(0, ddof=1) / np.sqrt(5), atol=1e-15)
    assert mean["runs"].values.tolist() == [5, 5] and mean["magnetization"].dims == found["magnetization"].dims[1:]
    found["status"][2, 1] = 2
    less = sv.ensemble(found)
    assert less["runs"].values.tolist() == [5, 4]
    np.testing.assert_allclose(less["magnetization"][1], np.delete(runs[:, 1], 2, 0).mean(0), atol=1e-15)
    with pytest.raises(ValueError, match="`over` must be a dimension of the sweep, but is 'k'"):
        sv.ensemble(found, "k")


def test_thermal_starts_are_drawn_inside_of_programs():
    valve = small_valve(spin_temperature=0.1)
    draw = lambda key: sv.thermal_spins(valve, key, sweeps=3)
    key = jax.random.key(4)
    np.testing.assert_allclose(jax.jit(draw)(key), draw(key), atol=1e-14)
    assert jnp.isfinite(draw(key)).all()
