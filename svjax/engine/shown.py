"""What an object shows of itself: a head and a table of names, numbers and units, in at most 15 lines; or HTML."""

import dataclasses
from collections.abc import Mapping
from html import escape
from typing import Any, ClassVar

import jax
import numpy as np
from jax.core import Tracer

MOST_LINES = 15
SMALL = 8
"""An array of at most so many numbers is shown with all of them, others with their shape and range."""

Entry = tuple[str, str, str]


class Shown:
    """Prints as a table of its fields: quantities and those of ``units`` with their unit, without the ``silent``."""

    units: ClassVar[Mapping[str, str]] = {}
    silent: ClassVar[tuple[str, ...]] = ()

    def _head(self) -> str:
        """The first line."""
        return type(self).__name__

    def _entries(self) -> list[Entry]:
        """Name, value and unit of all that is shown."""
        entries = []
        for part in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, part.name)
            if part.name not in self.silent and value is not None:
                unit = getattr(part.metadata.get("quantity"), "unit", "")
                entries.append((part.name, in_words(value), self.units.get(part.name, unit)))
        return entries

    def _foot(self) -> list[str]:
        """The last lines."""
        return []

    def __repr__(self) -> str:
        entries, foot = self._entries(), self._foot()
        width = max((len(name) for name, _, _ in entries), default=0)
        lines = [
            f"  {name:<{width}}  {value}{f' {unit}' if unit and unit != '1' else ''}" for name, value, unit in entries
        ]
        room = MOST_LINES - 1 - len(foot)
        if len(lines) > room:
            lines[room - 1 :] = [f"  and {in_words(', '.join(name for name, _, _ in entries[room - 1 :]))}"]
        return "\n".join([self._head(), *lines, *foot])

    def _repr_html_(self) -> str:
        cells = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in entry) + "</tr>"
            for entry in self._entries()
        )
        foot = "<br>".join(escape(line) for line in self._foot())
        return f"<b>{escape(self._head())}</b><table>{cells}</table>{foot}"


def in_words(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, Shown):
        return value._head()
    if isinstance(value, Tracer | jax.ShapeDtypeStruct):
        return f"{value.dtype}{list(value.shape)}, not yet known"
    if isinstance(value, float | complex | np.number):
        return f"{value:.6g}"
    if isinstance(value, jax.Array | np.ndarray):
        return _array(np.asarray(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {np.shape(part)}" if np.shape(part) else name for name, part in value.items())
    if isinstance(value, tuple) and value and all(isinstance(part, Shown) for part in value):
        return "; ".join(part._head() for part in value)
    text = getattr(value, "__name__", None) or " ".join(str(value).split())
    return text if len(text) <= 90 else f"{text[:87]}..."


def _array(value: np.ndarray) -> str:
    if value.ndim == 0:
        return str(value) if value.dtype == bool else f"{value:.6g}"
    if value.size <= SMALL:
        return " ".join(
            np.array2string(value, precision=5, separator=", ", threshold=SMALL, suppress_small=True).split()
        )
    if value.dtype == bool:
        return f"{value.shape}, {np.count_nonzero(value)} of them true"
    if not np.all(np.isfinite(value)):
        return f"{value.shape}, not finite in {np.sum(~np.isfinite(value))} places"
    if np.iscomplexobj(value):
        return f"{value.shape}, complex, |..| up to {np.abs(value).max():.4g}"
    return f"{value.shape}, from {value.min():.4g} to {value.max():.4g}"
