"""An exception as its log would end."""

from __future__ import annotations


def explanation(error: BaseException) -> list[str]:
    """The exception with its causes, and the notes on any of them; empty where there is no note."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    notes = [note for link in chain for note in getattr(link, "__notes__", ())]
    if not notes:
        return []
    return [" <- ".join(map(_named, chain)), *notes]


def _named(error: BaseException) -> str:
    kind = type(error)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
    message = str(error)
    return f"{name}: {message}" if message else name
