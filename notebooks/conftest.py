import os

# Reduced size, and compiled without the optimisations that cost more than they give back in short runs.
os.environ.setdefault("SVJAX_NOTEBOOKS", "reduced")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
