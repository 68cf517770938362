"""Settle: recompute dirty traces from all their spans, log events and facts; write what pages, metrics and search
read of them.

`turn` takes the work and commits it, `inputs` reads what there is of a trace, `judging` turns policies into rules,
`rows` writes the results.
"""

from traces.settling.turn import settle_dirty

__all__ = ["settle_dirty"]
