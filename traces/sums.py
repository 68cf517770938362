"""The SQL of what traces add up to, shared by the rollups and by the metrics of what is not rolled up.

Composed from constants of this module alone: nothing of a request, a trace or a person ever stands in a
statement's text.
"""

from collections.abc import Sequence
from typing import Final

__all__ = ["COLUMNS", "COUNTS", "DIMENSIONS", "HISTOGRAMS", "added_up", "sums_of_traces"]

# What is counted, with the expression over a group of traces.
_COUNTED: Final = {
    "requests": "count(*)",
    "errors": "count(*) FILTER (WHERE status = 'error')",
    "successes": "count(*) FILTER (WHERE outcome = 'success')",
    "escalated": "count(*) FILTER (WHERE outcome = 'escalated')",
    "failed": "count(*) FILTER (WHERE outcome = 'failed')",
    "abandoned": "count(*) FILTER (WHERE outcome = 'abandoned')",
    "violated": "count(*) FILTER (WHERE violations > 0)",
    "complete": "count(*) FILTER (WHERE missing = '{}')",
    "llm_calls": "sum(llm_calls)",
    "llm_errors": "sum(llm_errors)",
    "tool_calls": "sum(tool_calls)",
    "tool_errors": "sum(tool_errors)",
    "retries": "sum(retries)",
    "budgeted_calls": "sum(budgeted_calls)",
    "over_budget_calls": "sum(over_budget_calls)",
    "input_tokens": "sum(input_tokens)",
    "output_tokens": "sum(output_tokens)",
    "cached_input_tokens": "sum(cached_input_tokens)",
    "cost_usd": "coalesce(sum(cost_usd), 0)",
    "unknown_cost": "count(*) FILTER (WHERE cost_usd IS NULL)",
    "redactions": "sum(redactions)",
}
COUNTS: Final = tuple(_COUNTED)
HISTOGRAMS: Final = ("latency", "waiting", "context")
_KEYS: Final = "feature_id, at, dimension, variant, value"
# What a group holds beside the feature and the start of its step, in order.
COLUMNS: Final = (
    *("dimension", "variant", "value"),
    *COUNTS,
    *(f"{name}_{part}" for name in HISTOGRAMS for part in ("buckets", "counts")),
)

_INT: Final = 2**31 - 1
_BIGINT: Final = 2**63 - 1
_BIG: Final = ("input_tokens", "output_tokens", "cached_input_tokens", "redactions")

# What a trace brings into each dimension. `tool` counts only the calls of that tool. Names are cut so that they
# fit into a key.
_PASSED: Final = """
    feature_id, at, variant, status, outcome, violations, missing, llm_calls, llm_errors, retries,
    budgeted_calls, over_budget_calls, input_tokens, output_tokens, cached_input_tokens, cost_usd, redactions,
    latency, waiting, context"""
_PARTS: Final = {
    "": f"""
        SELECT ''::text, ''::text, tool_calls, tool_errors, {_PASSED} FROM one""",
    "model": f"""
        SELECT 'model', named, tool_calls, tool_errors, {_PASSED} FROM one
        CROSS JOIN LATERAL (SELECT DISTINCT left(name, 200) FROM unnest(models) AS name) AS m (named)""",
    "tool": f"""
        SELECT 'tool', named, calls, failures, {_PASSED} FROM one
        CROSS JOIN LATERAL (
            SELECT left(name, 200), count(*)::int, (count(*) FILTER (WHERE state = 'error'))::int
            FROM unnest(tool_names, tool_states) AS u (name, state) GROUP BY 1
        ) AS used (named, calls, failures)""",
    "version": f"""
        SELECT 'version', left(feature_version, 200), tool_calls, tool_errors, {_PASSED} FROM one
        WHERE feature_version IS NOT NULL""",
    "segment": f"""
        SELECT 'segment.' || left(key, 120), left(tag, 200), tool_calls, tool_errors, {_PASSED} FROM one
        CROSS JOIN LATERAL jsonb_each_text(segments) AS s (key, tag)""",
}
DIMENSIONS: Final = tuple(_PARTS)

_TOOLS: Final = """
    ARRAY(SELECT call ->> 'name' FROM jsonb_array_elements(summary -> 'tool_calls') AS call) AS tool_names,
    ARRAY(SELECT call ->> 'status' FROM jsonb_array_elements(summary -> 'tool_calls') AS call) AS tool_states,"""


