"""Why a body can never be stored. Each message says what to mend; the exporter is not asked to try again."""


class DecodeError(ValueError):
    """The bytes are no OTLP request (400)."""


class TooLarge(ValueError):
    """The body unpacks to more than is taken (413)."""


class UnsupportedEncoding(ValueError):
    """A Content-Encoding that is not read here (415)."""


class UnsupportedMediaType(ValueError):
    """A Content-Type that is neither protobuf nor JSON (415)."""
