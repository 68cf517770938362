"""The answers of the OTLP door, in the encoding of the request."""

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse


def traces_response(content_type: str, rejected: int, message: str) -> bytes:
    """An ExportTraceServiceResponse; with a partial success when some spans were rejected."""
    response = ExportTraceServiceResponse()
    if rejected:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = message
    return _encoded(response, content_type)


def logs_response(content_type: str, rejected: int, message: str) -> bytes:
    """An ExportLogsServiceResponse; with a partial success when some records were rejected."""
    response = ExportLogsServiceResponse()
    if rejected:
        response.partial_success.rejected_log_records = rejected
        response.partial_success.error_message = message
    return _encoded(response, content_type)


def status_response(content_type: str, code: int, message: str) -> bytes:
    """A google.rpc.Status; `code` is a google.rpc.Code."""
    return _encoded(Status(code=code, message=message), content_type)


def _encoded(message: Message, content_type: str) -> bytes:
    if content_type == "application/json":
        return MessageToJson(message, indent=None).encode()
    return message.SerializeToString()
