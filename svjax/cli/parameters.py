"""The parameters of a valve as options of the command line, made of their table."""

from dataclasses import field, make_dataclass
from typing import Annotated, Any

import tyro

from svjax.engine.quantities import Quantity
from svjax.model.valve import QUANTITIES

Vector = tuple[float, float, float]
Words = tuple[str, str, str]
DEFAULTS: dict[str, Any] = {"j_sd": 2.0, "anisotropy": (0.4, 0.02), "mu_bar": None}
"""Where the valve of the command line, that of the paper, differs from the table; None: as the lattice has it."""
OPTIONS = {
    name: kind
    for name, kind in QUANTITIES.items()
    if not kind.directions and not {"bonds", "spin_bonds"} & set(kind.shapes[0])
}
"""The parameters that are options: all but directions and what there is one of for each bond."""


def rank(kind: Quantity) -> tuple[bool, bool]:
    """Whether an option has a value per layer or lead, and whether its values are vectors."""
    first = kind.shapes[0]
    return first[:1] in (("layers",), ("leads",)), first[-1:] == (3,)


def with_parameters(name: str, base: type, words: bool) -> Any:
    """The dataclass ``base`` with a field for each of the `OPTIONS`: numbers, or ``words`` that may be ranges."""
    made = []
    for option, kind in OPTIONS.items():
        several, vector = rank(kind)
        one: Any = (Words if words else Vector) if vector else (str if words else float)
        default = DEFAULTS.get(option, kind.default)
        if several:
            one, default = tuple[one, ...], default if isinstance(default, tuple) and not vector else (default,)
        if default is None:
            one = one | None
        told = tyro.conf.arg(help=f"{kind.help}, {kind.symbol} [{kind.unit.replace('hopping', 'gamma')}].")
        made.append((option, Annotated[one, told], field(default=as_words(default) if words else default)))
    return make_dataclass(name, made, bases=(base,), frozen=True, namespace={"__module__": __name__})


def as_words(value: Any) -> Any:
    """Numbers as the command line has them."""
    if isinstance(value, tuple):
        return tuple(as_words(part) for part in value)
    return value if value is None else f"{value:g}"


def texts(name: str, value: Any) -> dict[str, str]:
    """The words of an option by the names of the parameters they set, such as "anisotropy[1]"."""
    several, vector = rank(OPTIONS[name])
    if value is None:
        return {}
    if several and vector:
        return {f"{name}[{k},{c}]": text for k, words in enumerate(value) for c, text in enumerate(words)}
    if not several and not vector:
        return {name: value}
    return {name if len(value) == 1 else f"{name}[{k}]": text for k, text in enumerate(value)}
