"""Who imports whom, read from the sources with ast, without importing anything."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One import statement's target, and when it runs: at import, in a call, or for types only."""

    target: str
    line: int
    at_import_time: bool
    for_types: bool


@cache
def _parsed(text: str, path: str) -> ast.Module:
    """Once for all the tests that look at it."""
    return ast.parse(text, path)


class Source:
    """One module of the tree: its dotted name, text and syntax tree, which is made when used."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path.relative_to(root)
        parts = self.path.with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.text = path.read_text(encoding="utf-8")
        self._whole_path = path

    @cached_property
    def tree(self) -> ast.Module:
        return _parsed(self.text, str(self._whole_path))

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    def functions(self) -> Iterator[FunctionNode]:
        return (node for node in ast.walk(self.tree) if isinstance(node, FunctionNode))


class Tree:
    """All modules below some top-level packages of a root folder."""

    def __init__(self, root: Path, *packages: str) -> None:
        paths = (path for package in packages for path in sorted((root / package).rglob("*.py")))
        self.modules = {source.name: source for source in (Source(root, path) for path in paths)}

    def __iter__(self) -> Iterator[Source]:
        return iter(self.modules.values())

    def imports(self, source: Source) -> list[Import]:
        return [
            Import(target, line, at_import_time=when == "import", for_types=when == "types")
            for node, when in _walk(source.tree, "import")
            for target, line in self._targets(source, node)
        ]

    def arrows(self, source: Source) -> set[str]:
        """The modules of this tree that a module needs, some only when it is called."""
        found = {each.target for each in self.imports(source) if not each.for_types}
        return {target for target in found if target in self.modules and target != source.name}

    def cycles(self, package: str) -> list[list[str]]:
        inside = {s.name: self.arrows(s) for s in self if s.top == package}
        return [sorted(group) for group in strongly_connected(inside) if len(group) > 1]

    def _targets(self, source: Source, node: ast.AST) -> Iterator[tuple[str, int]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield (submodule if submodule in self.modules else base), node.lineno
        elif isinstance(node, ast.Call) and (name := _named_by_call(node)):
            yield name, node.lineno


def strongly_connected(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Groups of nodes that all reach each other (a group of one is no cycle)."""
    reach = {node: _reachable(graph, node) for node in graph}
    groups: list[set[str]] = []
    for node in graph:
        if not any(node in group for group in groups):
            groups.append({node} | {other for other in reach[node] if node in reach[other]})
    return groups


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node in graph and node not in seen:
            seen.add(node)
            waiting.extend(graph[node])
    return seen


def _walk(node: ast.AST, when: str) -> Iterator[tuple[ast.AST, str]]:
    """Every node below, and when it runs: at "import", in a "call", or for "types" only."""
    for child in ast.iter_child_nodes(node):
        yield child, when
        inside = when
        if _is_type_checking(child):
            inside = "types"
        elif when == "import" and isinstance(child, FunctionNode | ast.Lambda):
            inside = "call"
        yield from _walk(child, inside)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.name.split(".")
    up = node.level - source.is_package
    base = parts[: len(parts) - up]
    return ".".join([*base, node.module] if node.module else base)


def _named_by_call(node: ast.Call) -> str | None:
    """The module of `import_module("x")` or `__import__("x")`, where it is written out."""
    if ast.unparse(node.func) not in {"__import__", "import_module", "importlib.import_module"}:
        return None
    first = node.args[0] if node.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
