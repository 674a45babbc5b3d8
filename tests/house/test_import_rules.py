"""The rules of the house: who may import whom, and how large a piece may grow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.house.import_graph import FunctionNode, Source, Tree, strongly_connected

PACKAGES = ("cardlib", "personalize", "apdu_scripts")
TREE = Tree(ROOT, *PACKAGES, "benchmarks")

# The rooms of cardlib, lowest first: docs/explanation/architecture.md shows the same picture.
FLOORS = (
    {"errors", "regular_file", "unfinished", "apdu", "tlv", "status"},
    {"facts"},
    {"crypto"},
    {"commands"},
    {"exchange"},
    {"timing"},
    {"layout"},
    {"transport"},
    {"pki"},
    {"keys"},
    {"messaging"},
    {"card"},
    {"issuance"},
    {"emulator"},
    {"checks"},
    {"script"},
    {"pytest_plugin"},
)
FLOOR_OF = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
EMULATOR_MAY_USE = {
    "errors", "regular_file", "unfinished", "apdu", "tlv", "status", "facts", "crypto", "commands",
    "exchange", "layout", "timing", "emulator",
}  # fmt: skip
"""The wall: emulator and host check each other. `keys` is for the bench's ready-made cards only."""
NEVER_THE_EMULATOR = ("cardlib.card", "cardlib.issuance", "cardlib.checks", "cardlib.messaging",
                      "cardlib.keys", "cardlib.transport", "cardlib.script")  # fmt: skip

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40


def room(module: str) -> str:
    """`cardlib.layout.model` is in the room `layout`; the package itself is in none."""
    return module.split(".")[1] if module.startswith("cardlib.") else ""


def within(module: str, *packages: str) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in packages)


def forbidden(tree: Tree, importers: tuple[str, ...], targets: tuple[str, ...]) -> list[str]:
    return [
        f"{source.path}:{each.line} imports {each.target}"
        for source in tree
        if within(source.name, *importers)
        for each in tree.imports(source)
        if within(each.target, *targets)
    ]


def wrong_way(tree: Tree) -> Iterator[str]:
    """Arrows inside cardlib that do not point to the same room or a lower one."""
    for source in tree:
        for each in tree.imports(source):
            here, there = room(source.name), room(each.target)
            if not here or not within(each.target, "cardlib") or here == there:
                continue
            if here == "emulator":
                on_the_bench = within(source.name, "cardlib.emulator.bench")
                fine = there in EMULATOR_MAY_USE or (on_the_bench and there == "keys")
            elif FLOOR_OF[here] == 0:
                fine = FLOOR_OF.get(there) == 0
            else:
                fine = there in FLOOR_OF and FLOOR_OF[there] < FLOOR_OF[here]
            if not fine:
                yield f"{source.path}:{each.line} ({here}) imports {each.target}"


def body_lines(function: FunctionNode) -> int:
    """Lines of a function from its first statement after the docstring to its last."""
    body = function.body
    if function.body and _is_docstring(function):
        body = body[1:]
    if not body:
        return 0
    decorators: list[ast.expr] = getattr(body[0], "decorator_list", [])
    first = min([body[0].lineno, *(decorator.lineno for decorator in decorators)])
    return (function.end_lineno or first) - first + 1


def _is_docstring(function: FunctionNode) -> bool:
    value = getattr(function.body[0], "value", None)
    return isinstance(getattr(value, "value", None), str)


def project_modules() -> list[Source]:
    return [source for source in TREE if source.top in PACKAGES]


# --- the rules, held against our own tree ---------------------------------------------


def test_the_tree_is_there() -> None:
    assert {"cardlib", "cardlib.errors", "cardlib.apdu"} <= TREE.modules.keys()


def test_every_room_of_cardlib_has_its_place() -> None:
    rooms = {room(source.name) for source in TREE if room(source.name)}
    assert rooms == FLOOR_OF.keys()


def test_cardlib_imports_neither_click_nor_rich() -> None:
    assert forbidden(TREE, ("cardlib",), ("click", "rich")) == []


def test_pyscard_is_imported_in_one_module() -> None:
    found = forbidden(TREE, PACKAGES, ("smartcard",))
    allowed = str(Path("cardlib", "transport", "pcsc_service.py"))
    assert [line for line in found if not line.startswith(f"{allowed}:")] == []


def test_pkcs11_is_imported_in_one_module_and_late() -> None:
    found = forbidden(TREE, PACKAGES, ("pkcs11",))
    allowed = str(Path("cardlib", "keys", "token", "pkcs11.py"))
    assert found
    assert [line for line in found if not line.startswith(f"{allowed}:")] == []
    source = TREE.modules["cardlib.keys.token.pkcs11"]
    targets = {each.target for each in TREE.imports(source) if each.at_import_time}
    assert not any(within(target, "pkcs11") for target in targets)


def test_what_prints_is_imported_in_one_room_and_late() -> None:
    printers = ("typst", "segno", "fontTools")
    found = forbidden(TREE, PACKAGES, printers)
    allowed = str(Path("personalize", "printing"))
    assert {line.rpartition(" ")[2].partition(".")[0] for line in found} == {*printers}
    assert [line for line in found if not line.startswith(allowed)] == []
    early = {
        each.target
        for source in TREE
        if within(source.name, "personalize.printing")
        for each in TREE.imports(source)
        if each.at_import_time
    }
    assert not any(within(target, *printers) for target in early)


def test_the_emulator_knows_no_host_side() -> None:
    host_side = ("cardlib.messaging", "cardlib.card", "cardlib.transport")
    assert forbidden(TREE, ("cardlib.emulator",), host_side) == []
    assert forbidden(TREE, NEVER_THE_EMULATOR, ("cardlib.emulator",)) == []


