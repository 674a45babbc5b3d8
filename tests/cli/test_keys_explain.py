"""rhcard keys explain: steps and check values, no key, and no option without an effect."""

from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.keys.roots import public_test_roots
from cardlib.layout import KEYS
from tests.cards.cards import key_store
from tests.oracles import v2 as ref
from tests.programs.rhcard import key_file, rhcard

H = bytes.fromhex
CHIP, REGION = "5248430000000001", b"41000000"
CHALLENGE = "0001020304050607"
CARD = ("--chip", CHIP, "--region", "410100")
CODE = ("--card-number", "110101199001011237", "--issue-date", "20250102")


@pytest.fixture(scope="module", params=[1, 2])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def keys(protocol: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"), test=True, protocol=protocol)


def test_each_step_shows_its_formula_input_and_check_value(keys: Path, protocol: int) -> None:
    done = rhcard("keys", "explain", "RK1_DF02", *CARD, "--keys", keys)
    assert done.code == 0, done.err
    root = public_test_roots(protocol, Cipher.SM4).card["RK1_DF02"]
    value = ref.diversify("SM4", ref.diversify("SM4", root, REGION), H(CHIP))
    assert "2. card key = SM4(key of the region, chip ‖ not chip)" in done.out
    assert f"input            {CHIP}ADB7BCFFFFFFFFFE" in done.out
    shown = ref.ecb("SM4", value, bytes(16))[:3].hex().upper()
    assert f"check value      {shown} (SM4 of 16 bytes 00)" in done.out


def test_nothing_that_is_printed_holds_a_key(keys: Path, protocol: int) -> None:
    everything = ("transport", "issuer", "security-code", *(key.name for key in KEYS))
    words = ("keys", "explain", *everything, *CARD, *CODE, "--challenge", CHALLENGE, "--keys", keys)
    roots = public_test_roots(protocol, Cipher.SM4)
    secrets = [*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret]
    for key in KEYS:
        value = roots.card[key.name]
        for data in (*[REGION] * (key.levels - 1), H(CHIP)):
            value = ref.diversify("SM4", value, data)
            secrets.append(value)
    for done in (rhcard(*words), rhcard(*words, "--json")):
        assert done.code == 0, done.err
        printed = (done.out + done.err).lower()
        assert not any(secret.hex() in printed for secret in secrets)


def test_json_has_the_same_steps(keys: Path, protocol: int) -> None:
    done = rhcard(
        "keys", "explain", "IRK_DDF1", *CARD, "--challenge", CHALLENGE, "--keys", keys, "--json"
    )
    assert done.code == 0 and done.json["exit_code"] == 0
    (key,) = done.json["keys"]
    assert [step["makes"] for step in key["steps"]] == [
        "key of the region", "card key", "process key",
    ]  # fmt: skip
    expected = key_store(Cipher.SM4, protocol).terminal_keys.for_card(H(CHIP), REGION)
    assert key["steps"][1]["check_value"] == expected.key_check_value("IRK_DDF1").hex().upper()
    assert key["steps"][2]["parts"][0] == {"name": "challenge", "value": CHALLENGE}


def test_the_security_code_is_that_of_the_store(keys: Path, protocol: int) -> None:
    done = rhcard("keys", "explain", "security-code", *CODE, "--keys", keys)
    code = key_store(Cipher.SM4, protocol).security_code(CODE[1], CODE[3])
    assert f"code             {code}" in done.out


def test_another_maker_s_template_is_shown(keys: Path) -> None:
    words = ("keys", "explain", "transport", "--chip", CHIP, "--keys", keys)
    done = rhcard(*words, "--template", "kdf3", "--data", "00010203040506070809")
    # The test transport root is the root of a published example: tests/vectors/diversification.json
    for value in ("E79C05", "D1BD77", "3FDE8C"):
        assert f"check value      {value} (AES of 16 bytes 01)" in done.out


def test_a_template_can_be_written_as_text(keys: Path) -> None:
    words = ("keys", "explain", "transport", "--chip", CHIP, "--keys", keys, "--json")
    named = rhcard(*words, "--template", "kdf3").json["keys"][0]
    text = rhcard(*words, "--template", "CMAC(counter1 000000 number 00 chip 0000)").json["keys"][0]
    ours = rhcard(*words).json["keys"][0]
    values = [[step["check_value"] for step in key["steps"]] for key in (named, text, ours)]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize(("words", "option"), [
    (("STK_DF01", *CARD), "--region has no effect on STK_DF01"),
    (("issuer", *CARD), "--region has no effect"),
    (("issuer", "--chip", CHIP, "--template", "kdf3"), "--template has no effect"),
    (("transport", "--chip", CHIP, "--data", "00" * 10), "--data has no effect"),
    (("transport", "--chip", CHIP, "--template", "rhcard", "--data", "00" * 10), "--data has no"),
    (("transport", "--chip", CHIP, "--challenge", CHALLENGE), "--challenge has no effect"),
    (("security-code", *CODE, "--chip", CHIP), "--chip has no effect"),
    (("RK1_DF02", *CARD, *CODE), "--card-number has no effect"),
    (("IRK_DDF1", *CARD, "--command", "00" * 40, "--reply", "00" * 40), "--command has no effect"),
])  # fmt: skip
def test_an_option_without_effect_is_refused_before_a_passphrase(
    tmp_path: Path, words: tuple[str, ...], option: str
) -> None:
    done = rhcard("keys", "explain", *words, "--keys", tmp_path / "none", passphrase=None)
    assert (done.code, done.out) == (2, "")
    assert option in done.err


def test_an_option_without_effect_under_the_store_s_version_is_refused(
    keys: Path, protocol: int
) -> None:
    useless = (
        ("--challenge", CHALLENGE) if protocol == 2 else
        ("--command", "00" * 40, "--reply", "00" * 40)
    )  # fmt: skip
    done = rhcard("keys", "explain", "RK1_DF02", *CARD, *useless, "--keys", keys)
    assert done.code == 2
    assert f"{useless[0]} has no effect on RK1_DF02 with keys of version {protocol}" in done.err


@pytest.mark.parametrize(("words", "why"), [
    (("RK1_DF02",), "RK1_DF02 needs --chip and --region"),
    (("RK1_DF02", "--chip", CHIP), "RK1_DF02 needs --region"),
    (("security-code",), "security-code needs --card-number and --issue-date"),
    (("RK1_DF09", *CARD), "there is no key RK1_DF09"),
    (("RK1_DF02", "--chip", CHIP[:14], "--region", "41"), "write 16 hex digits"),
    (("RK1_DF02", "--chip", CHIP, "--region", "x"), "must begin with two digits"),
    (("RK1_DF02", *CARD, "--challenge", "0001"), "write 16 hex digits (8 bytes)"),
    (("RK1_DF02", *CARD, "--command", "00" * 40), "--command and --reply together"),
    (("transport", "--chip", CHIP, "--template", "kdf9"), "is not a template"),
])  # fmt: skip
def test_what_is_wrong_or_missing_is_a_usage_error(
    tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    done = rhcard("keys", "explain", *words, "--keys", tmp_path / "none", passphrase=None)
    assert (done.code, done.out) == (2, "")
    assert why in done.err


def test_an_exchange_that_was_not_made_with_the_key_is_a_key_problem(tmp_path: Path) -> None:
    words = ("RK1_DF02", *CARD, "--command", "00" * 40, "--reply", "00" * 40)
    done = rhcard("keys", "explain", *words, "--keys", key_file(tmp_path))
    assert (done.code, done.out) == (9, "")
    assert "T of the terminal is not made with this key" in done.err


def test_a_card_number_that_no_card_can_hold_is_refused(tmp_path: Path) -> None:
    words = ("security-code", "--card-number", "1" * 40, "--issue-date", "20250102")
    done = rhcard("keys", "explain", *words, "--keys", tmp_path / "none", passphrase=None)
    assert (done.code, done.out) == (2, "")
    assert "--card-number" in done.err


def test_without_a_store_it_says_what_to_give(tmp_path: Path) -> None:
    done = rhcard("keys", "explain", "RK1_DF02", *CARD, passphrase=None)
    assert done.code == 9 and "give --keys FILE" in done.err


def test_an_older_key_version_is_explained_when_it_is_named(tmp_path: Path) -> None:
    store = key_file(tmp_path, test=True)
    assert rhcard("keys", "rotate", "--keys", store).code == 0
    words = ("keys", "explain", "RK1_DF02", *CARD, "--keys", store, "--json")
    shown = [
        rhcard(*words, *version).json["keys"][0]["root_check_value"]
        for version in ((), ("--key-version", "2"), ("--key-version", "1"))
    ]
    roots = [public_test_roots(2, Cipher.SM4, version).card["RK1_DF02"] for version in (2, 2, 1)]
    assert shown == [ref.ecb("SM4", root, bytes(16))[:3].hex().upper() for root in roots]
    none = rhcard(*words, "--key-version", "3")
    assert (none.code, "no version 3" in none.json["error"]) == (9, True)
