"""What the client's documentation shows works as it stands there, and names everything that is public."""

import os
import re
import subprocess
import sys
from pathlib import Path

import clearance
from tests.clients.support import Side
from tests.support import ROOT

TEXT = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(side: Side, code: str) -> str:
    env = {
        **os.environ,
        "CLEARANCE_URL": side.stack.url,
        "CLEARANCE_KEY": side.key,
        "PYTHONPATH": str(ROOT / "clients" / "python" / "src"),
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_three_calls_make_an_action_safe(side: Side) -> None:
    with side.meanwhile(side.vote):
        assert run(side, "def refund(**args): print(args['amount'])\n" + blocks()[0]) == "180.00\n"
    assert side.executions() == ["refund succeeded"]


def test_the_guarded_tool_works(side: Side) -> None:
    with side.meanwhile(side.vote):
        run(side, blocks()[1])
    assert side.executions() == ["refund succeeded"]


def test_every_example_is_python_and_imports_what_is_there() -> None:
    for block in blocks():
        compile(block, "client.md", "exec")
        for module, names in re.findall(r"^from (clearance[\w.]*) import (.+)$", block, re.MULTILINE):
            found = __import__(module, fromlist=["*"])
            assert all(hasattr(found, name.strip()) for name in names.split(","))


def test_every_public_error_is_documented() -> None:
    errors = [
        name
        for name in clearance.__all__
        if isinstance(getattr(clearance, name), type) and issubclass(getattr(clearance, name), Exception)
    ]
    assert len(errors) > 12
    left_out = {"Refused", "ReceiptReplayed"}  # a base, and one that needs no other handling
    assert [name for name in errors if f"`{name}`" not in TEXT and name not in left_out] == ["ReceiptInvalid"]
    assert "ReceiptInvalid" in TEXT


def test_the_package_says_what_it_needs() -> None:
    named = (ROOT / "clients" / "python" / "pyproject.toml").read_text(encoding="utf-8")
    own = set()
    for path in (ROOT / "clients" / "python" / "src").rglob("*.py"):
        own |= set(
            re.findall(r"^(?:from|import) (\w+)", Path(path).read_text(encoding="utf-8"), re.MULTILINE)
        )
    foreign = own - set(sys.stdlib_module_names) - {"clearance"}
    packages = {
        "agents": "openai-agents",
        "langchain_core": "langgraph",
        "pydantic_ai": "pydantic-ai-slim",
        "pydantic_core": "pydantic-ai-slim",
        "anyio": "httpx",
    }
    assert {name for name in foreign if packages.get(name, name) not in named} == set()
