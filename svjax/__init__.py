"""svjax: the nonequilibrium dynamics of spin valves, electrons and spins together, in JAX.

Names are imported when they are first used, from the modules that `__init__.pyi` says.
"""

import importlib as _importlib
import os as _os
from importlib.metadata import version as _version

import lazy_loader as _lazy

_imported, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__version__ = _version("svjax")


def __getattr__(name: str):
    if name in __all__:  # poles "auto" are chosen by a module that valves know of once it is imported
        _importlib.import_module("svjax.electrons.reach")
    return _imported(name)


if _os.environ.get("SVJAX_CACHE"):
    from svjax.storage.compiled import keep_compiled_if_told as _keep_compiled_if_told

    _keep_compiled_if_told()
