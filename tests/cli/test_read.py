"""rhcard read: tables for a person in two languages, JSON with a state for every field."""

import stat
from pathlib import Path

import pytest

from cardlib.facts import SECURITY_DOMAIN
from cardlib.issuance import IssuerSession
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILES, State
from personalize.cli.exits import Exit
from tests.cards.cards import CHIP, RECORDS, blank_card, personalized_card
from tests.programs.rhcard import key_file, rhcard, saved


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public test roots: those of the cards in tests/cards/cards.py."""
    return key_file(tmp_path_factory.mktemp("keys"), test=True)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return saved(personalized_card(protocol=2), tmp_path / "one.card")


def test_without_keys_the_issuer_is_shown_and_the_rest_denied(card: Path) -> None:
    done = rhcard("read", card, passphrase=None)
    assert done.code == 0
    assert "河南省卫生健康委员会" in done.out
    assert done.out.count("denied (needs RK1_") == sum(1 for file in FILES if file.read_key)
    assert "王䶮" not in done.out
    assert "--keys FILE" in done.err


def test_with_keys_the_holder_is_shown_in_the_language_asked_for(card: Path, keys: Path) -> None:
    english = rhcard("read", card, "--keys", keys).out
    assert "Sex" in english and "male" in english and "1990-01-01" in english
    chinese = rhcard("read", card, "--keys", keys, "--lang", "zh").out
    assert "性别" in chinese and "男性" in chinese and "未写入" in chinese
    for text in (english, chinese):
        assert "王䶮𠅤㛃" in text


def test_json_gives_every_field_its_state(card: Path, keys: Path) -> None:
    report = rhcard("read", card, "--keys", keys, "--json").json
    fields = {(f["file"], f["field"]): f for f in report["fields"]}
    sex = fields["DDF1/EF06", "sex"]
    assert (sex["state"], sex["value"], sex["label"], sex["record"]) == ("value", "1", "male", 2)
    assert fields["DDF1/DF02/EF05", "asthma"]["state"] == "negative"
    assert fields["DDF1/DF02/EF05", "diabetes"] == {
        "file": "DDF1/DF02/EF05", "record": 8, "field": "diabetes", "state": "unwritten",
        "value": None, "label": "", "detail": "",
    }  # fmt: skip
    assert (report["specification"], report["cipher"], report["exit_code"]) == ("2.0", "sm4", 0)
    denied = rhcard("read", card, "--json").json["fields"]
    assert {(f["state"], f["detail"]) for f in denied if f["file"] == "DDF1/EF06"} == {
        (State.DENIED, "RK1_DDF1")
    }


def test_the_emergency_view_shows_states_and_no_name(card: Path, keys: Path) -> None:
    done = rhcard("read", card, "--keys", keys, "--emergency")
    assert done.code == 0
    assert "青霉素" in done.out and "皮疹" in done.out
    rows = {line.split()[0]: line.split()[-1] for line in done.out.splitlines() if line.split()}
    assert (rows["Asthma"], rows["Diabetes"], rows["Heart"]) == ("negative", "unwritten", "value")
    assert "王" not in done.out
    report = rhcard("read", card, "--keys", keys, "--emergency", "--json").json
    assert {f["file"] for f in report["fields"]} == {
        "DDF1/DF02/EF05", "DDF1/DF02/EF06", "DDF1/DF02/EF07", "DDF1/DF02/EF08",
    }  # fmt: skip


def test_the_emergency_view_says_in_one_line_that_nothing_was_recorded(
    card: Path, keys: Path
) -> None:
    english = rhcard("read", card, "--keys", keys, "--emergency").out
    assert english.count("no entries recorded") == 1
    assert "missing" not in english and "Vaccine" not in english
    chinese = rhcard("read", card, "--keys", keys, "--emergency", "--lang", "zh").out
    assert chinese.count("无记录") == 1


@pytest.mark.parametrize("content", [None, b"", b"no card", b"RHCARD\0\1"])
def test_what_is_no_card_is_4(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.card"
    if content is not None:
        path.write_bytes(content)
    done = rhcard("read", path, passphrase=None)
    assert (done.code, done.out) == (4, "")
    assert str(path) in done.err


def test_a_folder_is_no_card_and_the_message_says_what_to_give(tmp_path: Path) -> None:
    done = rhcard("read", tmp_path)
    assert done.code == 4
    assert done.err == f"rhcard: {tmp_path} is a folder; give a .card file in it\n"


@pytest.mark.parametrize("name", ["5248430000000001.card", "a blank of our own.card"])
def test_a_card_may_be_named_by_its_chip_in_its_folder(card: Path, keys: Path, name: str) -> None:
    folder = card.parent / "cards"
    folder.mkdir()
    assert rhcard("emulator", "new", "--out", folder / "another.card").code == 0
    (folder / "broken.card").write_bytes(b"no card")
    card.rename(folder / name)
    report = rhcard("read", CHIP.hex(), "--cards", folder, "--keys", keys, "--json").json
    assert (report["chip"], report["card"]) == (CHIP.hex().upper(), str(folder / name))


def test_a_chip_needs_the_folder_of_its_card(tmp_path: Path) -> None:
    done = rhcard("read", "5248430000000001")
    assert (done.code, "add --cards DIR" in done.err) == (2, True)
    for folder in (tmp_path, tmp_path / "nowhere"):
        done = rhcard("read", "52484300000000aa", "--cards", folder)
        assert done.code == 4
        assert f"Card with chip 52484300000000AA not found in {folder}." in done.err


def test_the_photo_is_written_to_a_new_file_that_is_its_owner_s(
    card: Path, keys: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "photo.jpg"
    done = rhcard("read", card, "--keys", keys, "--photo", picture)
    assert (done.code, f"The photo is in {picture}." in done.err) == (0, True)
    assert picture.read_bytes() == RECORDS["DDF1/EF07"][0]["photo"]
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600
    again = rhcard("read", card, "--keys", keys, "--photo", picture)
    assert (again.code, "exists already and is not overwritten" in again.err) == (2, True)
    report = rhcard("read", card, "--keys", keys, "--photo", tmp_path / "b", "--json").json
    assert (report["photo"], report["exit_code"]) == (str(tmp_path / "b"), 0)


def test_no_photo_is_written_without_the_key_and_the_message_names_it(
    card: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "photo.jpg"
    done = rhcard("read", card, "--photo", picture)
    assert (done.code, "denied (needs RK1_DDF1)" in done.err.splitlines()[-1]) == (5, True)
    assert not picture.exists()
    report = rhcard("read", card, "--photo", picture, "--json").json
    assert (report["photo"], report["exit_code"]) == (None, 5)
    assert "was not written" in report["error"]


def test_the_emergency_view_has_no_photo(card: Path, tmp_path: Path) -> None:
    assert rhcard("read", card, "--emergency", "--photo", tmp_path / "p").code == 2


def test_a_blank_says_that_it_is_one_and_what_to_do_with_it(tmp_path: Path, keys: Path) -> None:
    blank = saved(blank_card(), tmp_path / "blank.card")
    for words in (("read", blank), ("read", blank, "--keys", keys)):
        done = rhcard(*words)
        assert (done.code, len(done.err.splitlines())) == (Exit.VERIFICATION_FAILED, 1)
        assert "this card is blank: it has the transport keys" in done.err
        assert "`rhcard issue`" in done.err


def test_a_blank_with_issuer_keys_says_that_issuing_was_interrupted(tmp_path: Path) -> None:
    store, card = KeyStore(public_test_roots()), blank_card()
    transport, issuer = store.transport_keys(CHIP), store.issuer_keys(CHIP)
    IssuerSession.open(card, transport, SECURITY_DOMAIN).replace_keys(transport, issuer)
    done = rhcard("read", saved(card, tmp_path / "blank.card"))
    assert (done.code, "Run `rhcard issue` again" in done.err) == (Exit.VERIFICATION_FAILED, True)


def test_a_card_of_other_keys_may_be_genuine_and_no_second_key_is_tried(
    card: Path, tmp_path: Path
) -> None:
    other = key_file(tmp_path)
    before = card.read_bytes()
    done = rhcard("read", card, "--keys", other)
    assert (done.code, len(done.err.splitlines())) == (Exit.KEY_PROBLEM, 1)
    assert "issued with another key store, or it is not genuine" in done.err
    assert "try each of them. If none fits, do not trust the card" in done.err
    assert card.read_bytes() == before
