"""Decode: the bytes of an OTLP request become raw spans and log records, or a reason why not.

Everything here is bounded: the size while inflating, the depth of values; and each item is judged by itself,
so that one unusable span does not cost the others. No Django.
"""

from traces.decode.answers import logs_response, status_response, traces_response
from traces.decode.errors import DecodeError, TooLarge, UnsupportedEncoding, UnsupportedMediaType
from traces.decode.inflating import inflate
from traces.decode.requests import Decoded, decode_logs, decode_traces

__all__ = [
    "DecodeError",
    "Decoded",
    "TooLarge",
    "UnsupportedEncoding",
    "UnsupportedMediaType",
    "decode_logs",
    "decode_traces",
    "inflate",
    "logs_response",
    "status_response",
    "traces_response",
]
