import os

# Tests compile many small programs once each: skip the optimisations that cost more than they give back there.
# Long runs want them back: XLA_FLAGS=--xla_backend_optimization_level=3 pytest -m slow
if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"

import jax

jax.config.update("jax_enable_x64", True)
