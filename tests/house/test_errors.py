"""Everything that is raised on purpose is a CardError: a test walks the tree."""

import ast
import builtins
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

import cardlib
import personalize
from cardlib.errors import CardError
from personalize.cli.signals import Signalled
from tests import ROOT
from tests.house.import_graph import FunctionNode, Source, Tree

TREE = Tree(ROOT, "cardlib", "personalize", "apdu_scripts")
COMMAND_LINE = ("ClickException", "UsageError", "BadParameter", "Exit", "NoSuchOption")
"""What click takes for an error of usage: the command line raises it, and nothing else does."""


def modules() -> Iterator[str]:
    for package in (cardlib, personalize):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield found.name


def test_every_exception_class_is_a_card_error_but_that_of_a_signal() -> None:
    """A signal is no error: as Ctrl-C, it must pass what catches errors."""
    found = {
        value
        for name in modules()
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and issubclass(value, BaseException)
        if value.__module__.startswith(("cardlib", "personalize"))
    }
    assert len(found) > 15
    assert {kind for kind in found if not issubclass(kind, CardError)} == {Signalled}


def caught_here(function: FunctionNode | None, name: str) -> bool:
    """Whether a function catches what it raises: a jump inside it, seen by nobody."""
    if function is None:
        return False
    handlers = [node for node in ast.walk(function) if isinstance(node, ast.ExceptHandler)]
    return any(handler.type and name in ast.unparse(handler.type) for handler in handlers)


Raised = tuple[str, FunctionNode | None, int]
"""The name of a class that is raised, the function around it, and the line."""


@cache
def raised(source: Source) -> list[Raised]:
    """What a module raises; the function is the innermost one."""
    inside: dict[ast.Raise, FunctionNode] = {}
    for function in source.functions():
        inside |= {node: function for node in ast.walk(function) if isinstance(node, ast.Raise)}
    return [
        (ast.unparse(node.exc.func).rpartition(".")[2], inside.get(node), node.lineno)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    ]


def is_of_python(name: str) -> bool:
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


def test_no_module_raises_a_python_error_to_its_caller() -> None:
    found = [
        f"{source.path}:{line} raises {name}: raise a CardError"
        for source in TREE
        for name, function, line in raised(source)
        if is_of_python(name) and not caught_here(function, name)
        if (name, getattr(function, "name", "")) != ("AttributeError", "__getattr__")
    ]
    assert found == []


def test_the_library_raises_no_error_of_the_command_line() -> None:
    found = [
        f"{source.path}:{line} raises {name}"
        for source in TREE
        for name, _, line in raised(source)
        if name in COMMAND_LINE and not source.name.startswith("personalize.cli")
    ]
    assert found == []
