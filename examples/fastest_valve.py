"""The valve that relaxes slowest, or fastest, at a given voltage: gradients through the relaxation modes."""

import jax
import jax.numpy as jnp

import svjax as sv

jax.config.update("jax_enable_x64", True)


def relaxation_time(valve, bias):
    """t_R = -1/Re lambda of the mode of smallest |lambda|, at the steady state."""
    return -1 / sv.relaxation_modes(valve, sv.steady_state(valve, bias), bias, count=1)[0].real


def extremal(valve, bias, free, sign, **options):
    """The valve of longest (sign = 1) or shortest (sign = -1) relaxation time within the bounds of ``free``."""
    return sv.fit(valve, free, lambda valve, bias: -sign * jnp.log(relaxation_time(valve, bias)), bias=bias, **options)


if __name__ == "__main__":
    valve = sv.SpinValve.square(
        4, 1, 1, 1, j_sd=2.0, anisotropy=(0.4, 0.1), poles=sv.optimized_poles(6), temperature=0.1
    )
    bias = sv.symmetric(1.0)
    free = {
        "lead_coupling": sv.Free(low=0.3, high=4.0),
        "j_sd": sv.Free(low=0.5, high=6.0),
        "mu_bar": sv.Free(start=0.1, low=-2.0, high=2.0),
    }
    print(f"t_R = {relaxation_time(valve, bias):.2f}")
    found = extremal(valve, bias, free, -1)
    print(found, f"\nt_R = {relaxation_time(found.valve, bias):.2f}")
