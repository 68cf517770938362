"""Inflate: a compressed body within a bound, so that a small body cannot fill the memory."""

import zlib

from traces.decode.errors import DecodeError, TooLarge, UnsupportedEncoding

# zlib's window bits: 31 reads gzip, 15 the zlib format that HTTP calls deflate (RFC 9110, 8.4.1).
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def inflate(body: bytes, encoding: str | None, limit: int) -> bytes:
    """The body without its Content-Encoding, at most `limit` bytes.

    Raises TooLarge as soon as it is over the limit, UnsupportedEncoding, and DecodeError for a body that is
    broken or ends early. Several gzip members one after another are one body (RFC 1952, 2.2).
    """
    if encoding in {None, "", "identity"}:
        if len(body) > limit:
            raise TooLarge(f"The body is over {limit} bytes; send smaller batches.")
        return body
    window = _WINDOWS.get(encoding or "")
    if window is None:
        raise UnsupportedEncoding("The content encoding must be gzip, deflate or none.")
    pieces: list[bytes] = []
    room = limit
    rest = body
    while True:
        member = zlib.decompressobj(window)
        try:
            # One byte more than there is room for tells "exactly full" from "over".
            piece = member.decompress(rest, room + 1)
        except zlib.error as error:
            raise DecodeError(f"The body is not {encoding}.") from error
        if len(piece) > room:
            raise TooLarge(f"The body unpacks to over {limit} bytes; send smaller batches.")
        if not member.eof:
            raise DecodeError(f"The {encoding} body ends early.")
        pieces.append(piece)
        room -= len(piece)
        rest = member.unused_data
        if not rest:
            return b"".join(pieces)
        if window != 31:
            raise DecodeError(f"The {encoding} body has bytes after its end.")
