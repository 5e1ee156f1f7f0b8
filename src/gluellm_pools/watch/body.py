"""The body of a request, decompressed as it comes and never beyond its bounds."""

from __future__ import annotations

import zlib

from .limits import BODY_BYTES, EXPANDED_BYTES
from .refusal import RefusedError

ENCODINGS = ("gzip", "deflate", "identity")
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_MOST_MEMBERS = 1000


class Body:
    """Takes what arrives, chunk by chunk; every method raises RefusedError when it is too much."""

    __slots__ = ("_encoding", "_expanded", "_inflater", "_members", "_sent")

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._sent = 0
        self._expanded = bytearray()
        self._members = 0
        bits = _WINDOW_BITS.get(encoding)
        self._inflater = None if bits is None else zlib.decompressobj(bits)

    def __len__(self) -> int:
        """Bytes held."""
        return len(self._expanded)

    def add(self, chunk: bytes | bytearray) -> None:
        self._sent += len(chunk)
        if self._sent > BODY_BYTES:
            raise RefusedError(413, f"the body is larger than {BODY_BYTES} bytes, send less")
        if self._inflater is None:
            self._expanded += chunk
        else:
            self._inflate(self._inflater, bytes(chunk))

    def finish(self) -> bytes:
        """The whole body. What was held is given away."""
        if self._inflater is not None and not self._inflater.eof and self._sent:
            raise RefusedError(400, f"the {self._encoding} body ends too early: it is truncated")
        whole = bytes(self._expanded)
        self._expanded.clear()
        return whole

    def _inflate(self, inflater: zlib._Decompress, chunk: bytes) -> None:
        while chunk:
            if inflater.eof:
                chunk = chunk.lstrip(b"\0")  # a gzip file may be padded with zeros
                if not chunk:
                    return
                inflater = self._inflater = self._next_member()
            room = EXPANDED_BYTES - len(self._expanded) + 1
            try:
                self._expanded += inflater.decompress(chunk, room)
            except zlib.error as error:
                raise RefusedError(400, f"the body is not {self._encoding}: {error}") from None
            if len(self._expanded) > EXPANDED_BYTES:
                raise RefusedError(
                    413, f"the body expands to more than {EXPANDED_BYTES} bytes, send less"
                )
            chunk = inflater.unconsumed_tail or inflater.unused_data

    def _next_member(self) -> zlib._Decompress:
        """A gzip file may be several, one after the other."""
        if self._encoding != "gzip":
            raise RefusedError(400, f"the {self._encoding} body goes on after its end")
        self._members += 1
        if self._members >= _MOST_MEMBERS:
            raise RefusedError(413, f"the gzip body has more than {_MOST_MEMBERS} members")
        return zlib.decompressobj(_WINDOW_BITS["gzip"])
