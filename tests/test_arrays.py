"""One rule for what users may give where numbers are meant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svjax.engine.arrays import complex_array, real_array, real_number, whole_number


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), jnp.int32(2), np.array(2)])
def test_real_numbers_of_any_type_are_taken(value):
    assert real_array(value, "x") == 2.0 and jnp.issubdtype(real_array(value, "x").dtype, jnp.floating)
    assert real_number(value, "x") == 2.0


@pytest.mark.parametrize("value", [1j, np.array([1 + 0j]), True, [True, False], "1", ["1"], None, {1.0}, iter([1.0])])
def test_what_is_no_real_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match="Argument `x` must"):
        real_array(value, "x")


def test_masked_and_ragged_arrays_are_refused():
    for value in (np.ma.array([1.0, 2.0], mask=[False, True]), [[1.0], [2.0, 3.0]]):
        with pytest.raises(ValueError, match="Argument `x` must"):
            real_array(value, "x")


def test_complex_arrays_keep_their_imaginary_part():
    assert complex_array([1, 2j], "x")[1] == 2j
    assert jnp.issubdtype(complex_array([1, 2], "x").dtype, jnp.floating)


@pytest.mark.parametrize("value", [3, np.int64(3), jnp.asarray(3)])
def test_whole_numbers_of_any_type_are_taken(value):
    assert whole_number(value, "n") == 3 and type(whole_number(value, "n")) is int


@pytest.mark.parametrize("value", [3.0, True, "3", -1, np.float64(3), None, [3]])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValueError, match="Argument `n` must be a whole number of at least 0"):
        whole_number(value, "n")


def test_tracers_pass():
    assert jax.jit(lambda x: real_array(x, "x") * 2)(1.5) == 3.0


def test_whole_numbers_in_a_list_are_taken_as_they_are_in_single_precision_too():
    with jax.enable_x64(False):
        assert real_array([2**40, 1.0], "x")[0] == real_array([2**40], "x")[0] == 2.0**40
