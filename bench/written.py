"""The report while it grows: printed part by part, and written as Markdown and as a page with its plots."""

import html
from pathlib import Path
from typing import Any

import plotly.io

__all__ = ["Report"]


class Report:
    """Parts of a report in their order; `write` leaves `report.md` and `report.html` in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts: list[tuple[str, tuple[dict[str, Any], ...]]] = []

    def say(self, line: str) -> None:
        """A line of progress; not part of the report."""
        print(f"... {line}", flush=True)

    def add(self, text: str, *figures: dict[str, Any]) -> None:
        """A part in Markdown, with figures in plotly's JSON."""
        print(f"{text}\n", flush=True)
        self._parts.append((text, figures))
        self.write()

    def write(self) -> None:
        """Write what there is."""
        self.folder.mkdir(exist_ok=True)
        self.folder.joinpath("report.md").write_text(
            "\n\n".join(text for text, _ in self._parts) + "\n", encoding="utf-8"
        )
        body = "".join(
            f"<pre>{html.escape(text)}</pre>"
            + "".join(
                plotly.io.to_html(figure, full_html=False, include_plotlyjs="directory", validate=False)
                for figure in figures
            )
            for text, figures in self._parts
        )
        self.folder.joinpath("plotly.min.js").write_text(_plotly_js(), encoding="utf-8")
        self.folder.joinpath("report.html").write_text(
            f"<!doctype html><meta charset=utf-8><title>Clearance benchmarks</title>{body}", encoding="utf-8"
        )


def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
