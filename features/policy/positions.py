"""Where each value of a TOML text stands: the path of keys and indices to its line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

Path = tuple[str | int, ...]
_LANGUAGE = Language(tree_sitter_toml.language())
_KEYS = ("bare_key", "quoted_key", "dotted_key")


class Positions:
    """The lines (from 1) of a TOML text that tomllib has accepted."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        counts: dict[Path, int] = {}
        root = Parser(_LANGUAGE).parse(text.encode()).root_node
        for node in root.children:
            if node.type == "pair":
                self._pair(node, ())
            elif node.type in ("table", "table_array_element"):
                base = self._table(node, counts)
                for pair in node.children:
                    if pair.type == "pair":
                        self._pair(pair, base)

    def line(self, path: Path) -> int:
        """The line of the value, or of the nearest thing around it that is written; 1 for the whole."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _table(self, node: Node, counts: dict[Path, int]) -> Path:
        """A header's path, with the index of the newest element of each array of tables on its way."""
        keys = next(list(_names(child)) for child in node.children if child.type in _KEYS)
        path: Path = ()
        for at, key in enumerate(keys):
            path = (*path, key)
            last = at == len(keys) - 1
            if last and node.type == "table_array_element":
                counts[path] = counts.get(path, -1) + 1
            self._note(path, node)
            if path in counts:
                path = (*path, counts[path])
                self._note(path, node)
        return path

    def _pair(self, node: Node, base: Path) -> None:
        key, value = (child for child in node.named_children if child.type != "comment")
        path = base
        for name in _names(key):
            path = (*path, name)
            self._note(path, key)
        self._value(value, path)

    def _value(self, node: Node, path: Path) -> None:
        if node.type == "inline_table":
            for pair in node.named_children:
                if pair.type == "pair":
                    self._pair(pair, path)
        elif node.type == "array":
            elements = [child for child in node.named_children if child.type != "comment"]
            for at, element in enumerate(elements):
                self._note((*path, at), element)
                self._value(element, (*path, at))

    def _note(self, path: Path, node: Node) -> None:
        self._lines.setdefault(path, node.start_point[0] + 1)


def _names(key: Node) -> Iterator[str]:
    """A key's names, unquoted as TOML says."""
    if key.type == "dotted_key":
        for child in key.named_children:
            yield from _names(child)
        return
    written = (key.text or b"").decode()
    yield next(iter(tomllib.loads(f"{written} = 0"))) if key.type == "quoted_key" else written