def test_only_the_bureau_imports_the_bureau() -> None:
    found = forbidden(TREE, ("cardlib", "apdu_scripts"), ("personalize",))
    allowed = str(Path("apdu_scripts", "__main__.py"))
    assert [line for line in found if not line.startswith(f"{allowed}:")] == []


def test_packages_do_not_import_tests_or_benchmarks() -> None:
    assert forbidden(TREE, PACKAGES, ("tests", "benchmarks")) == []
    assert forbidden(TREE, ("cardlib",), ("apdu_scripts",)) == []


def test_arrows_inside_cardlib_point_down() -> None:
    assert list(wrong_way(TREE)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_cycles(package: str) -> None:
    assert TREE.cycles(package) == []


def test_modules_are_short_enough_to_read() -> None:
    long = {str(s.path): len(s.text.splitlines()) for s in project_modules()}
    assert {path: n for path, n in long.items() if n > MAX_MODULE_LINES} == {}


def test_functions_are_short_enough_to_read() -> None:
    long = {
        f"{s.path}:{f.lineno} {f.name}": body_lines(f)
        for s in project_modules()
        for f in s.functions()
    }
    assert {where: n for where, n in long.items() if n > MAX_FUNCTION_LINES} == {}


def test_no_module_is_called_utils() -> None:
    names = {"util", "utils", "helpers", "misc", "common"}
    assert [s.name for s in project_modules() if s.name.rpartition(".")[2] in names] == []


IMPORT_ALL = """
import importlib, logging, pkgutil, sys
import cardlib

def names():
    for found in pkgutil.walk_packages(cardlib.__path__, "cardlib."):
        if not found.name.endswith("__main__"):
            yield found.name

names_of = ("alone", "pcsc", "pcsc_readers", "pcsc_service", "slot")
readers = {f"cardlib.transport.{name}" for name in names_of}
for name in sorted(names(), key=lambda name: (name in readers, name)):
    if name == min(readers):
        early = {"click", "rich", "smartcard"} & sys.modules.keys()
        assert not early, f"imported without need: {early}"
    importlib.import_module(name)

assert not {"click", "rich", "pkcs11"} & sys.modules.keys()
assert not logging.getLogger().handlers, "the root logger has handlers"
for name, logger in logging.Logger.manager.loggerDict.items():
    if name.partition(".")[0] == "cardlib" and isinstance(logger, logging.Logger):
        assert not logger.handlers and logger.level == logging.NOTSET, f"{name} is set up"
"""


def test_importing_cardlib_is_silent() -> None:
    """Every module of it: no output, no log handlers, nothing of a terminal loaded."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- the rules themselves, held against trees that break them -------------------------


def made_up(root: Path, **modules: str) -> Tree:
    for name, text in modules.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for parent in path.relative_to(root).parents[:-1]:
            (root / parent / "__init__.py").touch()
    return Tree(root, "cardlib")


@pytest.mark.parametrize(
    "text",
    [
        "import click",
        "import click.testing as t",
        "from click import echo",
        "def f():\n    import click",
        "import importlib\nimportlib.import_module('click.core')",
    ],
)
def test_an_import_is_seen_however_it_is_written(tmp_path: Path, text: str) -> None:
    tree = made_up(tmp_path, cardlib__keys__store=text)
    assert len(forbidden(tree, ("cardlib",), ("click",))) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("cardlib__crypto__block", "from ..messaging import scp03"),
        ("cardlib__crypto__block", "from .. import card"),
        ("cardlib__layout__model", "from cardlib.keys import store"),
        ("cardlib__tlv", "def f():\n    from .layout import model"),
        ("cardlib__card", "from .emulator import blank"),
        ("cardlib__emulator__blank", "from ..transport import player"),
        ("cardlib__keys__store", "from cardlib import VERSION"),
    ],
)
def test_an_arrow_up_is_seen(tmp_path: Path, module: str, text: str) -> None:
    tree = made_up(tmp_path, **{"cardlib__messaging__scp03": "", "cardlib__card": "", module: text})
    assert len(list(wrong_way(tree))) == 1


def test_arrows_down_and_within_a_room_are_fine(tmp_path: Path) -> None:
    tree = made_up(
        tmp_path,
        cardlib__tlv="from .errors import FormatError",
        cardlib__errors="",
        cardlib__crypto__block="from ..tlv import parse",
        cardlib__crypto__cmac="from . import block\nfrom .block import pad",
        cardlib__emulator__blank="from ..crypto import block",
        cardlib__messaging__scp03="from cardlib.keys import store",
    )
    assert list(wrong_way(tree)) == []
    assert tree.cycles("cardlib") == []


def test_a_cycle_is_seen_also_of_a_late_import_but_not_of_types(tmp_path: Path) -> None:
    tree = made_up(tmp_path, cardlib__a="from . import b", cardlib__b="from .a import x")
    assert tree.cycles("cardlib") == [["cardlib.a", "cardlib.b"]]
    tree = made_up(tmp_path, cardlib__b="def f():\n    from .a import x")
    assert tree.cycles("cardlib") == [["cardlib.a", "cardlib.b"]]
    tree = made_up(tmp_path, cardlib__b="if TYPE_CHECKING:\n    from .a import x")
    assert tree.cycles("cardlib") == []


def test_cycles_of_three_are_one_group() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set[str]()}
    assert [g for g in strongly_connected(graph) if len(g) > 1] == [{"a", "b", "c"}]


def test_a_docstring_does_not_count_as_body(tmp_path: Path) -> None:
    text = 'def f() -> int:\n    """One.\n\n    Two.\n    """\n    a = 1\n    return a\n'
    (function,) = made_up(tmp_path, cardlib__f=text).modules["cardlib.f"].functions()
    assert body_lines(function) == 2
