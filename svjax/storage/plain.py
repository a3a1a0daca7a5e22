"""What may be opened: stores of plain numbers and texts. Nothing that a stranger's store holds is ever executed."""

import json
import os
from pathlib import Path
from typing import Any

from svjax.storage.formats import OPENERS, VERSIONS, short

TYPES = ("bool", "int8", "int16", "int32", "int64", "float32", "float64", "complex64", "complex128", "string")
CODECS = ("bytes", "vlen-utf8", "zstd", "crc32c", "gzip", "blosc", "transpose")


def tidy_path(path: str | os.PathLike) -> Path:
    """The path that a user means: "~" is the home folder. Every door to the disk passes its paths through here."""
    return Path(path).expanduser()


def store_format(path: Path) -> str | None:
    """The kind of dataset that svjax wrote at ``path``, None if it is something else."""
    try:
        found = json.loads((path / "zarr.json").read_text())["attributes"]["format"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def check_plain(path: Path, kind: str) -> dict[str, Any]:
    """The attributes of the store at ``path``, if it is of this ``kind``, of its version, and its consolidated metadata
    names nothing but plain arrays and codecs that only compute.

    Raises FileNotFoundError where there is no such store and ValueError where it is not to be opened.
    """
    name, version = short(kind), VERSIONS[kind]
    if (has := store_format(path)) != kind:
        what = "is none" if path.exists() else "does not exist"
        if has in OPENERS:
            what = f"is a {short(has)}: `{OPENERS[has]}` opens it, and `sv.open` opens all"
        raise FileNotFoundError(f"Argument `path` must be a svjax {name}, but {path} {what}.")
    found = json.loads((path / "zarr.json").read_text())
    attributes = found["attributes"]
    made = attributes.get("format_version")
    if made != version:
        raise ValueError(f"Argument `path` must be a {name} of format {version}, but {path} has format {made}.")
    try:
        arrays = found["consolidated_metadata"]["metadata"]
        strange = [name for name, array in arrays.items() if not _is_plain(array)]
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"Argument `path` must be an intact svjax {name}, but {path} has no metadata.") from None
    if strange:
        raise ValueError(f"Argument `path` must hold plain numbers, but {path} holds something else in {strange}.")
    return attributes


def _is_plain(array: dict[str, Any]) -> bool:
    codecs = [codec if isinstance(codec, str) else codec["name"] for codec in array["codecs"]]
    known = array["data_type"] in TYPES and all(codec in CODECS for codec in codecs)
    return known and array["zarr_format"] == 3 and array["node_type"] == "array"
