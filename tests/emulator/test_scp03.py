"""The card's side of SCP03: recorded sessions, an oracle of its own, and a man in the middle."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.apdu import CommandAPDU
from cardlib.crypto import BlockCipher, Cipher
from cardlib.emulator.chip.refusal import Refusal
from cardlib.emulator.profile.card_state import StoredKeySet
from cardlib.emulator.sessions.scp03 import LEVELS, Scp03Session, card_challenge, derive
from tests.oracles import scp03 as reference_scp03
from tests.oracles.scp03 import ReferenceHost, cmac, encrypt
from tests.vectors import load

H = bytes.fromhex
RECORDED = load("scp03")["sessions"]
RECORDING_CARD_AID = H("A0000005591010FFFFFFFF8900000100")
"""The eSIM's ISD-R, which was selected when the sessions were recorded."""
SIZES = (0, 1, 15, 16, 17, 31, 100, 223, 239)
OK = b"\x90\x00"


def key_set(size: int, version: int = 1) -> StoredKeySet:
    enc, mac, dek = (bytes((start + i) & 0xFF for i in range(size)) for start in (0, 64, 128))
    return StoredKeySet(version, enc, mac, dek, 15)


def open_pair(
    level: int = 0x33, size: int = 16, challenge_length: int = 8
) -> tuple[ReferenceHost, Scp03Session]:
    """A host of the oracle and a card's session, authenticated to each other."""
    keys = key_set(size)
    host = ReferenceHost((keys.enc, keys.mac, keys.dek), level, b"\x11" * challenge_length)
    challenge = b"\x22" * challenge_length
    session = Scp03Session(keys, host.host_challenge, challenge)
    host.begin(challenge)
    assert session.card_cryptogram == host.cryptogram(0)
    session.authenticate(host.external_authenticate())
    return host, session


def refused(session: Scp03Session, command: CommandAPDU) -> bool:
    """Whether the session answers 6982 and is aborted."""
    try:
        session.unwrap(command)
    except Refusal as refusal:
        assert refusal.sw == 0x6982
        assert session.aborted
        assert session.level == 0
        return True
    return False


@pytest.fixture(params=RECORDED, ids=[recorded["id"] for recorded in RECORDED])
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def replay(recorded: dict[str, Any]) -> tuple[Scp03Session, bytes]:
    answer = H(recorded["initialize_update_response"])
    enc, mac, dek = (H(recorded[f"key_{name}"]) for name in ("enc", "mac", "dek"))
    keys = StoredKeySet(answer[10], enc, mac, dek, 15)
    host_challenge = H(recorded["initialize_update"])[5:13]
    return Scp03Session(keys, host_challenge, answer[13:21]), answer


def test_recorded_card_challenges_are_derived_from_counter_and_aid(
    recorded: dict[str, Any],
) -> None:
    answer = H(recorded["initialize_update_response"])
    expected = answer[13:21]
    assert card_challenge(H(recorded["key_enc"]), answer[29:32], RECORDING_CARD_AID, 8) == expected


def test_recorded_sessions_are_answered_as_the_real_card_did(recorded: dict[str, Any]) -> None:
    session, answer = replay(recorded)
    assert session.card_cryptogram == answer[21:29]
    session.authenticate(CommandAPDU.parse(H(recorded["external_authenticate"])))
    assert session.level == int(recorded["security_level"], 16)
    for exchange in recorded["exchanges"]:
        plain = session.unwrap(CommandAPDU.parse(H(exchange["wrapped"])))
        assert bytes(plain) == H(exchange["command"])
        if "response_plain" in exchange:
            wrapped = session.wrap(H(exchange["response_plain"]) + OK)
            assert wrapped == H(exchange["response_data"]) + OK
        else:
            session.wrap(OK)


def test_recorded_check_values_belong_to_the_recorded_keys() -> None:
    keys = [H(RECORDED[0][f"key_{name}"]) for name in ("enc", "mac", "dek")]
    assert [reference_scp03.kcv(key).hex().upper() for key in keys] == [
        "C35280",
        "013808",
        "840DE5",
    ]


@pytest.mark.parametrize("size", [16, 24, 32])
def test_derivation_is_the_one_of_the_oracle(size: int) -> None:
    key = bytes(range(size))
    for constant in (0, 1, 2, 4, 6, 7):
        ours = derive(BlockCipher(Cipher.AES, key), constant, b"context", size)
        assert ours == reference_scp03.derive(key, constant, b"context", size)


