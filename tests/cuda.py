"""What programs would be on a GPU of NVIDIA, without one: JAX lowers for any platform on any machine."""

import re
from contextlib import contextmanager

import jax
from jax._src.interpreters import pxla
from jax.export import DisabledSafetyCheck, export

HOST = {"cuhybrid_eig_comp", "cuhybrid_eig_real", "cusolver_geev_ffi"}
"""Eigenvectors of matrices that are not symmetric: LAPACK on the host, or the library of CUDA where it has them."""
TAKES_EIGENVECTORS = """
    conductance critical_voltage effective_llg electron_decays equilibrium_states exact_density_matrix fano_factors
    heat_current is_stable landauer_current mode_shapes phase_diagram relaxation_modes slonczewski_form spin_noise
    steady_state steady_states thermoelectric zero_frequency_noise
"""
"""The public functions that take them; docs/sharp-bits.md says so. All others stay on the device."""


def libraries(text):
    """The libraries that a lowered program calls."""
    return set(re.findall(r'custom_call @"?([\w$]+)', text))


def exported(function, *arguments):
    """The text of ``function`` exported for CUDA."""
    checks = [DisabledSafetyCheck.custom_call(name) for name in HOST]  # whose form may change with the version of JAX
    return export(jax.jit(function), platforms=["cuda"], disabled_checks=checks)(*arguments).mlir_module()


@contextmanager
def lowered_too():
    """Within it, every program that is compiled is lowered for CUDA as well; the libraries that these call."""
    found, plain = set(), pxla.mlir.lower_jaxpr_to_module

    def both(*arguments, platforms, backend, **more):
        there = plain(*arguments, platforms=("cuda",), backend=None, **more)
        found.update(libraries(str(there.module)))
        return plain(*arguments, platforms=platforms, backend=backend, **more)

    pxla.mlir.lower_jaxpr_to_module = both
    try:
        yield found
    finally:
        pxla.mlir.lower_jaxpr_to_module = plain
