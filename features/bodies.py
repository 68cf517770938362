"""The bodies of the API: strict JSON, bounded, as problem details when they are not."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from features.canonical import NotCanonical, NotJson, parse_canonical
from features.errors import ClearanceError


class TooLargeBody(ClearanceError):
    """The body is over what this call takes."""

    status = 413


class UncanonicalBody(ClearanceError):
    """JSON that two readers may read differently."""

    status = 422


class CanonicalParser(BaseParser):
    """`application/json`, read by features/canonical.py. A call that takes more says so in a subclass."""

    media_type = "application/json"
    most_bytes = 64 * 1024

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(self.most_bytes + 1)
        if len(body) > self.most_bytes:
            raise TooLargeBody("too_large", f"The body is over {self.most_bytes // 1024} KiB.", "Send less.")
        try:
            return parse_canonical(body)
        except NotCanonical as error:
            raise UncanonicalBody("not_canonical", f"This JSON cannot be taken: {error}.") from error
        except NotJson as error:
            raise ClearanceError("invalid", f"{str(error).capitalize()}.", position=error.position) from error
