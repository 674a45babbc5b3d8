"""SCP03 against everything others published: real cards' sessions, other programs' values.

Each session is played to the host and to the card's side, byte for byte. Recorded are AES-128,
-192, -256 with S8 at 01, 03, 11 and 33, random and pseudo-random challenges; S16, level 13 and
warnings under R-MAC come from other programs, for nobody published them from a card.
"""

from typing import Any

import pytest

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.crypto import BlockCipher, Cipher
from cardlib.emulator.profile.card_state import StoredKeySet
from cardlib.emulator.sessions import scp03 as card_side
from cardlib.emulator.sessions.scp03 import Scp03Session, card_challenge
from cardlib.keys import static_keys as host_side
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.messaging.scp03 import Scp03Host
from tests.vectors import load

H = bytes.fromhex
OK = ResponseAPDU(b"", 0x9000)
CARDS, PROGRAMS = load("scp03_cards")["sessions"], load("scp03_programs")["sessions"]
DERIVATIONS = load("scp03_derivations")
SESSIONS = CARDS + PROGRAMS
OPENED = [session for session in SESSIONS if "external_authenticate" in session]
each_session = pytest.mark.parametrize("session", OPENED, ids=lambda session: session["id"])


def stored(version: int, keys: list[str]) -> StoredKeySet:
    """A card's key set of the three published keys."""
    enc, mac, dek = map(H, keys)
    return StoredKeySet(version, enc, mac, dek, 15)


def without_le(raw: str) -> bytes:
    """A command as sent, without a Le: hosts do not agree on one where no data is expected."""
    return bytes(CommandAPDU.parse(H(raw)).with_le(None))


def begun(session: dict[str, Any]) -> tuple[CommandAPDU, bytes, int]:
    """INITIALIZE UPDATE as sent, its reply, and the level asked for."""
    level = H(session.get("external_authenticate", "848201"))[2]
    command = CommandAPDU.parse(H(session["initialize_update"]))
    return command, H(session["initialize_update_response"]), level


def host_of(session: dict[str, Any]) -> Scp03Host:
    """A host that has checked the published card cryptogram."""
    command, answer, level = begun(session)
    keys = SoftwareScp03Keys(answer[10], *map(H, session["keys"]))
    host = Scp03Host(keys, level, command.p1, command.data)
    assert bytes(host.initialize_update().with_le(command.le)).hex() == session["initialize_update"]
    sent = host.external_authenticate(ResponseAPDU(answer, 0x9000))
    if "external_authenticate" in session:
        assert bytes(sent) == without_le(session["external_authenticate"])
    host.opened(OK)
    return host


def card_of(session: dict[str, Any]) -> Scp03Session:
    """A card's session with the published challenges, before EXTERNAL AUTHENTICATE."""
    command, answer, _ = begun(session)
    size = len(command.data)
    keys = stored(answer[10], session["keys"])
    made = Scp03Session(keys, command.data, answer[13 : 13 + size])
    assert made.card_cryptogram == answer[13 + size : 13 + 2 * size]
    return made


def modes(sessions: list[dict[str, Any]]) -> set[tuple[int, int, int]]:
    """Key length, length of challenges, level."""
    found = set()
    for session in sessions:
        command, _, level = begun(session)
        found.add((len(H(session["keys"][0])), len(command.data), level))
    return found


def test_the_published_sessions_cover_every_key_length_challenge_length_and_level() -> None:
    found = modes(OPENED) | modes(CARDS)
    assert {length for length, _, _ in found} == {16, 24, 32}
    for size in (8, 16):
        assert {length for length, s, _ in found if s == size} == {16, 24, 32}
        assert {level for _, s, level in found if s == size} >= {0x03, 0x11, 0x13, 0x33}
    assert {level for _, _, level in found} == {0x01, 0x03, 0x11, 0x13, 0x33}
    options = {H(s["initialize_update_response"])[12] for s in SESSIONS}
    assert options >= {0x00, 0x10, 0x20, 0x30, 0x31, 0x60, 0x61, 0x70, 0x71}
    assert all(session["source"] for session in SESSIONS)


@each_session
def test_our_host_sends_the_published_bytes_and_reads_the_published_replies(
    session: dict[str, Any],
) -> None:
    host = host_of(session)
    for exchange in session["exchanges"]:
        sent = host.wrap(CommandAPDU.parse(H(exchange["command"])))
        assert bytes(sent).hex() == exchange["wrapped"]
        if "response" in exchange:
            reply = host.unwrap(ResponseAPDU.parse(H(exchange["response"])))
            assert bytes(reply).hex() == exchange["plain"]


