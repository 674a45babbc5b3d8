"""Explanations of keys: every check value by the openssl program, and no key in what is told."""

from dataclasses import replace

import pytest

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial, Region
from cardlib.keys.diversification import read_template
from cardlib.keys.explanation import NOT_ON_THE_CARD, Asked, Explanation, explained, uses
from cardlib.keys.mutual import SoftwareAuthentication
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import KEY_BY_NAME, KEYS
from tests.cards.cards import key_store, personalized_card
from tests.messaging.v2_line import Line
from tests.oracles import v2 as ref
from tests.programs import openssl

H = bytes.fromhex
CHIP, REGION = ChipSerial(H("5248430000000001")), Region(b"41000000")
CHALLENGE = H("0001020304050607")
CARD = Asked(chip=CHIP, region=REGION)


def inverted(data: bytes) -> bytes:
    return bytes(255 - octet for octet in data)


def by_hand(cipher: str, root: bytes, *blocks: bytes) -> list[bytes]:
    """The keys of a chain of diversifications, by the openssl program."""
    keys = []
    for data in blocks:
        root = openssl.ecb(cipher, root, data + inverted(data))
        keys.append(root)
    return keys


def check_value(cipher: str, key: bytes, *, keys_a_cmac: bool = False) -> bytes:
    filler = b"\0" if cipher == "SM4" and not keys_a_cmac else b"\1"
    return openssl.ecb(cipher, key, filler * 16)[:3]


def told(explanation: Explanation) -> list[bytes | None]:
    return [step.check_value for step in explanation.steps]


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("name", ["RK1_DF02", "STK_DF01", "IRK_DDF1", "PUK_DDF1"])
def test_a_version_1_key_is_told_to_its_process_key(cipher: Cipher, name: str) -> None:
    roots = public_test_roots(1, cipher)
    found = explained(roots, name, replace(CARD, challenge=CHALLENGE))
    levels = [REGION] * (KEY_BY_NAME[name].levels - 1)
    keys = by_hand(cipher.name, roots.card[name], *levels, CHIP, CHALLENGE)
    assert told(found) == [check_value(cipher.name, key) for key in keys]
    assert found.root_check_value == check_value(cipher.name, roots.card[name])
    assert [step.whole_input for step in found.steps] == [
        data + inverted(data) for data in (*levels, CHIP, CHALLENGE)
    ]
    assert [step.makes for step in found.steps][-2:] == ["card key", "process key"]


@pytest.mark.parametrize("cipher", Cipher)
def test_the_card_key_is_the_one_that_the_card_gets(cipher: Cipher) -> None:
    for protocol in (1, 2):
        roots = public_test_roots(protocol, cipher)
        keys = KeyStore(roots).terminal_keys.for_card(CHIP, REGION)
        for key in KEYS:
            steps = explained(roots, key.name, CARD).steps
            (step,) = (step for step in steps if step.makes == "card key")
            assert step.check_value == keys.key_check_value(key.name)


@pytest.mark.parametrize("cipher", Cipher)
def test_an_exchange_with_a_card_is_told_to_the_session_keys(cipher: Cipher) -> None:
    name, e = "RK1_DF02", cipher.name
    roots, line = public_test_roots(2, cipher), Line(personalized_card(cipher, protocol=2))
    line.transmit(H("00A4040005F05248430100"))
    line.transmit(H("00A4000002DF0200"))
    rnd_ic = line.transmit(H("0084000008"))[:8]
    b = ref.binding(H("DF02"), 0x84, bytes((0x20, cipher, 1)))
    key = by_hand(e, roots.card[name], REGION, CHIP)[-1]
    attempt = SoftwareAuthentication(cipher, key, rnd_ic, b)
    reply = line.transmit(H("0082008428") + attempt.cryptogram + b"\x28")
    assert reply[-2:] == H("9000")
    asked = replace(CARD, command=attempt.cryptogram, reply=reply[:-2])
    found = explained(roots, name, asked)

    k_enc, k_mac = ref.diversify(e, key, b"RHC2-ENC"), ref.diversify(e, key, b"RHC2-MAC")
    terminal = ref.from_cryptogram(e, key, b"\1", b, attempt.cryptogram)
    card = ref.from_cryptogram(e, key, b"\2", b, reply[:-2])
    s_enc, s_mac = ref.session_keys(e, terminal[16:], card[16:], terminal[:8], rnd_ic, b, bytes(16))
    z = ref.xor(terminal[16:], card[16:])
    expected = [
        check_value(e, k_enc), check_value(e, k_mac, keys_a_cmac=True), None, None,
        check_value(e, z, keys_a_cmac=True), check_value(e, s_enc),
        check_value(e, s_mac, keys_a_cmac=True),
    ]  # fmt: skip
    assert told(found)[2:] == expected
    assert openssl.cmac(e, z, found.steps[-2].whole_input) == s_enc
    assert openssl.cmac(e, z, found.steps[-1].whole_input) == s_mac
    secrets = (key, k_enc, k_mac, z, s_enc, s_mac, terminal[16:], card[16:], *roots.card.values())
    assert not any(secret.hex() in _everything(found) for secret in secrets)


