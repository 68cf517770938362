"""Rules in CEL: checked whole when they are written down, bounded and exact when they are asked.

`tree` parses an expression; `checking` reads it against the types of what it may see; `compiled` evaluates it; `trace`
says what a rule sees of a trace, `arguments` what one sees of a proposed action. Pure, no Django.
"""

from features.rules.checking import check_rule, is_decimal
from features.rules.compiled import Answer, Rule, compile_rule, scaled
from features.rules.trace import TRACE
from features.rules.tree import RuleFault, paths_of

__all__ = [
    "TRACE",
    "Answer",
    "Rule",
    "RuleFault",
    "check_rule",
    "compile_rule",
    "is_decimal",
    "paths_of",
    "scaled",
]
