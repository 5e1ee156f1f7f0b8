"""Exceptions behind an exception."""

from collections.abc import Iterator


def causes(error: object) -> Iterator[BaseException]:
    """An exception, its causes, and those in its arguments and its group, each once."""
    seen: set[int] = set()
    errors = [error]
    while errors:
        one = errors.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            errors += [one.__cause__, one.__context__, *one.args, *getattr(one, "exceptions", ())]
