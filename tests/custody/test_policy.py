"""The policy file: what it says, and what is said when it is wrong."""

from pathlib import Path

import pytest

from cardlib.errors import KeysUnavailable
from cardlib.facts import ChipSerial
from cardlib.keys.agent.agent_verbs import FORMS
from personalize.custody.policy import Caller, Policy, PolicyError, Stock, read_policy
from personalize.custody.roles import Role
from tests import ROOT

WHOLE = """
stock = ["5248430000000001", "5248430000000002"]
idle_minutes = 5

[callers.station-1]
uid = 2001
role = "station"
cards = 10000
cards_a_minute = 20
give_ups = 3

[callers.clinic]
uid = 2002
role = "terminal"
verbs = ["versions", "authenticate", "session-keys"]
keys = ["RK1_DF02"]

[callers.lists]
uid = 2003
role = "data-preparation"
hashes_a_minute = 100
"""


def policy_of(folder: Path, text: str) -> Policy:
    path = folder / "policy.toml"
    path.write_text(text, "utf-8")
    path.chmod(0o640)
    return read_policy(path)


def test_a_whole_policy(tmp_path: Path) -> None:
    found = policy_of(tmp_path, WHOLE)
    station, clinic, lists = (found.callers[uid] for uid in (2001, 2002, 2003))
    assert (station.name, station.role, station.cards) == ("station-1", "station", 10_000)
    assert (station.cards_a_minute, station.give_ups, station.verbs) == (20, 3, None)
    assert clinic.roles == {Role.TERMINAL}
    assert clinic.verbs == frozenset(("versions", "authenticate", "session-keys"))
    assert clinic.keys == frozenset(("RK1_DF02",))
    assert (lists.hashes_a_minute, lists.cards, found.idle_minutes) == (100, None, 5)
    assert bytes.fromhex("5248430000000002") in Stock(found)
    assert bytes.fromhex("5248430000000003") not in Stock(found)


ONE = '[callers.one]\nuid = 1\nrole = "station"\n'
WRONG = {
    "stock = [": "not TOML",
    "": r"no caller: write \[callers.NAME\], with uid and role",
    "callers = 1": "no caller: write",
    f"{ONE}what = 1": "callers.one.what is no key of a policy: use uid, role",
    f"what = 1\n{ONE}": "what is no key of a policy: use idle_minutes",
    '[callers.one]\nrole = "station"': "callers.one.uid is missing: write the number",
    "[callers.one]\nuid = 1": 'callers.one.role is missing: write "station" or',
    '[callers.one]\nuid = true\nrole = "station"': "callers.one.uid is true: write the number",
    '[callers.one]\nuid = -1\nrole = "station"': "callers.one.uid is -1: write the number",
    '[callers.one]\nuid = 1\nrole = "king"': "callers.one.role is king: write",
    "[callers.one]\nuid = 1\nrole = []": r"callers.one.role is \[\]: write",
    '[callers.One]\nuid = 1\nrole = "station"': "callers.One: name it by a to z",
    f'{ONE}verbs = ["reign"]': "callers.one.verbs is .*: write a list of verbs",
    f'{ONE}keys = ["RK9"]': "callers.one.keys is .*: write a list of card keys",
    f"{ONE}cards = 1.5": "callers.one.cards is 1.5: write how many cards",
    f'stock = ["12"]\n{ONE}': "stock is .*: write a list of chip serials",
    f'stock = "all"\n{ONE}': "stock is all: write a list of chip serials",
    f'stock_file = "stock"\n{ONE}': "stock_file is stock: write the full path",
    f'stock = []\nstock_file = "/s"\n{ONE}': "stock and stock_file are both there",
    f"idle_minutes = 0\n{ONE}": "idle_minutes is 0: write the minutes",
    f'{ONE}[callers.two]\nuid = 1\nrole = "terminal"': "which is that of callers.one too",
}


@pytest.mark.parametrize(("text", "said"), WRONG.items(), ids=WRONG.values())
def test_a_wrong_policy_names_file_and_key_and_what_to_write(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(PolicyError, match=rf"policy.toml: .*{said}"):
        policy_of(tmp_path, text)


@pytest.mark.parametrize("mode", [0o660, 0o602, 0o777])
def test_a_policy_that_others_can_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(ONE, "utf-8")
    path.chmod(mode)
    with pytest.raises(PolicyError, match="chmod go-w"):
        read_policy(path)


def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="--policy FILE"):
        read_policy(tmp_path / "policy.toml")


def test_the_stock_file_is_read_again_when_chips_come(tmp_path: Path) -> None:
    path = tmp_path / "stock"
    found = policy_of(tmp_path, f'stock_file = "{path}"\n{ONE}')
    stock, chip = Stock(found), ChipSerial.parse("5248430000000001")
    with pytest.raises(KeysUnavailable, match="Correct stock_file in"):
        assert chip in stock
    path.write_text("# box 1\n\n5248430000000009  # first\n", "utf-8")
    assert chip not in stock
    path.write_text("5248430000000009\n5248430000000001\n", "utf-8")
    assert chip in stock
    path.write_text("5248430000000009\n52484300000\n", "utf-8")
    with pytest.raises(KeysUnavailable, match="line 2: '52484300000' is not a chip serial"):
        assert chip in stock


def test_the_policy_of_the_page_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "run-the-key-agent.md").read_text("utf-8")
    found = policy_of(tmp_path, page.split("```toml\n")[1].split("```")[0])
    assert [each.role for each in found.callers.values()] == [
        "station", "data-preparation", "terminal", "custodian",
    ]  # fmt: skip


def test_a_caller_with_every_role_can_ask_how_the_agent_is() -> None:
    """The words for its roles fit into the answer."""
    role = Caller("all", 1, frozenset(Role)).role
    assert FORMS["status"].returns["role"].decode(role) == role
