"""Compiled programs kept on disk from one process to the next: whole entries only, on the processor that made them."""

import hashlib
import os
import platform
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax

VARIABLE = "SVJAX_CACHE"
"""The environment variable that names the folder from which `import svjax` calls `keep_compiled`."""
PARTIAL, OLD = ".partial", 3600.0
"""How entries begin that are being written, and after how many seconds such a one is that of a process that died."""


def keep_compiled(folder: str | os.PathLike[str]) -> None:
    """Keep what is compiled from now on in ``folder``, and take from there what was compiled before.

    Tracing remains, compilation does not. The environment variable SVJAX_CACHE=folder does the same from the start of
    every program that imports svjax, the command line included. Entries are written under another name and carry a
    checksum, so that a process may be killed at any time, and several may use one folder: what is not whole is compiled
    anew. Each kind of processor (its instructions and the number of cores) has entries of its own, and numbers stay the
    same to the last bit. The folder grows until you delete it, which is safe at any time.

    What lies in the folder is executed: it must be one that only you can write.

    Raises ValueError if it cannot be written, RuntimeError if this version of JAX has another cache.
    """
    try:
        from jax._src import compilation_cache as cache

        read, reset = getattr(cache.get_executable_and_time, "plain", cache.get_executable_and_time), cache.reset_cache
        cache.get_file_cache  # noqa: B018
    except (ImportError, AttributeError):
        raise RuntimeError(f"JAX {jax.__version__} has another cache of programs than svjax knows.") from None
    own = Path(folder).absolute() / _processor()
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_remains(own)
        tempfile.TemporaryFile(dir=own).close()
    except OSError as error:
        raise ValueError(
            f"Argument `folder` must be a folder that can be written, but is {str(folder)!r}: {error}."
        ) from None
    cache.get_file_cache = lambda path: (WholeEntries(Path(path)), path)
    cache.get_executable_and_time = _quiet(read)
    jax.config.update("jax_compilation_cache_dir", str(own))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")  # XLA writes those itself, unchecked
    reset()


def keep_compiled_if_told() -> None:
    """`keep_compiled` in the folder that SVJAX_CACHE names, if it is set; one that cannot be written is a warning."""
    if os.environ.get(VARIABLE):
        try:
            keep_compiled(os.environ[VARIABLE])
        except (ValueError, RuntimeError) as error:
            warnings.warn(f"{VARIABLE}: {error} Nothing is kept.", stacklevel=3)


class WholeEntries:
    """JAX's cache of programs (the methods of its `CacheInterface`) as files of a checksum and the entry, put in place
    by renaming. It never raises: a program that cannot be read is compiled, one that cannot be written is not kept."""

    def __init__(self, folder: Path):
        self._path = folder
        self.failed = False

    def get(self, key: str) -> bytes | None:
        try:
            data = (self._path / key).read_bytes()
        except OSError:
            return None
        entry = data[32:]
        return entry if data[:32] == hashlib.sha256(entry).digest() else None

    def put(self, key: str, value: bytes) -> None:
        partial = None
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._path, prefix=PARTIAL, delete=False) as file:
                partial = Path(file.name)
                file.write(hashlib.sha256(value).digest() + value)
            os.replace(partial, self._path / key)
        except OSError as error:
            if partial is not None:
                with suppress(OSError):
                    partial.unlink()
            if not self.failed:
                warnings.warn(f"Compiled programs are not kept: {error}.", stacklevel=2)
            self.failed = True


def _processor() -> str:
    """A name for the kind of processor: a program is made for the instructions and the number of cores of one."""
    facts = [platform.machine(), str(os.cpu_count())]
    with suppress(OSError):
        told = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        facts += [line for line in told if line.startswith(("flags", "Features", "model name", "CPU part"))]
    return platform.machine() + "-" + hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _remove_remains(folder: Path) -> None:
    """Remove what processes that died while they wrote have left."""
    for path in folder.glob(f"{PARTIAL}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > OLD:
                path.unlink()


_reading = threading.Lock()


def _quiet(read: Callable[..., Any]) -> Callable[..., Any]:
    """JAX's reading of an entry, without the kilobytes per program in which XLA compares processors: it takes advice to
    its own compiler for instructions that are missing, and a pipe that nobody reads would soon be full."""

    def quietly(*args: Any, **options: Any) -> Any:
        with _reading, _silent_stderr():
            return read(*args, **options)

    quietly.plain = read  # type: ignore[reportFunctionMemberAccess]
    return quietly


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send what is written to the file of standard error, also by libraries, to nowhere."""
    try:
        before = os.dup(2)
    except OSError:  # closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
