"""What a parameter is: its symbol, unit, shapes, bounds and meaning, kept with the field of the module that has it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, DTypeLike

from svjax.engine.arrays import Numbers, complex_array, known, on_device, real_array

Shape = tuple[str | int, ...]
"""Names of what there is one number for ("layers", "spins", ...) or fixed lengths, such as ("layers", 3)."""


@dataclass(frozen=True)
class Quantity:
    """One parameter of a valve, a bias or a band, the only place where any of this is written down.

    ``shapes`` are those that its array may have, the first that fits is taken; ``default`` is that of the builders,
    None where the quantity may be absent, and ``absent`` is then what it stands for. Values must lie above ``least``
    (or at it, unless ``strict``). ``driven`` says whether it may depend on time.
    """

    symbol: str
    unit: str
    help: str
    shapes: tuple[Shape, ...] = ((),)
    default: Any = None
    absent: Any = None
    least: float | None = None
    strict: bool = False
    directions: bool = False
    complex: bool = False
    driven: bool = True

    def array(self, name: str, value: Numbers, sizes: Mapping[str, int], dtype: DTypeLike) -> Array:
        """``value`` as an array of the first of its ``shapes`` that it fits; raises ValueError if there is none."""
        array = complex_array(value, name) if self.complex else real_array(value, name)
        if jnp.iscomplexobj(array):
            dtype = np.result_type(dtype, np.complex64)
        for shape in self.shapes:
            lengths = tuple(sizes[part] if isinstance(part, str) else part for part in shape)
            if _fits(array.shape, shape, lengths):
                if array.shape == lengths or not known(array):
                    return jnp.broadcast_to(array.astype(dtype), lengths)
                return on_device(np.broadcast_to(np.asarray(array), lengths), dtype)
        wanted = [f"shape {tuple(sizes[part] if isinstance(part, str) else part for part in s)}" for s in self.shapes]
        per = [f" (one per {s[0][:-1]})" if s and isinstance(s[0], str) else "" for s in self.shapes]
        told = " or ".join(a + b for a, b in zip(wanted, per, strict=True))
        raise ValueError(f"Argument `{name}` must have {told}, but has shape {array.shape}.")

    def check(self, name: str, value: ArrayLike) -> None:
        """Raise a ValueError for impossible values (skipped while they are traced)."""
        if not known(value):
            return
        value = np.asarray(value)
        if not np.all(np.isfinite(value)):
            raise ValueError(f"Argument `{name}` must be finite, but is {shown(value)}.")
        if self.least is not None and not np.all(value > self.least if self.strict else value >= self.least):
            must = "be positive" if self.strict and self.least == 0 else f"not be below {self.least:g}"
            must = "not be negative" if self.least == 0 and not self.strict else must
            raise ValueError(f"Argument `{name}` must {must}, but is {shown(value)}.")
        if self.directions:
            length = np.linalg.norm(value, axis=-1)
            if not np.all(np.abs(length - 1) < 1e-3):
                raise ValueError(f"Argument `{name}` must be of unit length, but lengths are {shown(length)}.")


def quantity(symbol: str, unit: str, help: str, **properties: Any) -> Any:
    """The field of a module that is a physical quantity."""
    return eqx.field(metadata={"quantity": Quantity(symbol, unit, help, **properties)})


def quantities(module: type) -> dict[str, Quantity]:
    """The quantities among the fields of a module, by name and in order."""
    found = {part.name: part.metadata.get("quantity") for part in dataclasses.fields(module)}
    return {name: part for name, part in found.items() if part is not None}


def _fits(has: tuple[int, ...], shape: Shape, lengths: tuple[int, ...]) -> bool:
    """Whether an array may be broadcast: along named axes, never along the components of vectors."""
    if len(has) > len(lengths):
        return False
    fixed = sum(isinstance(part, int) for part in shape)
    if fixed and has[len(has) - fixed :] != lengths[len(lengths) - fixed :]:
        return False
    return all(mine in (1, full) for mine, full in zip(reversed(has), reversed(lengths), strict=False))


def holds(condition: ArrayLike) -> bool:
    """Whether a condition holds everywhere; yes when it is traced, because its values are not known yet."""
    return not known(condition) or bool(np.all(condition))


def shown(value: ArrayLike) -> str:
    """An array for a message."""
    return np.array2string(np.asarray(value), precision=6, threshold=12)
