"""All writes: each transition is one function and one transaction, READ COMMITTED, on the primary.

Locks are taken in one order everywhere, each before what it guards is read: the feature's gate, the request or grant,
the voters' role rows, budgets by their order, the record's head. What was waited for is read in a later statement, and
time is clock_timestamp(): both were seen to accept an expired grant otherwise.
"""

from approvals.services.asking import answer_question, ask_question
from approvals.services.deciding import Ask, Decided, as_it_stands, decide, decided
from approvals.services.drafting import propose_draft
from approvals.services.ending import expire_due, withdraw, withdraw_own
from approvals.services.executing import Started, execute, report, settle
from approvals.services.stopping import Killed, finish_stops, kill, restore
from approvals.services.voting import edit, take_back, vote

__all__ = [
    "Ask",
    "Decided",
    "Killed",
    "Started",
    "answer_question",
    "as_it_stands",
    "ask_question",
    "decide",
    "decided",
    "edit",
    "execute",
    "expire_due",
    "finish_stops",
    "kill",
    "propose_draft",
    "report",
    "restore",
    "settle",
    "take_back",
    "vote",
    "withdraw",
    "withdraw_own",
]