def sums_of_traces(ranges: str, dimensions: Sequence[str] = DIMENSIONS) -> str:
    """CTEs over another, `ranges` (feature_id, at, lo, hi): the traces that started in [lo, hi), added up for `at`.

    The last is `summed`: feature_id, at and COLUMNS.
    """
    parts = " UNION ALL ".join(_PARTS[name] for name in dimensions)
    kinds = ", ".join(f"({kind}, {name})" for kind, name in enumerate(HISTOGRAMS))
    sums = ", ".join(f"{_bounded(name, expression)} AS {name}" for name, expression in _COUNTED.items())
    # OFFSET 0: the range stays the condition of an index scan, whatever the planner thinks of their number.
    return f"""
    one AS MATERIALIZED (
        SELECT r.feature_id, r.at, t.* FROM {ranges} AS r CROSS JOIN LATERAL (
            SELECT left(variant, 200) AS variant, feature_version, segments, models, status, outcome, violations,
                missing, llm_calls, llm_errors, tool_calls, tool_errors, retries, budgeted_calls,
                over_budget_calls, input_tokens, output_tokens, cached_input_tokens, cost_usd,
                {_TOOLS if "tool" in dimensions else ""}
                (SELECT coalesce(sum(least(found::numeric, {_INT})), 0)
                    FROM jsonb_each_text(summary -> 'redactions') AS x (kind, found)) AS redactions,
                sketch_bucket(duration_ns - waiting_ns) AS latency,
                CASE WHEN waiting_ns > 0 THEN sketch_bucket(waiting_ns) END AS waiting,
                sketch_bucket(context_tokens) AS context
            FROM trace WHERE feature_id = r.feature_id AND started_at >= r.lo AND started_at < r.hi OFFSET 0
        ) AS t
    ),
    keyed (dimension, value, tool_calls, tool_errors, {_PASSED}) AS MATERIALIZED ({parts}),
    member AS (
        SELECT {_KEYS}, kind, bucket, 1::bigint AS n FROM keyed
        CROSS JOIN LATERAL (VALUES {kinds}) AS v (kind, bucket) WHERE bucket IS NOT NULL
    ),
    grouped AS (SELECT {_KEYS}, {sums} FROM keyed GROUP BY {_KEYS}),
    {_SUMMED}"""


def added_up(below: str, step: str) -> str:
    """CTEs over another, `ranges` (feature_id, at, lo, hi): rows of a rollup table in [lo, hi), added up for `at`.

    `step` is the table's column of time. The last is `summed`, as sums_of_traces has it.
    """
    kinds = " UNION ALL ".join(
        f"SELECT {kind}, bucket, n FROM unnest(part.{name}_buckets, part.{name}_counts) AS u (bucket, n)"
        for kind, name in enumerate(HISTOGRAMS)
    )
    sums = ", ".join(f"{_bounded(name, f'sum({name})')} AS {name}" for name in COUNTS)
    return f"""
    part AS MATERIALIZED (
        SELECT r.at, p.* FROM ranges AS r CROSS JOIN LATERAL (
            SELECT * FROM {below}
            WHERE feature_id = r.feature_id AND {step} >= r.lo AND {step} < r.hi OFFSET 0
        ) AS p
    ),
    member AS (SELECT {_KEYS}, kind, bucket, n FROM part CROSS JOIN LATERAL ({kinds}) AS v (kind, bucket, n)),
    grouped AS (SELECT {_KEYS}, {sums} FROM part GROUP BY {_KEYS}),
    {_SUMMED}"""


def _bounded(name: str, expression: str) -> str:
    """A sum cut to what its column holds, so that an agent's absurd claims stop no computation."""
    if name == "cost_usd":
        return f"least({expression}, 99999999999999::numeric)"
    largest, kind = (_BIGINT, "bigint") if name in _BIG else (_INT, "int")
    return f"least({expression}, {largest})::{kind}"


def _arrays(kind: int, name: str) -> str:
    return f"""LEFT JOIN (
        SELECT {_KEYS}, array_agg(bucket ORDER BY bucket) AS {name}_b, array_agg(n ORDER BY bucket) AS {name}_n
        FROM counted WHERE kind = {kind} GROUP BY {_KEYS}
    ) AS {name} USING ({_KEYS})"""


def _whole(name: str) -> str:
    return f"coalesce({name}_b, '{{}}') AS {name}_buckets, coalesce({name}_n, '{{}}') AS {name}_counts"


# The histograms beside the sums of each group.
_SUMMED: Final = f"""
    counted AS MATERIALIZED (
        SELECT {_KEYS}, kind, bucket, least(sum(n), {_INT})::int AS n FROM member GROUP BY {_KEYS}, kind, bucket
    ),
    summed AS (
        SELECT {_KEYS}, {", ".join(COUNTS)},
            {", ".join(_whole(name) for name in HISTOGRAMS)}
        FROM grouped {" ".join(_arrays(kind, name) for kind, name in enumerate(HISTOGRAMS))}
    )"""
