"""The voltage pulse that tilts the free layer with least charge, by gradients through the electrons and the spins."""

import jax
import jax.numpy as jnp
import numpy as np

import svjax as sv

jax.config.update("jax_enable_x64", True)

DURATION, DT = 60.0, 0.2


def tilt_and_charge(valve, bias):
    """M_r^x at the end of the pulse, and the charge e int |2 I_l| dt that has flowed in from the left lead."""
    observe = lambda valve, state: {
        "tilt": sv.magnetization(valve, state)[1, 0],
        "current": 2 * sv.charge_current(valve, state, 0),
    }
    start = sv.steady_state(valve, None)
    run = sv.evolve(valve, start, bias, DURATION, dt=DT, save_every=5, method="etd", observe=observe)
    flow = jnp.sqrt(run.observables["current"] ** 2 + 1e-4) - 1e-2  # |I|, smooth where it vanishes
    return run.observables["tilt"][-1], 5 * DT * jnp.sum(flow)


def design(valve, target, *, levels=13, price=1e-3, max_steps=60, progress=None):
    """The waveform with V = 0 at both ends for which price * charge + (M_r^x - target)^2 is least."""
    pulse = sv.Waveform(np.linspace(0, DURATION, levels), np.zeros(levels))

    def loss(valve, bias):
        tilt, charge = tilt_and_charge(valve, bias)
        return price * charge + 100 * (tilt - target) ** 2

    free = {f"voltages[{k}]": sv.Free(start=0.2, low=-3.0, high=3.0) for k in range(1, levels - 1)}
    return sv.fit(valve, free, loss, bias=pulse, mode="reverse", max_steps=max_steps, progress=progress)


if __name__ == "__main__":
    valve = sv.SpinValve.square(
        4, 1, 1, 1, j_sd=2.0, anisotropy=(0.4, 0.1), poles=sv.optimized_poles(6), temperature=0.1
    )
    rest = tilt_and_charge(valve, None)[0]
    found = design(valve, rest + 0.2, progress=lambda p: print(f"{p.step:3d}  loss {p.loss:.6f}"))
    print(found)
    print("rest, tilt and charge of the pulse:", rest, *tilt_and_charge(found.valve, found.bias))
    for voltage in (0.25, 0.5, 1.0, 2.0, 3.0):
        print(f"constant V = {voltage}: tilt and charge", *tilt_and_charge(valve, sv.symmetric(voltage)))
