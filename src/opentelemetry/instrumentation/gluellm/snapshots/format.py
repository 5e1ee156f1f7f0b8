"""The format of a snapshot in a file: JSON, and back.

Both directions follow the type hints of the parts, so a new field needs nothing here but a default:
a file of an older version lacks it. A named tuple becomes a list, so its new fields come last.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from ..text import one_line
from ..version import __version__

FORMAT = 1
"""Rises when a field changes its meaning; not with new fields, which readers ignore."""
MOST_BYTES = 64 * 1024**2
"""Largest uncompressed file that is read."""
_GZIP, _GZIP_BITS = b"\x1f\x8b", 31
_LARGEST = 2**64
"""Numbers are smaller: no count or time reaches it, and arithmetic with larger ones can fail."""
_NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
_LONGEST_FOUND = 40

PartT = TypeVar("PartT")


class _Codec(NamedTuple):
    write: Callable[[Any], Any]
    read: Callable[[Any, str], Any]
    """Takes a value and its path. Raises ValueError."""


def written(part: Any) -> dict[str, Any]:
    """Return a part as dicts, lists, text, numbers and None, with the version that wrote it."""
    kind: Any = type(part)
    content: dict[str, Any] = _codec(kind).write(part)
    return {"format": FORMAT, "version": __version__, **content}


def restored(kind: type[PartT], content: Any) -> PartT:
    """Return the part that `written` wrote. Ignores unknown fields; missing ones are the default.

    Raises ValueError that names the field and what was expected.
    """
    found: Any = {"format": None, **_is(dict, "an object", content, "the snapshot")}
    number = _codec(int).read(found["format"], "format")
    if number > FORMAT:
        version = one_line(found.get("version", "unknown"), _LONGEST_FOUND)
        raise ValueError(
            f"written by version {version}, format {number}; this doctor reads up to {FORMAT}"
        )
    whole: Any = kind
    part: PartT = _codec(whole).read(content, "")
    return part


def content_of(file: BinaryIO) -> Any:
    """Return the JSON of a file, also if it is compressed with gzip.

    Reads at most `MOST_BYTES`, compressed and uncompressed. Raises ValueError with the reason if
    there is no such JSON in it, and OSError.
    """
    data = file.read(MOST_BYTES + 1)
    if data.startswith(_GZIP):
        unpacker = zlib.decompressobj(_GZIP_BITS)
        try:
            data = unpacker.decompress(data, MOST_BYTES + 1)
        except zlib.error:
            raise ValueError("its gzip data is damaged") from None
        if not unpacker.eof and len(data) <= MOST_BYTES:
            raise ValueError("its gzip data is cut off")
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES >> 20} MB")
    if not data.strip():
        raise ValueError("it is empty")
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"it is not JSON, or cut off, at {where}") from None
    except (ValueError, RecursionError):  # a number or a nesting beyond Python's limits
        raise ValueError("it is not JSON of a snapshot") from None


def _is(kind: type, expected: str, value: Any, path: str) -> Any:
    if type(value) is not kind:
        raise _unexpected(expected, value, path)
    return value


def _unexpected(expected: str, value: Any, path: str) -> ValueError:
    known = {type(None): "nothing", dict: "an object", list: "a list"}
    found = known.get(type(value)) or one_line(repr(value), _LONGEST_FOUND)
    return ValueError(f"{one_line(path)}: expected {expected}, found {found}")


@functools.cache
def _codec(hint: Any) -> _Codec:
    """Return how a type is written and read."""
    kind, of = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        parts = [one for one in of if one is not types.NoneType]
        inner = _codec(parts[0]) if len(parts) == 1 else _scalar(*parts)
        return _optional(inner) if len(parts) < len(of) else inner
    if kind is tuple:
        return _many(of[0]) if of[1:] == (...,) else _list(tuple, dict(enumerate(of)), {})
    if issubclass(kind, Mapping):
        return _object(of[1]) if of[0] is str else _pairs(*of)
    if issubclass(kind, tuple):
        return _list(kind._make, get_type_hints(kind), kind._field_defaults)
    return _record(kind) if dataclasses.is_dataclass(kind) else _scalar(kind)


def _scalar(*kinds: type) -> _Codec:
    expected = " or ".join(_NAMES[kind] for kind in kinds)

    def read(value: Any, path: str) -> Any:
        kind = type(value)
        if kind in (int, float):
            # The comparison is False for NaN. An application can set a limit of 10.0 connections.
            is_one = abs(value) < _LARGEST and (float in kinds or (int in kinds and value % 1 == 0))
        else:
            is_one = kind in kinds
        if not is_one:
            raise _unexpected(expected, value, path)
        return value

    def write(value: Any) -> Any:
        return None if isinstance(value, (int, float)) and not abs(value) < _LARGEST else value

    return _Codec(write, read)


def _optional(one: _Codec) -> _Codec:
    return _Codec(
        lambda value: None if value is None else one.write(value),
        lambda value, path: None if value is None else one.read(value, path),
    )


def _many(hint: Any) -> _Codec:
    one = _codec(hint)

    def read(value: Any, path: str) -> Any:
        items = enumerate(_is(list, "a list", value, path))
        return tuple([one.read(item, f"{path}[{number}]") for number, item in items])

    return _Codec(lambda value: [one.write(item) for item in value], read)


def _list(
    make: Callable[[Any], Any], hints: Mapping[Any, Any], defaults: Mapping[Any, Any]
) -> _Codec:
    """Return how a tuple of certain items is written: as a list, which others may have longer."""
    codecs = [(_codec(hint), name) for name, hint in hints.items()]
    least, optional = len(hints) - len(defaults), list(defaults.values())

    def read(value: Any, path: str) -> Any:
        if len(_is(list, "a list", value, path)) < least:
            raise ValueError(f"{one_line(path)}: expected {least} items, found {len(value)}")
        items = zip(codecs, value, strict=False)
        found = [codec.read(item, f"{path}[{name}]") for (codec, name), item in items]
        return make(found + optional[len(found) - least :])

    def write(value: Any) -> Any:
        return [codec.write(item) for (codec, _), item in zip(codecs, value, strict=True)]

    return _Codec(write, read)


def _object(hint: Any) -> _Codec:
    one = _codec(hint)

    def read(value: Any, path: str) -> Any:
        entries = _is(dict, "an object", value, path).items()
        return {key: one.read(entry, f"{path}.{key}") for key, entry in entries}

    return _Codec(lambda value: {key: one.write(entry) for key, entry in value.items()}, read)


def _pairs(key: Any, value: Any) -> _Codec:
    """Return how a mapping whose keys are not text is written: as a list of pairs."""
    pairs = _many(tuple[key, value])
    return _Codec(
        lambda mapping: pairs.write(mapping.items()),
        lambda content, path: dict(pairs.read(content, path)),
    )


def _record(kind: Any) -> _Codec:
    hints = get_type_hints(kind)
    codecs = [(field.name, _codec(hints[field.name])) for field in dataclasses.fields(kind)]
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is field.default_factory is dataclasses.MISSING
    }

    def read(value: Any, path: str) -> Any:
        content, start = _is(dict, "an object", value, path), f"{path}." if path else ""
        return kind(
            **{
                name: codec.read(content.get(name), start + name)
                for name, codec in codecs
                if name in content or name in required
            }
        )

    return _Codec(lambda part: {name: one.write(getattr(part, name)) for name, one in codecs}, read)