@pytest.mark.parametrize("pad_only", [False, True], ids=["bare", "pad-only"])
@pytest.mark.parametrize("challenge_length", [8, 16], ids=["S8", "S16"])
@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("level", sorted(LEVELS), ids=lambda level: f"level{level:02X}")
def test_every_mode_agrees_with_the_oracle(
    level: int, size: int, challenge_length: int, pad_only: bool
) -> None:
    host, session = open_pair(level, size, challenge_length)
    host.pad_only = pad_only
    for number, length in enumerate(SIZES * 3):
        command = CommandAPDU(
            0x80, 0xE2, 0x08, number, bytes([number]) * length, None, length > 230
        )
        assert session.unwrap(host.wrap(command)) == command
        response = bytes([number ^ 0x80]) * SIZES[-1 - number % len(SIZES)] + OK
        assert host.unwrap(session.wrap(response)) == response


def test_commands_of_both_classes_and_any_le_come_through() -> None:
    host, session = open_pair()
    for cla, le in ((0x00, None), (0x80, 1), (0x00, 256), (0x80, None)):
        command = CommandAPDU(cla, 0xB0, 1, 2, b"", le)
        assert session.unwrap(host.wrap(command)) == command
        session.wrap(OK)


def test_extended_commands_and_replies() -> None:
    host, session = open_pair()
    for data, le in ((b"", 65536), (b"short", 65536), (bytes(2000), None), (bytes(40000), 300)):
        command = CommandAPDU(0x80, 0xE2, 0, 0, data, le, True)
        assert session.unwrap(host.wrap(command)) == command
        assert host.unwrap(session.wrap(bytes(5000) + OK)) == bytes(5000) + OK


def test_the_mac_is_over_the_class_without_the_channel_number() -> None:
    host, session = open_pair()
    wrapped = host.wrap(CommandAPDU(0x82, 0xCA, 0, 0xE0))
    assert wrapped.cla == 0x86
    assert session.unwrap(wrapped) == CommandAPDU(0x82, 0xCA, 0, 0xE0)


@pytest.mark.parametrize("level", [0x11, 0x13, 0x33])
def test_errors_go_out_bare_and_the_session_lives_on(level: int) -> None:
    host, session = open_pair(level)
    for sw in ("6982", "6A88", "6581", "6F00", "6400", "6700"):
        session.unwrap(host.wrap(CommandAPDU(0x80, 0xCA, 0, 0)))
        assert session.wrap(b"secret" + H(sw)) == H(sw)
    session.unwrap(host.wrap(CommandAPDU(0x80, 0xCA, 0, 0)))
    assert host.unwrap(session.wrap(b"data" + OK)) == b"data" + OK


@pytest.mark.parametrize("level", [0x11, 0x13, 0x33])
@pytest.mark.parametrize("sw", ["9000", "6283", "6310", "63C2"])
def test_success_and_warnings_carry_a_mac_with_and_without_data(level: int, sw: str) -> None:
    host, session = open_pair(level)
    for data in (b"", b"data"):
        session.unwrap(host.wrap(CommandAPDU(0x80, 0xCA, 0, 0)))
        wrapped = session.wrap(data + H(sw))
        assert len(wrapped) >= len(data) + 10
        assert host.unwrap(wrapped) == data + H(sw)


@pytest.mark.parametrize("level", [0x01, 0x03])
def test_without_r_mac_replies_are_not_changed(level: int) -> None:
    host, session = open_pair(level)
    session.unwrap(host.wrap(CommandAPDU(0x80, 0xCA, 0, 0)))
    assert session.wrap(b"data" + OK) == b"data" + OK


def wrong_authentications() -> list[tuple[str, CommandAPDU]]:
    host, _ = pending_pair()
    good = host.external_authenticate()
    flip = [
        (f"bit of byte {i}", good._replace(data=flipped(good.data, 8 * i))) for i in (0, 7, 8, 15)
    ]
    return [*flip, ("level raised", good._replace(p1=0x33)), ("other P2", good._replace(p2=1))]


def pending_pair() -> tuple[ReferenceHost, Scp03Session]:
    keys = key_set(16)
    host = ReferenceHost((keys.enc, keys.mac, keys.dek), 0x11, b"\x11" * 8)
    host.begin(b"\x22" * 8)
    return host, Scp03Session(keys, b"\x11" * 8, b"\x22" * 8)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize(
    "command", [command for _, command in wrong_authentications()],
    ids=[name for name, _ in wrong_authentications()],
)  # fmt: skip
def test_a_wrong_cryptogram_and_a_wrong_mac_are_one_answer(command: CommandAPDU) -> None:
    _, session = pending_pair()
    with pytest.raises(Refusal) as caught:
        session.authenticate(command)
    assert caught.value.sw == 0x6300
    assert caught.value.reason == "wrong host cryptogram or C-MAC"
    assert session.level == 0


def test_before_authentication_nothing_is_protected() -> None:
    _, session = pending_pair()
    command = CommandAPDU(0x04, 0xDC, 1, 4, b"version 1 message")
    assert session.unwrap(command) is command
    assert session.wrap(b"data" + OK) == b"data" + OK


