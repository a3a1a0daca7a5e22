"""Methods of integration, as objects that know their step, their order and how long a step may be."""

import abc
from dataclasses import dataclass
from math import factorial
from typing import ClassVar, Protocol

import numpy as np
from jaxtyping import Array, PyTree

from svjax.engine.integrate import exponential_step, runge_kutta_step


class Equations(Protocol):
    """The equations dy/dt = derivative(t, y) that a method takes a step of.

    - `decay`: rates of a stiff part -decay y, None where there is none, shaped like y.
    - `propagated`: y(t + dt) by their own propagator, where their coefficients do not depend on time.
    """

    @property
    def decay(self) -> PyTree: ...

    def derivative(self, t: Array, y: PyTree) -> PyTree: ...

    def propagated(self, t: Array, y: PyTree, dt: Array) -> PyTree: ...


@dataclass(frozen=True)
class AbstractMethod(abc.ABC):
    """One step of dy/dt = derivative(t, y), and what a run must know of it.

    - `name`: what users and stores call it.
    - `grades`: the parts, as a share of the step, of a step at whose start the derivative jumps.
    - `radians`: how far the fastest part may turn in a step that keeps the error of a run near 1e-5.
    - `spin_steps`: the steps that the spins take in one.
    - `autonomous`: whether it takes a step of equations alone whose coefficients do not depend on time.
    """

    name: ClassVar[str]
    order: ClassVar[int] = 4
    grades: ClassVar[tuple[float, ...]] = (1.0,)
    radians: ClassVar[float] = 1.0
    spin_steps: ClassVar[int] = 1
    autonomous: ClassVar[bool] = False

    @abc.abstractmethod
    def step(self, equations: Equations, t: Array, y: PyTree, dt: Array) -> PyTree:
        """y(t + dt) from y(t)."""

    @abc.abstractmethod
    def longest_step(self, rate: complex, decay: float = 0.0) -> float:
        """The longest step that does not amplify y' = (rate - decay) y, if ``decay`` is of the stiff part."""

    def longest_spin_step(self, rate: float) -> float:
        """The longest step that does not amplify a spin's precession with ``rate``."""
        return self.spin_steps * _longest_taylor_step(1j * rate, 4)


class ThreeEighths(AbstractMethod):
    """The 3/8 rule of Kutta, as in the paper: explicit, of fourth order."""

    name = "rk38"

    def step(self, equations, t, y, dt):
        return runge_kutta_step(equations.derivative, t, y, dt)

    def longest_step(self, rate, decay=0.0):
        return _longest_taylor_step(rate - decay, 4)


class Exponential(AbstractMethod):
    """The exponential method of Krogstad (2005), ETDRK4-B: the stiff part is taken exactly, however fast it decays.

    The fast parts answer to a jump at their own rate, which the exponential follows but the quadrature of what they
    feed does not: a full step there would leave an error of second order. Hence the graded parts.
    """

    name = "etd"
    grades = (0.025,) * 4 + (0.1,) * 2 + (0.7 / 3,) * 3

    def step(self, equations, t, y, dt):
        return exponential_step(equations.derivative, equations.decay, t, y, dt)

    def longest_step(self, rate, decay=0.0):
        return _longest_taylor_step(rate, 4)


class Magnus(AbstractMethod):
    """Magnus' method of fourth order: the linear part is propagated exactly, decay included, and what it depends on
    enters by its mean over the step, and by its change."""

    name = "magnus"
    grades = (0.05, 0.1, 0.25, 0.6)
    radians = 2.5
    spin_steps = 2
    autonomous = True

    def step(self, equations, t, y, dt):
        return equations.propagated(t, y, dt)

    def longest_step(self, rate, decay=0.0):
        return _longest_taylor_step(rate, 8)


METHODS: dict[str, AbstractMethod] = {method.name: method for method in (ThreeEighths(), Exponential(), Magnus())}


def as_method(method: object) -> AbstractMethod:
    """The method of a name of `METHODS`; raises ValueError for anything else."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"Argument `method` must be one of {tuple(METHODS)}, but is {method!r}.")
    return METHODS[method]


def _longest_taylor_step(rate: complex, degree: int) -> float:
    """The step at which |sum_k z^k/k!|, k <= ``degree``, with z = rate dt first exceeds one."""
    scale = np.linspace(0, 4, 4001)[1:]
    z = scale * rate / max(abs(rate), 1e-300)
    growing = np.abs(sum(z**k / factorial(k) for k in range(degree + 1))) > 1 + 1e-12
    return float(scale[np.argmax(growing)] / max(abs(rate), 1e-300)) if growing.any() else np.inf
