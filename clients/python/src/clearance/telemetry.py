"""Where OpenTelemetry's API is installed, a decision names the span that asked and the span names its execution."""

from __future__ import annotations

from clearance.answers import Execution

try:
    from opentelemetry import trace as _trace
except ImportError:  # the extra is not installed: nothing to link to
    _trace = None  # type: ignore[assignment]

__all__ = ["current_parent", "name_execution"]


def current_parent() -> str | None:
    """The current span as a `traceparent` header (W3C Trace Context); None without one."""
    if _trace is None:
        return None
    context = _trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def name_execution(execution: Execution) -> None:
    """Set `clearance.execution_id` on the current span."""
    if _trace is not None:
        _trace.get_current_span().set_attribute("clearance.execution_id", execution.id)
