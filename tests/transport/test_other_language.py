"""The script of docs/how-to/test-from-another-language.md starts cards and runs a node program."""

import json
from pathlib import Path

import pytest

from tests import ROOT
from tests.docs.pages import blocks
from tests.docs.shell import Shell
from tests.programs.node_client import needs_node

PAGE = ROOT / "docs" / "how-to" / "test-from-another-language.md"


@pytest.mark.usefixtures("pcscd")
def test_the_script_of_the_page_reads_two_cards_and_stops_them(tmp_path: Path) -> None:
    needs_node()
    (script,) = [block.text for block in blocks(PAGE.read_text("utf-8")) if "file" in block.notes]
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "tests").symlink_to(ROOT / "tests")
    (folder / "run-suite.sh").write_text(script)
    shell = Shell(folder)
    printed = shell.run("bash run-suite.sh")
    assert shell.last_code == 0, printed
    first, second = (json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    assert first["chip"] != second["chip"]
    assert first["fields"] == second["fields"] == {
        "abo_blood_group": "04", "rh_blood_group": "2f", "asthma": "00", "heart_disease": "01",
    }  # fmt: skip
    assert printed.endswith("stopped; the cards are saved\n")
