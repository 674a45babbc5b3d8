"""rhcard card-profile, and the options of `rhcard read` that choose a profile and its settings."""

import shlex
from pathlib import Path

import pytest

from cardlib.card.discovery import Found, Observation
from cardlib.emulator import SoftwareCard
from cardlib.errors import ProfileNeeded
from cardlib.layout.card_profile import FIELD, PROFILES, SETTINGS
from personalize.cli.exits import Exit
from personalize.cli.failures import explain
from personalize.terminal.looking import how_to_read
from tests.cards.cards import CHIP, blank_card, personalized_card
from tests.cards.field_bench import card_of_profile
from tests.cards.field_cards import DEPLOYED
from tests.programs.rhcard import key_file, rhcard, saved


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public test roots of version 1."""
    folder = tmp_path_factory.mktemp("keys")
    return key_file(folder, protocol=1, test=True)


@pytest.fixture(autouse=True)
def no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RHCARD_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return saved(personalized_card(), tmp_path / "one.card")


def test_the_whole_table_is_shown_with_what_it_means() -> None:
    out = rhcard("card-profile", "explain").out
    for row in SETTINGS:
        assert f"{row.name}: {row.meaning}" in out
        assert all(choice in out for choice in row.choices)


def test_of_a_profile_only_the_differences_are_shown() -> None:
    out = rhcard("card-profile", "explain", "field").out
    assert all(f"{row.name}: " in out for row in FIELD.differences())
    assert "t0_select: " not in out
    assert "in nothing" in rhcard("card-profile", "explain", "rhcard").out


def test_one_setting_is_shown_and_an_unknown_name_lists_those_that_there_are() -> None:
    out = rhcard("card-profile", "explain", "serial_place").out
    assert "last 8" in out and "fci: " not in out
    wrong = rhcard("card-profile", "explain", "colour")
    assert wrong.code == Exit.USAGE and "use rhcard, field, serial_place" in wrong.err


def test_json_has_every_row_as_the_table_has_it() -> None:
    report = rhcard("card-profile", "explain", "--json").json
    assert [row["setting"] for row in report["settings"]] == [row.name for row in SETTINGS]
    (place,) = rhcard("card-profile", "explain", "serial_place", "--json").json["settings"]
    assert (place["rhcard"], place["field"]) == ("historical tag", "bytes 5-12")
    assert place["choices"] == ["historical tag", "bytes 5-12", "last 8", "given"]


def test_help_of_read_names_every_profile() -> None:
    text = rhcard("read", "--help").out
    assert all(name in text for name in PROFILES)


def test_profile_field_reads_a_1_0_card_as_field_code_does(card: Path, keys: Path) -> None:
    """Our own card also answers by file identifier; its serial's place is told by one 88."""
    plain = rhcard("read", card, "--keys", keys, "--json").json
    field = rhcard("read", card, "--keys", keys, "--profile", "field", "--json").json
    assert field["fields"] == plain["fields"]
    assert (plain["profile"], plain["serial_place"]) == ("rhcard", "historical tag")
    assert (field["profile"], field["serial_place"]) == ("field", "historical tag")
    assert field["chip"] == plain["chip"] and field["commands"] > 2 * plain["commands"]


