"""What `svjax hysteresis` can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from svjax.cli.options import ValveOptions
from svjax.cli.words import numbers, unused_name

if TYPE_CHECKING:
    from svjax.reservoirs.bias import VoltageDrop


@dataclass(frozen=True)
class HysteresisOptions(ValveOptions):
    """Change a parameter slowly, through a range and back, and find the stable states and the jumps between them.

    Steady states of spins and electrons, without any run. Units and TOML file as for `svjax run`.
    """

    parameter: str = "field[2]"
    """What is changed: field[2] (the field along z), anisotropy[1], j_sd, voltage, or any other parameter."""
    values: str = "-0.3:0.3:25"
    """Its values, first:last:count (--values=-1:1:9) or a list [units of the parameter]."""
    voltage: float = 0.0
    """Voltage, V [gamma/e]."""
    drop: Literal["symmetric", "asymmetric"] = "symmetric"
    """Levels of the leads: V/2 and -V/2 (symmetric), or V and 0 (asymmetric)."""
    out: Path | None = None
    """Folder for the dataset and its picture; a new one in runs/ if not given."""
    overwrite: bool = False
    """Replace the loop that the folder holds."""

    def bias(self) -> "VoltageDrop":
        """The voltage drop of these options."""
        from svjax.reservoirs import bias

        return getattr(bias, self.drop)(self.voltage)

    def steps(self) -> list[float]:
        """The values of the parameter."""
        return numbers("values", self.values)

    def drops(self) -> "list[VoltageDrop]":
        from svjax.reservoirs import bias

        voltages = self.steps() if self.parameter == "voltage" else [self.voltage]
        return [getattr(bias, self.drop)(end(voltages)) for end in (min, max)]

    def folder(self) -> Path:
        """Where the loop goes: `out`, or a name made of the main parameters that is still free."""
        return self.out or unused_name(f"{self.label()}-jsd{self.j_sd:g}-{self.parameter}-hysteresis", self.overwrite)
