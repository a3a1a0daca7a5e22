"""Builders of valves: functions to which every parameter of the valve is a keyword of its own."""

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from svjax.engine.quantities import Quantity

Build = TypeVar("Build", bound=Callable[..., Any])

_unfinished: list[Callable[[Mapping[str, Quantity]], None]] = []


def builder(*, omit: tuple[str, ...] = (), **defaults: Any) -> Callable[[Build], Build]:
    """Give the function below every parameter of the valve as an explicit keyword, in its signature and its help.

    ``defaults`` differ from those of the table; ``...`` means that the keyword must be given. Those to ``omit`` are
    none of its keywords. The table is made of the class whose builders these are, so that they get their keywords from
    `finish_builders` behind it.
    """

    def wrap(build: Build) -> Build:
        signature = inspect.signature(build)
        own = [part for part in signature.parameters.values() if part.kind is not part.VAR_KEYWORD]
        known: dict[str, Any] = {}

        @functools.wraps(build)
        def built(*args: Any, **given: Any) -> Any:
            names = [*known, *(part.name for part in own)]
            for name in given:
                if name not in names:
                    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
                    raise TypeError(f"{build.__name__}() has no argument `{name}`; the nearest is `{near}`.")
            if missing := [name for name, value in known.items() if value is ... and name not in given]:
                raise TypeError(f"{build.__name__}() needs the argument `{missing[0]}`.")
            return build(*args, **known | given)

        def finish(table: Mapping[str, Quantity]) -> None:
            mine = {part.name for part in own}
            values = (
                {name: kind.default for name, kind in table.items()}
                | {"poles": None, "bands": None, "dtype": "float64"}
                | defaults
            )
            known.update({name: value for name, value in values.items() if name not in {*mine, *omit}})
            keyword = inspect.Parameter.KEYWORD_ONLY
            more = [
                inspect.Parameter(name, keyword, default=inspect.Parameter.empty if value is ... else value)
                for name, value in known.items()
            ]
            built.__signature__ = signature.replace(parameters=[*own, *more], return_annotation="SpinValve")  # type: ignore[attr-defined]
            lines = [f"- `{name}`: {kind.help} [{kind.unit}]." for name, kind in table.items() if name in known]
            lines += [
                "- `poles`: expansion of the Fermi function, one or one per lead, or 'auto' (`suggest_poles`).",
                "- `dtype`: precision.",
            ]
            built.__doc__ = f"{inspect.getdoc(build)}\n\n**Parameters:**\n\n" + "\n".join(lines)

        _unfinished.append(finish)
        return built  # type: ignore[return-value]

    return wrap


def finish_builders(table: Mapping[str, Quantity]) -> None:
    """Give all builders that were defined so far the keywords of ``table``."""
    while _unfinished:
        _unfinished.pop()(table)