def _everything(explanation: Explanation) -> str:
    """All that is told, as a program could print it."""
    inputs = " ".join(step.whole_input.hex() for step in explanation.steps)
    parts = " ".join(part.value.hex() for step in explanation.steps for part in step.parts)
    return f"{explanation!r} {inputs} {parts}".lower()


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize(("name", "root"), [("transport", "transport"), ("issuer", "issuer")])
def test_static_keys_are_told_with_the_input_of_the_kdf(
    cipher: Cipher, name: str, root: str
) -> None:
    roots = public_test_roots(2, cipher)
    found = explained(roots, name, Asked(chip=CHIP))
    keys = [
        openssl.kbkdf("AES", getattr(roots, root), label, CHIP, 16)
        for label in (b"ENC", b"MAC", b"DEK")
    ]
    assert told(found) == [check_value("AES", key) for key in keys]
    for step, key in zip(found.steps, keys, strict=True):
        assert openssl.cmac("AES", getattr(roots, root), step.whole_input) == key
        assert key.hex() not in _everything(found)


def test_the_transport_keys_of_other_makers_are_told_by_their_template() -> None:
    roots, data = public_test_roots(2), H("00010203040506070809")
    asked = Asked(chip=CHIP, scheme=read_template("emv"), data=data)
    found = explained(roots, "transport", asked)
    inputs = [H(f"040506070809F00{n}0405060708090F0{n}") for n in (1, 2, 3)]
    assert [step.whole_input for step in found.steps] == inputs
    keys = [openssl.des3(roots.transport, block) for block in inputs]
    assert told(found) == [check_value("AES", key) for key in keys]
    assert found.root_check_value == openssl.des3(roots.transport, bytes(8))[:3]


@pytest.mark.parametrize("cipher", Cipher)
def test_the_security_code_is_told_to_its_three_digits(cipher: Cipher) -> None:
    roots = public_test_roots(2, cipher)
    number, date = "110101199001011237", "20250102"
    asked = Asked(card_number=number, issue_date=date)
    found = explained(roots, "security-code", asked)
    stored = number.encode() + H(date)
    digest = openssl.run("dgst", "-sha256", "-binary", stdin=stored)[:16]
    value = int.from_bytes(openssl.ecb(cipher.name, roots.cvk, digest), "big")
    code = f"{value % 1000:03}"
    assert ("code", code) in found.steps[-1].shown
    assert code == key_store(cipher, 2).security_code(number, date)
    assert roots.cvk.hex() not in _everything(found)


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("protocol", [1, 2])
def test_no_root_and_no_key_is_told(cipher: Cipher, protocol: int) -> None:
    roots = public_test_roots(protocol, cipher)
    asked = replace(CARD, challenge=CHALLENGE, card_number="1", issue_date="20250102")
    everything = "".join(
        _everything(explained(roots, name, asked)) for name in (*KEY_BY_NAME, *NOT_ON_THE_CARD)
    )
    secrets = [*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret]
    for key in KEYS:
        value = roots.card[key.name]
        for data in (*[REGION] * (key.levels - 1), CHIP):
            value = ref.diversify(cipher.name, value, data)
            secrets.append(value)
        for data in (b"RHC2-ENC", b"RHC2-MAC", CHALLENGE):
            secrets.append(ref.diversify(cipher.name, value, data))
    assert len(secrets) > 100
    assert not any(secret.hex() in everything for secret in secrets)


@pytest.mark.parametrize(("asked", "why"), [
    (Asked(region=REGION), "needs chip"),
    (Asked(chip=CHIP), "needs region"),
    (replace(CARD, command=bytes(40)), "both"),
    (replace(CARD, command=bytes(40), reply=bytes(40)), "T of the terminal is not made with"),
    (replace(CARD, command=bytes(39), reply=bytes(40)), "has 40 bytes, not 39"),
])  # fmt: skip
def test_what_cannot_be_explained_says_why(asked: Asked, why: str) -> None:
    with pytest.raises(CardKeyError, match=why):
        explained(public_test_roots(2), "RK1_DF02", asked)


def test_a_reply_to_another_command_is_found() -> None:
    roots, e = public_test_roots(2, Cipher.AES), "AES"
    key = by_hand(e, roots.card["RK1_DF02"], REGION, CHIP)[-1]
    b = ref.binding(H("DF02"), 0x84, H("200201"))
    first, second = bytes(range(32)), bytes(range(32, 64))
    asked = replace(
        CARD,
        command=ref.cryptogram(e, key, b"\1", b, first),
        reply=ref.cryptogram(e, key, b"\2", b, second),
    )
    with pytest.raises(CardKeyError, match="not the answer to this command"):
        explained(roots, "RK1_DF02", asked)


def test_a_name_that_is_no_key_is_refused() -> None:
    with pytest.raises(CardKeyError, match="there is no key RK9_DF02"):
        uses("RK9_DF02", None, None)