@pytest.mark.parametrize(
    "command", ["80CA00E000", "00B0000000", "8CCA00E000", "0CB0000000", "00A4000000"]
)
def test_an_unprotected_command_aborts_the_session(command: str) -> None:
    host, session = open_pair()
    assert refused(session, CommandAPDU.parse(H(command)))
    assert refused(session, host.wrap(CommandAPDU(0x80, 0xCA, 0, 0xE0)))


@pytest.mark.parametrize(
    "command",
    ["00C0000000", "80C0000008", "00A4040000", "00A4040005F05248430100", "0070000001",
     "80503000080102030405060708"],
)  # fmt: skip
def test_what_is_for_the_card_passes_in_every_state(command: str) -> None:
    host, session = open_pair()
    parsed = CommandAPDU.parse(H(command))
    assert session.unwrap(parsed) is parsed
    assert session.wrap(b"data" + OK) == b"data" + OK
    still = CommandAPDU(0x80, 0xCA, 0, 0xE0)
    assert session.unwrap(host.wrap(still)) == still
    session.abort()
    assert session.unwrap(parsed) is parsed


def test_repeated_dropped_and_reordered_commands_abort() -> None:
    for order in ([0, 0], [1], [1, 0], [0, 2]):
        host, session = open_pair()
        sent = [host.wrap(CommandAPDU(0x80, 0xE2, 8, n, bytes(20))) for n in range(3)]
        results = [refused(session, sent[index]) for index in order]
        assert results[-1]
        assert not any(results[:-1]) or order == [1, 0]


@pytest.mark.parametrize("level", sorted(LEVELS))
def test_a_command_without_room_for_a_mac_aborts(level: int) -> None:
    _, session = open_pair(level)
    assert refused(session, CommandAPDU(0x84, 0xCA, 0, 0xE0, b"short"))


@pytest.mark.parametrize(
    "plain", [b"", bytes(16), bytes(32), b"\x80" + bytes(31), b"x" * 16], ids=lambda p: p.hex()
)
def test_wrong_padding_under_a_right_mac_is_the_same_answer(plain: bytes) -> None:
    host, session = open_pair(0x03)
    host.counter += 1
    icv = encrypt(host.session["ENC"], bytes(16), host.counter.to_bytes(16, "big"))
    body = encrypt(host.session["ENC"], icv, plain) if plain else b"not a whole block"
    message = host.chaining + bytes((0x84, 0xE2, 8, 0, len(body) + 8)) + body
    mac = cmac(host.session["MAC"], message)[:8]
    assert refused(session, CommandAPDU(0x84, 0xE2, 8, 0, body + mac))


def test_the_dek_decrypts_with_iv_zero() -> None:
    keys = key_set(32)
    _, session = open_pair(size=32)
    secret = bytes(range(48))
    assert session.decrypt_dek(encrypt(keys.dek, bytes(16), secret)) == secret


def test_only_c_enc_under_other_than_transport_keys_is_the_issuers() -> None:
    for level in sorted(LEVELS):
        _, session = open_pair(level)
        assert session.is_issuer == (level in (0x03, 0x13, 0x33))
        session.key_version = 0xFF
        assert not session.is_issuer


def test_nothing_secret_is_shown() -> None:
    _, session = open_pair()
    assert repr(session) == "<SCP03 session, key version 01, level 33>"


ACTIONS = st.sampled_from(["drop", "repeat", "swap", "truncate", "flip", "splice", "p2", "cla"])


@settings(max_examples=150, deadline=None)
@given(
    level=st.sampled_from(sorted(LEVELS)),
    sizes=st.lists(st.sampled_from(SIZES), min_size=3, max_size=5),
    action=ACTIONS,
    target=st.integers(0, 1),
    bit=st.integers(0, 255 * 8 - 1),
)
def test_nothing_altered_on_the_way_is_accepted(
    level: int, sizes: list[int], action: str, target: int, bit: int
) -> None:
    host, session = open_pair(level)
    plain = [CommandAPDU(0x80, 0xE2, 0x08, n, bytes([n]) * size) for n, size in enumerate(sizes)]
    sent = [host.wrap(command) for command in plain]
    other, _ = open_pair(level, 24)
    alien = [other.wrap(command) for command in plain]
    victim = sent[target]
    altered: dict[str, CommandAPDU | None] = {
        "drop": None,
        "repeat": sent[target - 1] if target else sent[1],
        "swap": sent[target + 1],
        "truncate": victim._replace(data=victim.data[:-1]),
        "flip": victim._replace(data=flipped(victim.data, bit % (8 * len(victim.data)))),
        "splice": alien[target],
        "p2": victim._replace(p2=victim.p2 ^ 0x40),
        "cla": victim._replace(cla=0x04),
    }
    stream = [*sent[:target], altered[action], *sent[target + 1 :]]
    accepted: list[CommandAPDU] = []
    for command in stream:
        if command is None:
            continue
        if refused(session, command):
            break
        accepted.append(plain[len(accepted)])
    assert accepted == plain[:target]
    assert session.aborted
