"""Pictures, one function each: data in, axes out. No global state is touched."""

from svjax.plot.figures import (
    CHARGE as CHARGE,
    COLOURS as COLOURS,
    COMPONENTS as COMPONENTS,
    ENERGY as ENERGY,
    RELAXATION as RELAXATION,
    RELAXATION_TIME as RELAXATION_TIME,
    STYLE as STYLE,
    TIME as TIME,
    VOLTAGE as VOLTAGE,
    configuration as configuration,
    currents as currents,
    magnetization as magnetization,
    run_pictures as run_pictures,
    save as save,
    steady_curve as steady_curve,
    switching as switching,
)
