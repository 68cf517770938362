"""Rules in CEL: checked whole when they are written down, bounded and exact when they are asked.

`checking` reads the tree of an expression against the types of what it may see; `compiled` evaluates it; `trace`
says what a rule sees of a trace. Pure, no Django. Another subject (an action's arguments) brings its own types.
"""

from features.rules.checking import RuleFault, check_rule
from features.rules.compiled import Answer, Rule, compile_rule
from features.rules.trace import TRACE

__all__ = ["TRACE", "Answer", "Rule", "RuleFault", "check_rule", "compile_rule"]