def test_settings_are_changed_one_by_one(card: Path, keys: Path) -> None:
    words = ("read", card, "--keys", keys, "--json", "--profile", "field")
    one = rhcard(*words, "--set", "record_reading=many", "--set", "serial_place=last 8").json
    assert one["exit_code"] == 0
    assert one["commands"] < rhcard(*words).json["commands"]
    given = rhcard(*words, "--chip", CHIP.hex()).json
    assert (given["serial_place"], given["exit_code"]) == ("given", 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--profile", "foreign"), "no profile 'foreign': use rhcard or field"),
        (("--set", "colour=red"), "no setting of a card profile: use serial_place"),
        (("--set", "fci=some"), "fci is 'some': use C1 and C2 or nothing"),
        (("--set", "fci"), "write NAME=VALUE"),
        (("--set", "fci=nothing"), "--set fci=nothing needs --profile field"),
        (("--set", "clear_updates=yes"), "--set clear_updates=yes needs --profile field"),
        (("--cipher", "aes"), "add --profile field"),
        (("--key-version", "2"), "add --profile field"),
        (("--profile", "field", "--set", "serial_place=given"), "add --chip SERIAL"),
        (("--profile", "field", "--chip", "12"), "write 16 hex digits"),
        (("--profile", "field", "--key-version", "8"), "1<=x<=7"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_card_is_met(
    words: tuple[str, ...], said: str
) -> None:
    done = rhcard("read", "no such.card", *words)
    assert done.code == Exit.USAGE and said in done.err


def test_keys_that_the_operator_says_the_card_has_not_are_not_tried(card: Path, keys: Path) -> None:
    words = ("read", card, "--keys", keys, "--profile", "field")
    for told in (("--cipher", "aes"), ("--key-version", "3")):
        done = rhcard(*words, *told)
        assert done.code == Exit.KEY_PROBLEM and "this card is different" in done.err


def test_profile_field_stops_at_a_2_0_card(tmp_path: Path) -> None:
    card = saved(personalized_card(protocol=2), tmp_path / "two.card")
    done = rhcard("read", card, "--profile", "field")
    assert done.code == Exit.REFUSED and "read it without --profile field" in done.err


@pytest.fixture
def field_file(tmp_path: Path) -> Path:
    """A card that behaves as deployed ones do."""
    return saved(card_of_profile(), tmp_path / "field.card")


def test_where_the_serial_is_without_keys_is_told_as_a_guess(field_file: Path) -> None:
    words = ("read", field_file, "--profile", "field")
    done, report = rhcard(*words), rhcard(*words, "--json").json
    assert "taken from this place, which may be wrong: bytes 5-12" in done.err
    assert (report["serial_is_sure"], report["internal_refusal"]) == (False, None)


@pytest.mark.parametrize("told", [(), ("--cipher", "aes", "--key-version", "3")])
def test_cipher_and_key_version_that_nothing_shows_are_told_as_unknown(
    field_file: Path, told: tuple[str, ...]
) -> None:
    """Neither a guess nor what the operator says is shown as what the card is."""
    words = ("read", field_file, "--profile", "field", *told)
    done, report = rhcard(*words), rhcard(*words, "--json").json
    assert done.out.startswith(f"chip {report['chip']}, spec 1.0, cipher and key version unknown, ")
    assert "does not say its cipher and key version" in done.err
    assert (report["cipher"], report["key_version"]) == (None, None)


def test_cipher_and_key_version_are_told_when_a_key_was_accepted(
    field_file: Path, keys: Path
) -> None:
    words = ("read", field_file, "--profile", "field", "--keys", keys)
    done, report = rhcard(*words), rhcard(*words, "--json").json
    assert "SM4 keys version 1" in done.out and "cipher" not in done.err
    assert (report["cipher"], report["key_version"]) == ("sm4", 1)


def test_what_a_card_says_itself_is_told_also_if_its_chip_serial_is_elsewhere(
    tmp_path: Path,
) -> None:
    elsewhere = "describing itself, with its chip serial elsewhere"
    card = saved(card_of_profile(DEPLOYED[elsewhere]), tmp_path / "one.card")
    done = rhcard("read", card, "--set", "serial_place=bytes 5-12", "--set", "record_reading=one")
    assert "SM4 keys version 1" in done.out
    assert "may be wrong: bytes 5-12" in done.err and "cipher" not in done.err


def test_where_the_serial_is_with_keys_is_told_as_sure(field_file: Path, keys: Path) -> None:
    words = ("read", field_file, "--profile", "field", "--keys", keys)
    done, report = rhcard(*words), rhcard(*words, "--json").json
    assert "The chip serial is in this place: bytes 5-12." in done.err and "wrong" not in done.err
    assert (report["serial_is_sure"], report["internal_refusal"]) == (True, None)


def test_a_card_that_does_not_prove_to_be_genuine_is_read_and_that_is_told(
    field_file: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SoftwareCard.transmit
    monkeypatch.setattr(
        SoftwareCard,
        "transmit",
        lambda card, raw: b"\x6e\0" if raw[1] == 0x88 else real(card, raw),
    )
    words = ("read", field_file, "--profile", "field", "--keys", keys)
    done, report = rhcard(*words), rhcard(*words, "--json").json
    assert done.code == Exit.GOOD
    assert "refused INTERNAL AUTHENTICATE (6E00): nothing proves that it is genuine" in done.err
    assert (report["serial_is_sure"], report["internal_refusal"]) == (True, "6E00")


# --- discover -----------------------------------------------------------------------------


def test_discover_says_what_a_deployed_card_answers_and_how_to_read_it(
    tmp_path: Path, keys: Path
) -> None:
    card = saved(card_of_profile(), tmp_path / "a field.card")
    before = card.read_bytes()
    report = rhcard("card-profile", "discover", "--card", card, "--json").json
    assert (report["card"], report["reader"], report["deployed"]) == (str(card), None, True)
    found = {each["setting"]: each["value"] for each in report["answers"]}
    assert found == {name: getattr(FIELD, name) for name in found} and len(found) == 4
    assert CHIP.hex().upper() == report["serial_places"]["bytes 5-12"]
    done = rhcard("card-profile", "discover", "--card", card)
    assert f"To read it: {report['command']}\n" in done.out
    assert all(each["words"] in done.out for each in report["answers"])
    assert card.read_bytes() == before
    words = shlex.split(report["command"])[1:]
    assert words == ["read", "--card", str(card), "--profile", "field"]
    assert rhcard(*words, "--keys", keys, "--json").json["serial_place"] == "bytes 5-12"


@pytest.mark.parametrize("kind", DEPLOYED)
def test_the_line_of_discover_reads_each_kind_of_deployed_card(
    tmp_path: Path, keys: Path, kind: str
) -> None:
    card = saved(card_of_profile(DEPLOYED[kind]), tmp_path / "one.card")
    line = rhcard("card-profile", "discover", "--card", card, "--json").json["command"]
    report = rhcard(*shlex.split(line)[1:], "--keys", keys, "--json").json
    assert (report["exit_code"], report["chip"]) == (0, CHIP.hex().upper())


def test_discover_finds_our_own_card_to_be_one(card: Path) -> None:
    report = rhcard("card-profile", "discover", "--card", card, "--json").json
    assert (report["deployed"], report["command"]) == (False, f"rhcard read --card {card}")
    assert list(report["serial_places"]) == ["historical tag", "bytes 5-12", "last 8"]


def test_discover_says_of_a_blank_card_what_to_do(tmp_path: Path) -> None:
    done = rhcard("card-profile", "discover", "--card", saved(blank_card(), tmp_path / "a.card"))
    assert (done.code, done.out) == (Exit.VERIFICATION_FAILED, "")
    assert "this card is blank" in done.err and "rhcard issue" in done.err


def test_a_serial_that_is_nowhere_is_left_to_the_operator() -> None:
    atr, words = bytes.fromhex("3B020000"), Observation("serial_place", "given", "")
    found = Found(atr, (Observation("fci", "nothing", ""), words))
    assert how_to_read(found) == ("--profile", "field", "--chip", "SERIAL")


def test_read_says_what_discover_says_when_it_stops_at_such_a_card(tmp_path: Path) -> None:
    card = saved(card_of_profile(), tmp_path / "field.card")
    done = rhcard("read", card)
    answers = rhcard("card-profile", "discover", "--card", card, "--json").json["answers"]
    assert done.code == Exit.VERIFICATION_FAILED
    assert all(each["words"] in done.err for each in answers)


def test_a_card_that_does_not_say_what_it_is_has_an_exit_code() -> None:
    failure = explain(ProfileNeeded("its keys", ("its FCI is empty",)))
    assert failure.exit == Exit.VERIFICATION_FAILED
    assert "add --profile field" in failure.message and "its FCI is empty" in failure.message
