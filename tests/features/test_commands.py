"""The commands of the machine interface, to the letter."""

import pytest

from tests.support import Stack, unique


def test_a_feature_is_created_once_and_creating_it_again_is_no_error(stack: Stack) -> None:
    slug = unique("command")
    for _ in range(2):
        done = stack.manage("feature", "create", slug, "--task", "Resolve tier-1 billing tickets.")
        assert (done.returncode, done.stdout) == (0, f"{slug}\n")


def test_a_key_is_the_only_thing_printed(stack: Stack) -> None:
    slug = unique("command")
    stack.manage("feature", "create", slug)
    done = stack.manage("key", "create", slug, "--scope", "ingest", "--scope", "read")
    assert done.returncode == 0
    assert done.stdout.startswith("clr_")
    assert len(done.stdout.split()) == 1
    assert done.stdout.strip() not in stack.log.read_text()


def test_a_person_gets_the_given_password_or_a_made_one(stack: Stack) -> None:
    slug = unique("command")
    stack.manage("feature", "create", slug)
    made = stack.manage("person", "create", unique("pat"), "--role", f"{slug}:approver")
    assert made.returncode == 0
    assert len(made.stdout.strip()) >= 16
    given = stack.manage(
        "person",
        "create",
        unique("sam"),
        "--role",
        f"{slug}:lead",
        "--password-stdin",
        given="long enough, and mine\n",
    )
    assert given.returncode == 0
    assert "long enough" not in given.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("feature", "create", "Not A Slug"), "slug"),
        (("feature", "create", "new"), "slug"),
        (("key", "create", "no-such-feature", "--scope", "read"), "no-such-feature"),
        (("key", "create", "no-such-feature", "--scope", "everything"), "everything"),
        (("person", "create", "pat.sample", "--role", "no-such-feature:lead"), "no-such-feature"),
        (("person", "create", "pat.sample", "--role", "lead"), "FEATURE:ROLE"),
    ],
)
def test_a_wrong_argument_is_error_2_with_what_to_mend(
    stack: Stack, arguments: tuple[str, ...], said: str
) -> None:
    done = stack.manage(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
