"""One name, one thing: no class and no module of the tree has the name of another one."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from .import_graph import Source, Tree

ROOT = Path(__file__).resolve().parents[2]
TREE = Tree(ROOT, "cardlib", "personalize")

_BOTH_SIDES = "host and emulator each write the protocol, because they check each other"
_COMMAND = "a module of personalize/cli is named after its command, the other one does the work"

SHARED_MODULE_NAMES: Mapping[frozenset[str], str] = {
    frozenset({"cardlib.messaging.v1", "cardlib.emulator.sessions.v1"}): _BOTH_SIDES,
    frozenset({"cardlib.messaging.v2", "cardlib.emulator.sessions.v2"}): _BOTH_SIDES,
    frozenset({"cardlib.messaging.scp03", "cardlib.emulator.sessions.scp03"}): _BOTH_SIDES,
    frozenset({"personalize.cli.apdu", "cardlib.apdu"}): _COMMAND,
    frozenset({"personalize.cli.batch", "personalize.preparation.batch"}): _COMMAND,
    frozenset({"personalize.cli.card_profile", "cardlib.layout.card_profile"}): _COMMAND,
    frozenset({"personalize.cli.issue", "personalize.production.issue"}): _COMMAND,
    frozenset({"personalize.cli.journal", "personalize.production.journal"}): _COMMAND,
    frozenset({"personalize.cli.pins", "personalize.production.pins"}): _COMMAND,
    frozenset({"personalize.cli.prepare", "personalize.preparation.prepare"}): _COMMAND,
    frozenset({"personalize.cli.status", "cardlib.status"}): (
        "the command shows how far work is; the other one holds the status words of cards"
    ),
    frozenset({"personalize.cli.verify", "cardlib.checks.verify"}): _COMMAND,
}
"""The modules that may share a name, and why. `__init__` is not a name of its own."""

SHARED_CLASS_NAMES: Mapping[frozenset[str], str] = {}
"""The classes that may share a name, and why."""


def _shared(names: Iterable[tuple[str, str]]) -> set[frozenset[str]]:
    """The places of every name that stands for more than one thing."""
    places: defaultdict[str, set[str]] = defaultdict(set)
    for name, place in names:
        places[name].add(place)
    return {frozenset(found) for found in places.values() if len(found) > 1}


def _modules(tree: Tree) -> Iterator[tuple[str, str]]:
    for source in tree:
        if not source.is_package:
            yield source.name.rpartition(".")[2], source.name


def _classes(tree: Iterable[Source]) -> Iterator[tuple[str, str]]:
    for source in tree:
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, f"{source.name}.{node.name}"


def test_no_two_modules_have_one_name_but_for_a_reason() -> None:
    assert _shared(_modules(TREE)) == set(SHARED_MODULE_NAMES)


def test_no_two_public_classes_have_one_name_but_for_a_reason() -> None:
    assert _shared(_classes(TREE)) == set(SHARED_CLASS_NAMES)


@pytest.mark.parametrize("table", [SHARED_MODULE_NAMES, SHARED_CLASS_NAMES])
def test_every_name_that_is_shared_has_a_reason(table: Mapping[frozenset[str], str]) -> None:
    assert all(reason for reason in table.values())


def test_a_name_that_occurs_twice_is_found(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / "top" / folder).mkdir(parents=True)
        (tmp_path / "top" / folder / "records.py").write_text("class Reader: ...\n", "utf-8")
    tree = Tree(tmp_path, "top")
    assert _shared(_modules(tree)) == {frozenset({"top.one.records", "top.two.records"})}
    assert _shared(_classes(tree)) == {
        frozenset({"top.one.records.Reader", "top.two.records.Reader"})
    }
