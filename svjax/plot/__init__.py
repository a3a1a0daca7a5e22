"""Pictures, one function each: data in, axes out; on the axes given, or on the current ones of pyplot."""

from svjax.plot.animation import animate as animate
from svjax.plot.diagrams import diagram_pictures as diagram_pictures, phase_diagram as phase_diagram
from svjax.plot.figures import (
    currents as currents,
    curve_pictures as curve_pictures,
    hysteresis as hysteresis,
    loop_pictures as loop_pictures,
    magnetization as magnetization,
    run_pictures as run_pictures,
    steady_curve as steady_curve,
    switching as switching,
)
from svjax.plot.maps import configuration as configuration, map as map, map_values as map_values
from svjax.plot.style import (
    CHARGE as CHARGE,
    COLOURS as COLOURS,
    COMPONENTS as COMPONENTS,
    ENERGY as ENERGY,
    RELAXATION as RELAXATION,
    RELAXATION_TIME as RELAXATION_TIME,
    STYLE as STYLE,
    TIME as TIME,
    VOLTAGE as VOLTAGE,
    save as save,
)
