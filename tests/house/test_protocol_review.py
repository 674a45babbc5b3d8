"""docs/explanation/protocol-review.md names, for each attack, a test that tries it."""

import ast
import re

from tests import ROOT

FOLDER = ROOT / "tests"
REVIEW = (ROOT / "docs" / "explanation" / "protocol-review.md").read_text(encoding="utf-8")


def test_every_test_that_the_review_names_exists() -> None:
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", REVIEW))
    functions = {
        node.name
        for path in FOLDER.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert named - functions == set()
    assert len(named) > 20
