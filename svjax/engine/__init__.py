"""Numerics that know no physics."""

from svjax.engine.lapack import in_small_batches

in_small_batches()
