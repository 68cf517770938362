"""Expressions of actions against their schemas: what could be true by accident is refused, with what to write."""

import re
from typing import Any

import pytest

from features.policy import UnreadablePolicy, read_policy
from features.policy.schemas import faults_of_arguments, faults_of_schema
from features.rules import compile_rule, is_decimal
from features.rules.arguments import faults_of_expression, may_be_negative, reads_without_has

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": [
        "amount",
        "currency",
        "count",
        "share",
        "customer",
        "items",
        "either",
        "flag",
        "fee",
        "nothing",
    ],
    "properties": {
        "amount": {"type": "string", "pattern": r"^[0-9]{1,9}\.[0-9]{2}$"},
        "currency": {"enum": ["USD", "EUR"]},
        "count": {"type": "integer", "minimum": 0},
        "share": {"type": "number"},
        "note": {"type": "string"},
        "customer": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "vip": {"type": "boolean"}},
        },
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["price"],
                "properties": {"price": {"type": "string"}, "gift": {"type": "boolean"}},
            },
        },
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "flag": {"type": "boolean"},
        "fee": {"$ref": "#/$defs/money"},
        "nothing": {"type": ["string", "null"]},
    },
    "$defs": {"money": {"type": "string", "pattern": "^-?[0-9]+$"}},
}
GOOD = (
    'args.currency == "USD" && decimal(args.amount) <= decimal("50")',
    "args.count <= 5 && args.share < 0.5",
    "args.flag || !has(args.note)",
    'args.customer.id != ""',
    'args.items.all(i, decimal(i.price) <= decimal("5"))',
    'decimal(args.items[0].price) <= decimal("5")',
    'decimal(args.amount) * args.count + decimal(args.fee) <= decimal("50")',
    "budget.left >= decimal(args.amount)",
    "has(context.ticket) && context.open",
    'args.currency in ["USD"]',
    'args.amount.matches("^5")',
)
# (rule, what its fault must say, so that its author knows what to write)
BAD = (
    ('args.ghost <= 50 || args.currency == "USD"', "there is no ghost in args"),
    ('args.amonut == "5"', "did you mean amount?"),
    ('args.amount <= "50"', 'write decimal(args.amount) <= decimal("50")'),
    ("args.amount <= 50", 'write decimal(args.amount) <= decimal("50")'),
    ('args.amount <= decimal("50")', "write decimal(args.amount)"),
    ("decimal(args.amount) <= 50", 'write decimal("50")'),
    ('decimal(args.amount) <= "50"', 'write decimal("50")'),
    ('decimal(args.share) <= decimal("5")', 'type = "string"'),
    ('args.share <= decimal("5")', 'type = "string"'),
    ("double(args.amount) <= 50.0", "write decimal(args.amount)"),
    ('args.note == "x"', 'add "note" to required'),
    ("args.customer.vip", 'add "vip" to required'),
    ("has(args.ghost)", "there is no ghost"),
    ('args.either == "x"', "anyOf"),
    ('args.nothing == "x"', "string or null"),
    ('args.count == "5"', "of one type"),
    ("args.items.all(i, i.gift)", 'add "gift" to required'),
    ("args.items[1].price == args.amount", "minItems = 2"),
    ("args.items[args.count].price == args.amount", "may be shorter"),
    ('args["amount"] == "5"', "write args.amount"),
    ("args.amount", "true or false"),
    ("budget.left >= 5", 'write decimal("5")'),
    ("args.items.all(a, args.items.all(b, args.items.all(c, true)))", "deep"),
    ("args.amount =< 5", "no expression"),
)


@pytest.mark.parametrize("rule", GOOD)
def test_a_rule_over_required_and_typed_paths_is_kept(rule: str) -> None:
    assert faults_of_expression(rule, SCHEMA, "under", budgets=True) == []


@pytest.mark.parametrize(("rule", "said"), BAD)
def test_a_rule_that_could_be_true_by_accident_is_refused_with_what_to_write(rule: str, said: str) -> None:
    faults = faults_of_expression(rule, SCHEMA, "under", budgets=True)
    assert said in " ".join(faults), faults


@pytest.mark.parametrize(
    ("field", "text", "fault"),
    [
        ("cost", "decimal(args.amount)", None),
        ("cost", "args.count", None),
        ("cost", "args.amount", "decimal or an int"),
        ("cost", "args.share", "decimal or an int"),
        ("subject", "args.customer.id", None),
        ("subject", "args.count", None),
        ("subject", "args.customer", "a text or an int"),
        ("once_per", 'args.currency + ":" + args.amount', None),
        ("once_per", "args.note", 'add "note" to required'),
        ("once_per", "context.ticket", "context is not known here"),
    ],
)
def test_cost_subject_and_once_per_come_to_what_they_are_used_as(
    field: str, text: str, fault: str | None
) -> None:
    faults = faults_of_expression(text, SCHEMA, field)
    assert (fault in faults[0]) if fault else not faults


def test_a_budget_is_seen_only_where_there_is_one_and_an_action_without_a_schema_has_no_arguments() -> None:
    assert faults_of_expression('budget.left >= decimal("5")', SCHEMA, "under")
    assert "there is no amount in args" in faults_of_expression('args.amount == "5"', None, "under")[0]
    assert faults_of_expression("true", None, "under") == []


def test_every_part_of_a_rule_is_told_at_once() -> None:
    faults = faults_of_expression('args.ghost == 1 && args.note == "x" && args.count < 5', SCHEMA, "under")
    assert len(faults) == 2


