"""What `svjax diagram` can be told."""

from dataclasses import dataclass
from pathlib import Path

from svjax.cli.options import VoltagesOptions
from svjax.cli.parameters import Vector
from svjax.cli.words import numbers, unused_name


@dataclass(frozen=True)
class DiagramOptions(VoltagesOptions):
    """Find where the layers end, and when they switch, over voltage and field.

    By the microscopic Landau-Lifshitz-Gilbert equation: torques, damping and moments of two rigid layers from the
    electrons, tabulated for each voltage, with nothing fitted. Units and TOML file as for `svjax run`.
    """

    voltage: str = "0:8:9"
    """Voltages, first:last:count or a list 0,0.5,1 [gamma/e]."""
    field_range: str = "0"
    """Fields along the axis, added to the field of all spins, first:last:count or a list [gamma]."""
    axis: Vector = (0.0, 0.0, 1.0)
    """Direction of these fields, x y z [direction]."""
    start: tuple[Vector, Vector] | None = None
    """Directions of the layers at the start, x y z each; the easy axes if not given [directions]."""
    duration: float = 3000.0
    """Time of each run [hbar/gamma]."""
    angles: int = 17
    """Angles between the layers at which the electrons are solved for [number]."""
    out: Path | None = None
    """Folder for the dataset and its picture; a new one in runs/ if not given."""
    overwrite: bool = False
    """Replace the diagram that the folder holds."""

    def fields(self) -> list[float]:
        """The fields of these options."""
        return numbers("field_range", self.field_range)

    def folder(self) -> Path:
        """Where the diagram goes: `out`, or a name made of the main parameters that is still free."""
        return self.out or unused_name(f"{self.label()}-jsd{self.j_sd:g}-{self.drop}-diagram", self.overwrite)
