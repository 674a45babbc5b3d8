"""What is pointed at is there: links, pages, sections, tests."""

import pkgutil
import re
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, TOP_PAGES, name_of

SPECIFICATION = (ROOT / "docs" / "reference" / "card-specification.md").read_text("utf-8")
SECTIONS = set(re.findall(r"^## (\d+a?)\. ", SPECIFICATION, re.MULTILINE))
_SECTION = r"\d+a?\b(?!\.\d)"
_CITATION = re.compile(
    rf"card\s+specification,?\s+(?:sections?\s+)?({_SECTION}(?:(?:, | and | to ){_SECTION})*)"
)
_PATH = re.compile(r"\bdocs/[\w./-]+\.md\b")
_OUTSIDE = re.compile(
    r"\.\./shared|(?<!\w)/(?:work|home|root)/|\bshared/(?:spec|design|data|vectors)|\bdesign/\w+\.md"
)


_ROOMS = ("apdu_scripts", "benchmarks", "cardlib", "docs", "personalize", "tests")
_KINDS = (".py", ".md", ".toml", ".sh")


def _sources() -> list[Path]:
    kept = [*ROOT.glob("*"), *(path for room in _ROOMS for path in (ROOT / room).rglob("*"))]
    return [path for path in kept if path.suffix in _KINDS] + [ROOT / "Makefile"]


SOURCES = _sources()


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    return {_anchor(h) for h in re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in _anchors(found), target


def test_every_page_of_the_documentation_that_is_named_exists() -> None:
    missing = [
        (path.relative_to(ROOT).as_posix(), named)
        for path in SOURCES
        if path != Path(__file__)
        for named in _PATH.findall(path.read_text("utf-8"))
        if not (ROOT / named).exists()
    ]
    assert missing == []


def test_every_section_of_the_card_specification_that_is_cited_exists() -> None:
    unknown = [
        (path.relative_to(ROOT).as_posix(), match[0])
        for path in SOURCES
        for match in _CITATION.finditer(path.read_text("utf-8"))
        if set(re.findall(_SECTION, match[1])) - SECTIONS
    ]
    assert unknown == []
    assert {str(number) for number in range(1, 11)} | {"1a", "5a"} == SECTIONS


def test_nothing_cites_a_document_that_is_not_in_the_repository() -> None:
    cited = [
        (path.relative_to(ROOT).as_posix(), match[0])
        for path in SOURCES
        if path != Path(__file__)
        for match in _OUTSIDE.finditer(path.read_text("utf-8"))
    ]
    assert cited == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_and_module_that_a_page_names_exists(page: Path) -> None:
    for named in re.findall(
        r"`((?:cardlib|personalize|tests|benchmarks|apdu_scripts)/[\w./]+)`",
        page.read_text("utf-8"),
    ):
        assert (ROOT / named).exists(), named


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_name_of_the_library_that_a_page_gives_can_be_imported(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # It names what was before.
    for named in re.findall(r"`(cardlib(?:\.\w+)+)(?:`|\()", page.read_text("utf-8")):
        assert _resolves(named), named


def _resolves(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_the_architecture_shows_the_rooms_that_there_are() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text("utf-8")
    for package in ("personalize", "cardlib", "cardlib/emulator"):
        for found in (ROOT / package).iterdir():
            is_room = found.is_dir() and (found / "__init__.py").exists()
            if is_room or (found.suffix == ".py" and not found.name.startswith("_")):
                name = f"{found.name}/" if is_room else found.name
                assert re.search(rf"(?:^|\s){re.escape(name)}(?:\s|$)", page), f"{package}/{name}"


def test_every_page_can_be_reached_from_the_index() -> None:
    todo, seen = [ROOT / "docs" / "index.md"], set[Path]()
    while todo:
        page = todo.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        targets = re.findall(r"\]\((?!https?:)([^)#\s]+\.md)", page.read_text("utf-8"))
        todo += [(page.parent / target).resolve() for target in targets]
    top = {ROOT / name for name in TOP_PAGES}
    assert set(PAGES) - seen - top == set()
