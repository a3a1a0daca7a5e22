"""From words to options: ranges of numbers, repeated options, TOML files, names of folders."""

import difflib
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np

from svjax.storage.plain import tidy_path

Count = int | Literal["auto"]
ONE_VALUE = (int, float, Path, Count, float | None, Path | None)
"""Types of options that a list of a TOML file does not fit."""

RANGES = (str, str | None)
"""Types of options for which a list of a TOML file is a list of values."""

MOST_VALUES = 10**6
"""Of one range: a sweep has its time and disk checked once it is known, a list of numbers before it is made."""


def numbers(name: str, text: str) -> list[float]:
    """The numbers that ``first:last:count``, a list ``0,0.5,1`` or a single number stands for."""
    try:
        if ":" not in text:
            return [float(part) for part in text.split(",")]
        first, last, count = text.split(":")
        if int(count) > MOST_VALUES:
            raise OverflowError(f"Argument `{name}` must have at most {MOST_VALUES:,} values, but has {int(count):,}.")
        if not (np.isfinite([float(first), float(last)]).all() and int(count) > 1):
            raise ValueError
        return [float(value) for value in np.linspace(float(first), float(last), int(count))]
    except ValueError:
        raise ValueError(
            f"Argument `{name}` must be first:last:count, with a count of at least 2, or a list of numbers, but is "
            f"{text!r}."
        ) from None


def joined(option: str, arguments: list[str]) -> list[str]:
    """The arguments with all words of a repeated ``option`` where it is first, so that none is lost."""
    if arguments.count(option) < 2:
        return arguments
    first, words, others = arguments.index(option), [], []
    collecting = False
    for word in arguments:
        collecting = word == option or (collecting and not word.startswith("--"))
        if word != option:
            (words if collecting else others).append(word)
    return [*others[:first], option, *words, *others[first:]]


def unused_name(name: str, overwrite: bool) -> Path:
    """A folder below runs/ that does not exist yet, unless it may be overwritten."""
    tries = (Path("runs", name if k == 1 else f"{name}-{k}") for k in range(1, 10**6))
    return next(path for path in tries if overwrite or not path.exists())


def toml_arguments(path: Path, options: type, command: str) -> list[str]:
    """The contents of a TOML file as command-line arguments; raises ValueError for what is not an option."""
    try:
        found = tomllib.loads(tidy_path(path).read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"Argument `config` must be a TOML file, but {path} is not one ({error}).") from None
    types = {name: kind for name, kind in get_type_hints(options).items() if name != "config"}
    known = list(types)
    arguments = []
    names = [key.replace("-", "_") for key in found]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"Key `{double}` must be in {path} once, but is there in two spellings.")
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"Key `{key}` of {path} must be an option of `{command}`; the nearest is `{near}`.")
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            if types[name] is not bool:
                raise ValueError(f"Key `{key}` of {path} must not be true or false, but is {str(value).lower()}.")
            arguments.append(option if value else f"--no-{option[2:]}")
        elif types[name] is bool:
            raise ValueError(f"Key `{key}` of {path} must be true or false, but is {value!r}.")
        elif isinstance(value, list) and types[name] in ONE_VALUE:
            raise ValueError(f"Key `{key}` of {path} must be one value, but is the list {value}.")
        else:
            words = _words(key, value)
            arguments += [option, ",".join(words)] if types[name] in RANGES and words else [option, *words]
    return arguments


def command_line(command: str, options: Any) -> str:
    """The line that gives these options again: those that differ from their defaults, also where a file gave them."""
    words = ["svjax", command]
    for part in fields(options):
        value, option = getattr(options, part.name), "--" + part.name.replace("_", "-")
        if part.name == "config" or value == part.default:
            continue
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            parts = _flat(value)
            words += [f"{option}={parts[0]}"] if len(parts) == 1 and parts[0][:1] == "-" else [option, *parts]
    return shlex.join(words)


def _flat(value: Any) -> list[str]:
    return [word for part in value for word in _flat(part)] if isinstance(value, tuple) else [str(value)]


def _words(key: str, value: Any) -> list[str]:
    if isinstance(value, list):
        return [word for part in value for word in _words(key, part)]
    if isinstance(value, dict):
        raise ValueError(f"Key `{key}` must hold a number, a text or a list, but is a table.")
    return [str(value)]