def test_what_may_be_negative_or_missing_is_known() -> None:
    assert may_be_negative("decimal(args.amount) * args.count", SCHEMA) == []
    assert may_be_negative("decimal(args.fee)", SCHEMA) == ["args.fee"]
    assert may_be_negative("decimal(args.items[0].price)", SCHEMA) == ["args.items[0].price"]
    assert may_be_negative('decimal(args.amount) - decimal("5")', SCHEMA) == ["-"]
    rule = "has(context.a) && context.a > 1 && context.b.c == 2"
    assert reads_without_has(rule) == ["context.b.c"]


def test_a_decimal_that_cannot_be_read_is_over_also_beside_what_is_true() -> None:
    rule = compile_rule('decimal(args.amount) <= decimal("50") || args.currency == "USD"')
    assert rule.ask({"args": {"amount": "5.00", "currency": "EUR"}}).holds
    answer = rule.ask({"args": {"amount": "five", "currency": "USD"}})
    assert not answer.holds
    assert answer.fault
    assert compile_rule("decimal(args.amount)").value({"args": {"amount": "five"}}) is None


@pytest.mark.parametrize(
    ("text", "exact"), [("decimal(args.amount) * args.count", True), ("args.count", False), ("1", False)]
)
def test_a_cost_says_whether_it_is_in_millionths(text: str, exact: bool) -> None:
    assert faults_of_expression(text, SCHEMA, "cost") == []
    assert is_decimal(text) is exact


# --- in a file --------------------------------------------------------------------------------------------

FILE = r"""[feature]
slug = "x"
task = "Resolve tickets."
tier = "execute_under_threshold"
[[action]]
name = "refund"
effect = "reversible"
under = 'decimal(args.amount) <= decimal("50")'
subject = "args.order"
[action.schema]
type = "object"
required = ["amount", "order"]
properties.amount = { type = "string", pattern = '^[0-9]{1,9}\.[0-9]{2}$' }
properties.order = { type = "string" }
[[action.budget]]
cost = "decimal(args.amount)"
limit = "500"
per = "day"
"""


def lines_of(text: str) -> list[tuple[str, str]]:
    with pytest.raises(UnreadablePolicy) as refused:
        read_policy(text)
    lines = text.splitlines()
    return [(lines[fault.line - 1], fault.message) for fault in refused.value.faults]


def test_each_fault_of_a_rule_stands_at_its_line_beside_the_faults_of_other_fields() -> None:
    assert read_policy(FILE).warnings == []
    wrong = (
        FILE.replace("decimal(args.amount) <= decimal", "args.amount <= decimal", 1)
        .replace('"args.order"', '"args.oder"')
        .replace('cost = "decimal(args.amount)"', 'cost = "args.amount"')
        .replace('effect = "reversible"', 'effect = "harmless"')
    )
    assert [line.partition(" ")[0] for line, _ in lines_of(wrong)] == ["effect", "under", "subject", "cost"]


def test_warnings_stand_at_their_lines_and_refuse_nothing() -> None:
    text = (
        FILE.replace("'^[0-9]{1,9}", "'[-0-9]{1,9}")
        .replace('cost = "decimal(args.amount)"\n', "")
        .replace("under = '", "under = 'context.sure == true && ")
    )
    said = [
        (text.splitlines()[one.line - 1].partition(" ")[0], one.message) for one in read_policy(text).warnings
    ]
    assert [(line, message.split()[0]) for line, message in said] == [
        ("under", "args.amount"),
        ("under", "context.sure"),
        ("properties.amount", "looks"),
    ]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "does not have"),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, "itself"),
        ({"allOf": [{"$ref": "#"}]}, "itself"),
        ({"properties": {"a": {"$ref": "#"}}}, "itself"),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/d30"}},
                "$defs": {
                    "d0": {"type": "string"},
                    **{f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 2} for n in range(1, 31)},
                },
            },
            "could take long",
        ),
        ({"properties": {"a": {"$ref": "https://schemas.example/money"}}}, "into this schema"),
        ({"properties": {"a": {"$id": "b", "type": "string"}}}, "only at the top"),
    ],
)
def test_a_reference_that_goes_nowhere_or_round_is_refused(schema: dict[str, Any], said: str) -> None:
    assert any(said in message for _, message in faults_of_schema({"type": "object", **schema}))


# --- arguments --------------------------------------------------------------------------------------------

ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "required": ["amount"],
    "properties": {
        "amount": {"type": "string", "pattern": r"^\d+$"},
        "n": {"type": "number"},
        "c": {"enum": ["USD", 1]},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"const": True}}}},
    },
    "patternProperties": {r"^x\d$": {"type": "string"}},
}


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"amount": "50\n"}, "amount"),
        ({"amount": "\u0666\u0660"}, "amount"),
        ({"amount": "50", "n": True}, "n"),
        ({"amount": "50", "c": True}, "c"),
        ({"amount": "50", "ghost": 1}, ""),
        ({"amount": "50", "x\u0666": "1"}, ""),
        ({"amount": "50", "x1": 1}, "x1"),
        ({"amount": "50", "list": [{"a": True}, {"a": 1}]}, "list[1].a"),
        ({"amount": "50", "list": [{"b": 1}]}, "list[0]"),
        ({}, ""),
    ],
)
def test_arguments_that_only_look_right_are_refused_without_their_values(args: Any, path: str) -> None:
    assert re.search(r"^\d+$", "50\n")  # what Python's own patterns say
    faults = faults_of_arguments(ARGUMENTS, args)
    assert [where for where, _ in faults] == [path]
    assert "\u0666\u0660" not in str(faults)


def test_right_arguments_have_no_fault_and_no_schema_takes_none() -> None:
    assert faults_of_arguments(ARGUMENTS, {"amount": "50", "n": 1.5, "c": 1, "x1": "y"}) == []
    assert faults_of_arguments(None, {}) == []
    assert faults_of_arguments(None, {"a": 1})