@each_session
def test_our_card_takes_the_published_bytes_and_answers_them(session: dict[str, Any]) -> None:
    card = card_of(session)
    card.authenticate(CommandAPDU.parse(H(session["external_authenticate"])))
    for exchange in session["exchanges"]:
        plain = card.unwrap(CommandAPDU.parse(H(exchange["wrapped"])))
        assert plain == CommandAPDU.parse(H(exchange["command"]))
        if "response" in exchange and not exchange.get("longer_padding"):
            assert card.wrap(H(exchange["plain"])).hex() == exchange["response"]


def test_a_reply_that_stops_before_its_session_is_checked_all_the_same() -> None:
    unfinished = [session for session in CARDS if "external_authenticate" not in session]
    assert [session["id"] for session in unfinished] == ["se050e-keys"]
    for session in unfinished:
        host_of(session)
        card_of(session)


@pytest.mark.parametrize(
    "session", [s for s in SESSIONS if "session_keys" in s], ids=lambda session: session["id"]
)
def test_session_keys_are_those_that_were_shown(session: dict[str, Any]) -> None:
    command, answer, _ = begun(session)
    enc, mac, _ = map(H, session["keys"])
    context = command.data + answer[13 : 13 + len(command.data)]
    for constant, shown in zip((4, 6, 7), session["session_keys"], strict=False):
        parent = BlockCipher(Cipher.AES, enc if constant == 4 else mac)
        bits = 8 * len(enc)
        assert host_side.derive(parent, constant, context, bits).hex() == shown
        assert card_side.derive(parent, constant, context, bits // 8).hex() == shown


@pytest.mark.parametrize(
    "session", [s for s in SESSIONS if "aid" in s], ids=lambda session: session["id"]
)
def test_pseudo_random_challenges_are_of_counter_and_aid(session: dict[str, Any]) -> None:
    command, answer, _ = begun(session)
    size = len(command.data)
    made = card_challenge(H(session["keys"][0]), answer[-3:], H(session["aid"]), size)
    assert made == answer[13 : 13 + size]


def test_derivations_chain_over_40_constants_and_two_lengths() -> None:
    key, context = bytes(16), bytes(16)
    for constant, text in enumerate(DERIVATIONS["chain"]["outputs"], 1):
        expected, parent = H(text), BlockCipher(Cipher.AES, key)
        assert host_side.derive(parent, constant, context, 8 * len(expected)) == expected
        assert card_side.derive(parent, constant, context, len(expected)) == expected
        key, context = context, expected


@pytest.mark.parametrize("case", DERIVATIONS["sessions"]["cases"], ids=lambda case: case["host"])
def test_session_keys_and_cryptograms_of_another_program(case: dict[str, Any]) -> None:
    keys = stored(1, case["keys"])
    session = Scp03Session(keys, H(case["host"]), H(case["card"]))
    assert session.card_cryptogram.hex() == case["card_cryptogram"]
    assert session.host_cryptogram.hex() == case["host_cryptogram"]
    context = H(case["host"]) + H(case["card"])
    for constant, parent, shown in zip((4, 6, 7), "emm", case["session_keys"], strict=True):
        block = BlockCipher(Cipher.AES, keys.enc if parent == "e" else keys.mac)
        assert host_side.derive(block, constant, context, 128).hex() == shown


def test_card_challenges_of_both_lengths() -> None:
    case = DERIVATIONS["card_challenges"]
    for text in case["challenges"]:
        made = card_challenge(H(case["key_enc"]), H(case["counter"]), H(case["aid"]), len(H(text)))
        assert made.hex() == text


def test_a_key_for_put_key_is_encrypted_under_the_static_dek() -> None:
    case = DERIVATIONS["put_key"]
    dek = SoftwareScp03Keys(1, bytes(16), bytes(16), H(case["key_dek"]))
    assert dek.encrypt_dek(H(case["key"])).hex() == case["encrypted"]
    assert dek.key_check_values[2].hex() == case["key_dek_check_value"]
    new = SoftwareScp03Keys(1, H(case["key"]), bytes(16), bytes(16))
    assert new.wrapped(dek)[0].encrypted.hex() == case["encrypted"]


def test_command_data_is_encrypted_as_calculated_elsewhere() -> None:
    case = DERIVATIONS["encrypted_command"]
    session = next(s for s in PROGRAMS if s["id"] == "valade-aes128-level01")
    command, answer, _ = begun(session)
    host = Scp03Host(SoftwareScp03Keys(answer[10], *map(H, session["keys"])), 0x03, 0, command.data)
    host.initialize_update()
    host.external_authenticate(ResponseAPDU(answer, 0x9000))
    host.opened(OK)
    wrapped = host.wrap(CommandAPDU.parse(H(case["command"])))
    assert wrapped.data[:-8].hex() == case["encrypted"]
