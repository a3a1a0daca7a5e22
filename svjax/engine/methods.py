"""Methods of integration, as objects that know their step, their order and how long a step may be."""

import abc
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Array, PyTree

from svjax.engine.integrate import Derivative, exponential_step, runge_kutta_step


@dataclass(frozen=True)
class AbstractMethod(abc.ABC):
    """One step of dy/dt = derivative(t, y), and what a run must know of it.

    - `name`: what users and stores call it.
    - `grades`: the parts, as a share of the step, of a step at whose start the derivative jumps.
    """

    name: ClassVar[str]
    order: ClassVar[int] = 4
    grades: ClassVar[tuple[float, ...]] = (1.0,)

    @abc.abstractmethod
    def step(self, derivative: Derivative, decay: PyTree, t: Array, y: PyTree, dt: Array) -> PyTree:
        """y(t + dt) from y(t). ``decay``: rates of a stiff part -decay y, None where there is none, shaped like y."""

    @abc.abstractmethod
    def longest_step(self, rate: complex, decay: float = 0.0) -> float:
        """The longest step that does not amplify y' = (rate - decay) y, if ``decay`` is of the stiff part."""


class ThreeEighths(AbstractMethod):
    """The 3/8 rule of Kutta, as in the paper: explicit, of fourth order."""

    name = "rk38"

    def step(self, derivative, decay, t, y, dt):
        return runge_kutta_step(derivative, t, y, dt)

    def longest_step(self, rate, decay=0.0):
        return _longest_classic_step(rate - decay)


class Exponential(AbstractMethod):
    """The exponential method of Krogstad (2005), ETDRK4-B: the stiff part is taken exactly, however fast it decays.

    The fast parts answer to a jump at their own rate, which the exponential follows but the quadrature of what they
    feed does not: a full step there would leave an error of second order. Hence the graded parts.
    """

    name = "etd"
    grades = (0.025,) * 4 + (0.1,) * 2 + (0.7 / 3,) * 3

    def step(self, derivative, decay, t, y, dt):
        return exponential_step(derivative, decay, t, y, dt)

    def longest_step(self, rate, decay=0.0):
        return _longest_classic_step(rate)


METHODS: dict[str, AbstractMethod] = {method.name: method for method in (ThreeEighths(), Exponential())}


def as_method(method: object) -> AbstractMethod:
    """The method of a name of `METHODS`; raises ValueError for anything else."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"Argument `method` must be one of {tuple(METHODS)}, but is {method!r}.")
    return METHODS[method]


def _longest_classic_step(rate: complex) -> float:
    """The step at which |1 + z + z^2/2 + z^3/6 + z^4/24| with z = rate dt first exceeds one."""
    scale = np.linspace(0, 3, 3001)[1:]
    z = scale * rate / max(abs(rate), 1e-300)
    growing = np.abs(1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24) > 1 + 1e-12
    return float(scale[np.argmax(growing)] / max(abs(rate), 1e-300)) if growing.any() else np.inf
