"""A geometry of one's own in a TOML file: sites, bonds, layers, leads, exchange along bonds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from svjax.model.valve import SpinValve

_TABLES = {
    "sites": {"position", "level"},
    "bonds": {"sites", "amplitude"},
    "layers": {"sites"},
    "leads": {"sites"},
    "monolayers": {"sites"},
    "spin_bonds": {"sites", "exchange", "dmi"},
}


def load_lattice(path: str | Path, **parameters: Any) -> SpinValve:
    """The valve of a lattice file, with the ``parameters`` of `SpinValve.from_bonds`.

    The file has one table for each site, bond and so on, sites numbered from 0 in their order:

        [[sites]]                 # or only: sites = 3
        position = [0.0, 0.0]     # 1 to 3 coordinates, of all sites or of none
        level = 0.1               # mu_bar of the site, 0 if absent
        [[bonds]]
        sites = [0, 1]
        amplitude = "0.8+0.1j"    # A_ij: a number, a complex number as text, or a 2x2 matrix of either; 1 if absent
        [[layers]]                # also [[leads]], [[monolayers]]
        sites = [0, 1]
        [[spin_bonds]]
        sites = [0, 1]
        exchange = -1.0           # J: a number or a 3x3 matrix
        dmi = [0.0, 0.0, 0.3]     # D of D.(S_i x S_j), added to it

    Raises ValueError, with the file's name, for anything else, and OSError where there is no such file.
    """
    path = Path(path).expanduser()
    try:
        given = _arguments(tomllib.loads(path.read_text(encoding="utf-8-sig")))
        return SpinValve.from_bonds(**given | parameters)
    except ValueError as error:
        raise ValueError(f"Lattice file {path}: {error}") from None


def _arguments(found: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `SpinValve.from_bonds` that the tables of a file stand for."""
    for name, tables in found.items():
        if name not in _TABLES:
            raise ValueError(f"Key `{name}` must be one of {', '.join(_TABLES)}.")
        if name == "sites" and isinstance(tables, int):
            continue
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ValueError(f"Key `{name}` must be a list of tables, [[{name}]].")
        for table in tables:
            if unknown := sorted(set(table) - _TABLES[name]):
                raise ValueError(f"Key `{unknown[0]}` of [[{name}]] must be one of {', '.join(sorted(_TABLES[name]))}.")
    sites = found.get("sites", [])
    given: dict[str, Any] = {"n_sites": sites if isinstance(sites, int) else len(sites)}
    tables = sites if isinstance(sites, list) else []
    if any("position" in site for site in tables):
        given["positions"] = [_needed("sites", site, "position") for site in tables]
    if any("level" in site for site in tables):
        given["mu_bar"] = [site.get("level", 0.0) for site in tables]
    given["bonds"] = [
        (*_needed("bonds", bond, "sites"), _numbers(bond.get("amplitude", 1.0))) for bond in found.get("bonds", [])
    ]
    given["spin_bonds"] = [
        (*_needed("spin_bonds", bond, "sites"), _exchange(bond)) for bond in found.get("spin_bonds", [])
    ]
    for key, name in {"layers": "layers", "leads": "contacts", "monolayers": "monolayers"}.items():
        if key in found:
            given[name] = [_needed(key, group, "sites") for group in found[key]]
    return given


def _needed(name: str, table: Mapping[str, Any], key: str) -> Sequence:
    if not isinstance(table.get(key), list):
        raise ValueError(f"Every [[{name}]] must have a list `{key}`.")
    return table[key]


def _numbers(value: Any) -> Any:
    """A number, one as text ("0.5+0.2j"), or nested lists of them."""
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    return complex(value.replace(" ", "")) if isinstance(value, str) else value


def _exchange(bond: Mapping[str, Any]) -> Any:
    """J of a spin bond, with the antisymmetric matrix of its Dzyaloshinskii-Moriya vector D."""
    exchange = bond.get("exchange", 0.0)
    if "dmi" not in bond:
        return exchange
    x, y, z = _needed("spin_bonds", bond, "dmi")
    symmetric = np.asarray(exchange, float)
    return symmetric * (1 if symmetric.ndim else np.eye(3)) + np.array([[0, z, -y], [-z, 0, x], [y, -x, 0.0]])
