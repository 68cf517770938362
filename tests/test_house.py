"""The house keeps its own rules: documented settings, whole migrations, no stray text, small scripts."""

import re
import subprocess

import pytest

from tests.support import ROOT, Stack


def ours(pattern: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_every_setting_is_documented() -> None:
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "config/settings.py").read_text()))
    documented = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs/configuration.md").read_text()))
    assert len(read) > 15
    assert read - documented == set()


def test_no_migration_is_missing(stack: Stack) -> None:
    done = stack.manage("makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout


def test_the_deployment_check_is_clean_in_production_mode(stack: Stack) -> None:
    production = Stack(stack.var, port=stack.port, extra={"CLEARANCE_URL": "https://clearance.example"})
    done = production.manage("check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


def test_templates_hold_no_inline_script_style_or_handler() -> None:
    wrong = []
    for name in ours("templates"):
        text = (ROOT / name).read_text()
        wrong += [
            (name, found)
            for found in re.findall(
                r"<script(?![^>]*(?:src=|application/json))|<style|\sstyle=|\son[a-z]+=\"", text
            )
        ]
    assert wrong == []


def test_our_scripts_are_small() -> None:
    # What comments and indentation take says nothing to the browser.
    sizes = {
        name: len(re.sub(r"(?m)^\s*(//.*)?\n?", "", (ROOT / name).read_text())) for name in ours("static/js")
    }
    assert sizes
    assert sum(sizes.values()) <= 15 * 1024
    for name in sizes:
        assert len((ROOT / name).read_text().splitlines()) < 150, name


@pytest.mark.parametrize("pattern", ["*.html", "*.js", "*.css"])
def test_nothing_loads_from_another_host(pattern: str) -> None:
    allowed = re.compile(
        r"https?://(?:127\.0\.0\.1|localhost|www\.w3\.org|opentelemetry\.io|HOST|\{|[a-z.]*example\b|evil\.example)"
    )
    wrong = []
    for name in ours(pattern):
        for found in re.findall(r"(?:src|href)=[\"']https?://[^\"']+", (ROOT / name).read_text()):
            if not allowed.search(found):
                wrong.append((name, found))
    assert wrong == []
