"""Draw the README's picture: a voltage on the free layer's side switches it against the pinned layer.

python docs/picture.py writes docs/switching.png.
"""

from pathlib import Path

import jax

import svjax as sv

jax.config.update("jax_enable_x64", True)

valve = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(8))  # the paper's 12x4 valve
start = sv.steady_state(valve, None)
run = sv.evolve(valve, start, (0.0, 4.0), 1600.0, dt=0.1, method="etd", save_every=10)
sv.plot.save(sv.plot.switching(valve, run, start)[0], Path(__file__).parent / "switching.png")
