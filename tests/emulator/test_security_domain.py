"""The issuer security domain through `transmit`: opening sessions, keys, registry, life cycle."""

import contextlib
from collections.abc import Iterator

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, LifeCycle, PowerCut, SoftwareCard
from cardlib.emulator.handlers.security_domain import COMMANDS
from cardlib.emulator.profile.card_state import KEY_TRIES, StoredKey
from cardlib.layout import KEY_BY_NAME
from cardlib.tlv import find_ber, iter_ber
from tests.oracles.scp03 import Keys, Terminal, derive, encrypt, kcv

H = bytes.fromhex
CHIP = H("0102030405060708")
SECURITY_DOMAIN, HEALTH_APPLICATION = H("A000000151000000"), H("F052484301")
TRANSPORT: Keys = (b"e" * 16, b"m" * 16, b"d" * 16)
ISSUER: Keys = (b"E" * 16, b"M" * 16, b"D" * 16)


@pytest.fixture
def card() -> Iterator[SoftwareCard]:
    blank = SoftwareCard.blank(CHIP, TRANSPORT, seed=1)
    yield blank
    blank.close()


@pytest.fixture
def issuers(card: SoftwareCard) -> SoftwareCard:
    """A blank that has the issuer's keys."""
    assert put_key(Terminal.open(card.transmit, TRANSPORT), ISSUER).endswith("9000")
    card.reset()
    return card


def send(card: SoftwareCard, command: str) -> str:
    return card.transmit(H(command)).hex()


def key_field(dek: bytes, key: bytes, with_length: bool = True) -> bytes:
    encrypted = encrypt(dek, bytes(16), key + bytes(-len(key) % 16))
    value = (bytes((len(key),)) if with_length else b"") + encrypted
    return b"\x88" + bytes((len(value),)) + value + b"\x03" + kcv(key)


def put_key(
    terminal: Terminal, keys: Keys, version: int = 1, replaces: int = 0xFF, tail: bytes = b""
) -> str:
    fields = b"".join(key_field(terminal.host.keys[2], key) for key in keys)
    data = bytes((version,)) + fields + tail
    return terminal.send(f"80D8{replaces:02X}81{len(data):02X}{data.hex()}00")


def versions(card: SoftwareCard) -> list[int]:
    return list(card.state.key_sets)


# INITIALIZE UPDATE


def test_initialize_update_answers_chip_keys_challenge_and_counter(card: SoftwareCard) -> None:
    answer = H(send(card, "80500000080000000000000000" + "00"))
    assert answer[:13] == CHIP + H("0000FF0370")
    assert len(answer) == 13 + 8 + 8 + 3 + 2
    assert answer[29:] == H("0000019000")


def test_initialize_update_without_le_is_answered_all_the_same(card: SoftwareCard) -> None:
    assert len(send(card, "80500000080000000000000000")) == 2 * 34


@pytest.mark.parametrize(
    ("select", "aid"),
    [("", HEALTH_APPLICATION), ("00A4040000", SECURITY_DOMAIN),
     ("00A4040005F052484301", HEALTH_APPLICATION)],
)  # fmt: skip
def test_the_card_challenge_is_of_counter_and_selected_application(
    card: SoftwareCard, select: str, aid: bytes
) -> None:
    if select:
        send(card, select)
    for counter in (1, 2, 3):
        answer = H(send(card, "80500000080000000000000000"))
        expected = derive(TRANSPORT[0], 2, counter.to_bytes(3, "big") + aid, 8)
        assert answer[13:21] == expected


def test_the_counter_is_stored_before_the_reply(card: SoftwareCard) -> None:
    send(card, "80500000080000000000000000")
    card.reset()
    assert H(send(card, "80500000080000000000000000"))[29:32] == H("000002")
    assert send(card, "80CA00C100") == "c1030000029000"


def test_a_used_up_counter_opens_nothing(card: SoftwareCard) -> None:
    card.state.sequence_counter = 0xFFFFFE
    assert H(send(card, "80500000080000000000000000"))[29:32] == H("FFFFFF")
    assert send(card, "80500000080000000000000000") == "6985"


@pytest.mark.parametrize(
    ("command", "sw"),
    [("80500100080000000000000000", "6a88"), ("80503000080000000000000000", "6a88"),
     ("80500001080000000000000000", "6a86"), ("805000000700000000000000", "6700"),
     ("8050000010" + "00" * 16, "6700"), ("84500000080000000000000000", "6882")],
)  # fmt: skip
def test_wrong_initialize_updates(card: SoftwareCard, command: str, sw: str) -> None:
    assert send(card, command) == sw


def test_key_version_zero_is_the_first_set_and_a_version_its_own(issuers: SoftwareCard) -> None:
    assert send(issuers, "8050FF00080000000000000000") == "6a88"
    for version in ("00", "01"):
        assert H(send(issuers, f"8050{version}00080000000000000000"))[10] == 1


@pytest.mark.parametrize("random_challenge", [False, True], ids=["pseudo-random", "random"])
@pytest.mark.parametrize("s16", [False, True], ids=["S8", "S16"])
@pytest.mark.parametrize("level", [0x01, 0x03, 0x11, 0x13, 0x33])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_sessions_of_every_kind(s16: bool, random_challenge: bool, level: int, size: int) -> None:
    keys: Keys = (b"e" * size, b"m" * size, b"d" * size)
    options = CardOptions(scp03_s16=s16, scp03_random_challenge=random_challenge)
    card = SoftwareCard.blank(CHIP, keys, options=options, seed=1)
    i = 0x60 | (0 if random_challenge else 0x10) | s16
    challenge = bytes(16 if s16 else 8)
    assert H(send(card, f"80500000{len(challenge):02X}{challenge.hex()}"))[10:13] == H(
        f"FF03{i:02X}"
    )
    assert H(send(card, "80CA006600"))[-3] == i
    terminal = Terminal.open(card.transmit, keys, level, 0, challenge)
    for _ in range(3):
        expected = "".join(f"c0040{n}ff88{size:02x}" for n in (1, 2, 3))
        assert terminal.send("80CA00E000") == f"e012{expected}9000"
        assert terminal.send("80CA00E0") == f"e012{expected}9000"
        assert terminal.send("80CA123400") == "6a88"


def test_random_challenges_differ() -> None:
    options = CardOptions(scp03_random_challenge=True)
    card = SoftwareCard.blank(CHIP, TRANSPORT, options=options, seed=1)
    answers = {H(send(card, "80500000080000000000000000"))[13:21] for _ in range(5)}
    assert len(answers) == 5
    assert len(send(card, "80500000080000000000000000")) == 2 * 31


# EXTERNAL AUTHENTICATE


def test_external_authenticate_needs_initialize_update(card: SoftwareCard) -> None:
    assert send(card, "8482330010" + "00" * 16) == "6985"


def test_an_initialize_update_allows_one_try(card: SoftwareCard) -> None:
    terminal = Terminal.initialize(card.transmit, TRANSPORT)
    good = bytes(terminal.host.external_authenticate())
    assert send(card, "8482330010" + "00" * 16) == "6300"
    assert card.transmit(good).hex() == "6985"
    assert send(card, "80CA00E000").endswith("9000")


@pytest.mark.parametrize(
    ("head", "sw"),
    [("8082330010", "6982"), ("8482000010", "6a86"), ("8482020010", "6a86"),
     ("8482300010", "6a86"), ("8482330110", "6a86"), ("848233000F", "6700")],
)  # fmt: skip
def test_wrong_external_authenticates_end_the_attempt(
    card: SoftwareCard, head: str, sw: str
) -> None:
    Terminal.initialize(card.transmit, TRANSPORT)
    assert send(card, head + "00" * int(head[-2:], 16)) == sw
    assert send(card, "8482330010" + "00" * 16) == "6985"


def test_the_key_set_blocks_after_15_wrong_tries_in_a_row(card: SoftwareCard) -> None:
    for _ in range(KEY_TRIES - 1):
        Terminal.initialize(card.transmit, TRANSPORT)
        assert send(card, "8482330010" + "00" * 16) == "6300"
    Terminal.open(card.transmit, TRANSPORT)
    for _ in range(KEY_TRIES):
        Terminal.initialize(card.transmit, TRANSPORT)
        assert send(card, "8482330010" + "00" * 16) == "6300"
    card.reset()
    assert Terminal.initialize(card.transmit, TRANSPORT).authenticate() == "6983"


def test_a_try_is_spent_in_memory_before_the_comparison(card: SoftwareCard) -> None:
    terminal = Terminal.initialize(card.transmit, TRANSPORT)
    spent: list[int] = []

    def on_write(page: int, done: bool) -> None:
        if done:
            spent.append(card.memory.pages[page][2] if page == 8 else -1)

    card.memory.on_write = on_write
    assert terminal.authenticate() == "9000"
    assert spent == [KEY_TRIES - 1, KEY_TRIES]


# What ends a session


def test_an_open_session_takes_only_protected_commands(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    assert terminal.send("80CA00C100") == "c1030000019000"
    assert send(card, "80CA00C100") == "6982"
    assert send(card, "80CA00C100") == "6982"
    assert terminal.send("80CA00C100") == "6982"


@pytest.mark.parametrize(
    "leave", ["00A4040000", "00A4040005F052484301", "80500000081122334455667788"]
)
def test_select_by_name_and_initialize_update_end_a_session(card: SoftwareCard, leave: str) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    assert send(card, leave).endswith("9000")
    assert send(card, "80CA00C100").endswith("9000")
    assert terminal.send("80F28002024F0000") == "6982"


def test_reset_ends_a_session(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    card.reset()
    assert terminal.send("80F28002024F00") == "6982"


def test_a_select_by_name_that_finds_nothing_ends_a_session_too(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    assert send(card, "00A4040005A000000003") == "6a82"
    assert terminal.send("80F28002024F0000") == "6982"
    assert send(card, "80CA00C100") == "c1030000019000"


def test_secure_messaging_without_a_session_is_refused(card: SoftwareCard) -> None:
    assert send(card, "84CA00C100") == "6882"


def test_key_information_names_each_key_of_each_set(issuers: SoftwareCard) -> None:
    entries = "".join(f"c0040{number}018810" for number in (1, 2, 3))
    assert send(issuers, "80CA00E000") == f"e012{entries}9000"


def test_long_protected_replies_are_fetched_by_get_response(card: SoftwareCard) -> None:
    assert put_key(Terminal.open(card.transmit, TRANSPORT), ISSUER, 2, 0).endswith("9000")
    terminal = Terminal.open(card.transmit, ISSUER, version=2)
    for version in (3, 4):
        assert put_key(terminal, ISSUER, version, 0).endswith("9000")
    assert len(terminal.send("80CA00E000")) == 2 * (2 + 12 * 6 + 2)


def test_chained_commands_are_checked_as_one(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    fields = b"".join(key_field(TRANSPORT[2], key) for key in ISSUER)
    data = bytes((1,)) + fields
    wrapped = terminal.host.wrap(CommandAPDU(0x80, 0xD8, 0xFF, 0x81, data))
    first, rest = wrapped.data[:50], wrapped.data[50:]
    assert card.transmit(bytes(CommandAPDU(0x94, 0xD8, 0xFF, 0x81, first))).hex() == "9000"
    answer = card.transmit(bytes(CommandAPDU(0x84, 0xD8, 0xFF, 0x81, rest)))
    assert terminal.host.unwrap(answer).hex().endswith("9000")
    assert versions(card) == [1]


# PUT KEY


def test_put_key_replaces_the_transport_keys_at_once(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    expected = "01" + b"".join(map(kcv, ISSUER)).hex() + "9000"
    assert put_key(terminal, ISSUER) == expected
    assert versions(card) == [1]
    Terminal.open(card.transmit, ISSUER)
    assert send(card, "8050FF00080000000000000000") == "6a88"


@pytest.mark.parametrize("size", [16, 24, 32])
def test_put_key_takes_all_key_lengths(card: SoftwareCard, size: int) -> None:
    keys: Keys = (b"E" * size, b"M" * size, b"D" * size)
    assert put_key(Terminal.open(card.transmit, TRANSPORT, 0x01), keys).endswith("9000")
    terminal = Terminal.open(card.transmit, keys)
    assert put_key(terminal, TRANSPORT, 2, 1).endswith("9000")
    Terminal.open(card.transmit, TRANSPORT, 0x33, 2)


def test_put_key_takes_16_byte_keys_without_a_key_length(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    data = b"\x01" + b"".join(key_field(TRANSPORT[2], key, with_length=False) for key in ISSUER)
    assert terminal.send(f"80D8FF81{len(data):02X}{data.hex()}00").endswith("9000")
    Terminal.open(card.transmit, ISSUER)


def test_four_key_sets_fit(card: SoftwareCard) -> None:
    assert put_key(Terminal.open(card.transmit, TRANSPORT), ISSUER, 1, 0).endswith("9000")
    terminal = Terminal.open(card.transmit, ISSUER, version=1)
    for version in (2, 3):
        assert put_key(terminal, ISSUER, version, 0).endswith("9000")
    assert put_key(terminal, ISSUER, 4, 0) == "6a84"
    assert put_key(terminal, ISSUER, 3, 0) == "6a80"
    assert put_key(terminal, ISSUER, 3, 2) == "6a80"
    assert versions(card) == [0xFF, 1, 2, 3]


def wrong_key_data() -> dict[str, bytes]:
    good = [key_field(TRANSPORT[2], key) for key in ISSUER]
    wrong_check = good[2][:-1] + bytes((good[2][-1] ^ 1,))
    long = key_field(TRANSPORT[2], b"k" * 24)
    return {
        "no version": b"",
        "version 00": b"\0" + b"".join(good),
        "version 80": b"\x80" + b"".join(good),
        "version FF": b"\xff" + b"".join(good),
        "two keys": b"\x01" + b"".join(good[:2]),
        "four keys": b"\x01" + b"".join(good) + good[0],
        "wrong check value": b"\x01" + good[0] + good[1] + wrong_check,
        "no check value": b"\x01" + good[0] + good[1] + good[2][:-4] + b"\0",
        "cut off": b"\x01" + b"".join(good)[:-1],
        "not AES": b"\x01" + good[0] + good[1] + b"\x80" + good[2][1:],
        "one longer": b"\x01" + good[0] + good[1] + long,
        "wrong key length": b"\x01" + good[0] + good[1] + good[2][:2] + b"\x18" + good[2][3:],
        "one byte": b"\x01\x88\x01\x10\x03" + bytes(3) + good[0] + good[1],
        "empty value": b"\x01\x88\x00\x03" + bytes(3) + good[0] + good[1],
    }


@pytest.mark.parametrize("name", wrong_key_data())
def test_wrong_key_data_is_refused_and_changes_nothing(card: SoftwareCard, name: str) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    data = wrong_key_data()[name]
    body = f"{len(data):02X}{data.hex()}" if data else ""
    assert terminal.send(f"80D8FF81{body}00") == "6a80"
    assert versions(card) == [0xFF]
    assert put_key(terminal, ISSUER).endswith("9000")


def test_put_key_padding_must_be_zeros(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    key = b"k" * 24
    value = b"\x18" + encrypt(TRANSPORT[2], bytes(16), key + b"notzeros")
    data = b"\x01" + (b"\x88\x21" + value + b"\x03" + kcv(key)) * 3
    assert terminal.send(f"80D8FF81{len(data):02X}{data.hex()}00") == "6a80"


def test_put_key_needs_a_session_an_existing_version_and_p2_81(card: SoftwareCard) -> None:
    assert send(card, "80D8FF810101") == "6982"
    terminal = Terminal.open(card.transmit, TRANSPORT)
    assert put_key(terminal, ISSUER, 2, 1) == "6a88"
    assert terminal.send("80D8FF010101") == "6a86"


@pytest.mark.parametrize("left", [0, 1])
def test_a_power_cut_leaves_the_old_keys_or_the_new(card: SoftwareCard, left: int) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    writes = 0

    def cut(page: int, done: bool) -> None:
        nonlocal writes
        writes += done
        if not done and writes == left:
            raise PowerCut

    card.memory.on_write = cut
    answer = ""
    with contextlib.suppress(PowerCut):
        answer = put_key(terminal, ISSUER)
    card.memory.on_write = None
    card.reset()
    assert versions(card) == ([1] if answer else [0xFF])
    Terminal.open(card.transmit, ISSUER if answer else TRANSPORT)


# GET DATA, GET STATUS


def test_cplc_carries_the_chip_serial(card: SoftwareCard) -> None:
    answer = H(send(card, "80CA9F7F00"))
    assert answer[:3] == H("9F7F2A")
    assert answer[3 + 12 : 3 + 20] == CHIP
    assert len(answer) == 3 + 42 + 2


def test_card_data_names_globalplatform_and_scp03(card: SoftwareCard) -> None:
    data = find_ber(H(send(card, "80CA006600"))[:-2], 0x66, 0x73)
    assert data is not None
    objects = list(iter_ber(data))
    assert [item.tag for item in objects] == [0x06, 0x60, 0x64]
    assert find_ber(data, 0x64, 0x06) == H("2A864886FC6B040370")


def test_get_data_of_other_things(card: SoftwareCard) -> None:
    assert send(card, "80CA004500") == "4508" + CHIP.hex() + "9000"
    assert send(card, "80CA004200") == "6a88"
    assert send(card, "80CA00E0015C00") == "6700"
    assert send(card, "80CB00C100") == send(card, "00CB00C100") == "6d00"


def test_get_data_in_class_00_answers_the_value_alone(card: SoftwareCard) -> None:
    assert send(card, "80CA00C100") == "c103" + send(card, "00CA00C100")
    assert send(card, "00CA004500") == CHIP.hex() + "9000"
    whole = find_ber(H(send(card, "80CA00E000"))[:-2], 0xE0)
    assert whole is not None and send(card, "00CA00E000") == whole.hex() + "9000"
    assert H(send(card, "00CA006600"))[:1] == b"\x73"  # the object inside 66


def test_in_a_session_the_class_decides_too(issuers: SoftwareCard) -> None:
    terminal = Terminal.open(issuers.transmit, ISSUER)
    assert terminal.send("00CA004500") == CHIP.hex() + "9000"
    assert terminal.send("80CA004500") == "4508" + CHIP.hex() + "9000"
    assert terminal.send("00DA5F500148") == "9000"
    assert terminal.send("00CA5F5000") == "489000"
    assert terminal.send("80CA5F5000") == "5f5001489000"


# DELETE [key]


@pytest.fixture
def two_sets(issuers: SoftwareCard) -> SoftwareCard:
    """A blank with the issuer's keys as version 1, and others as version 2."""
    other: Keys = (b"x" * 16, b"y" * 16, b"z" * 16)
    assert put_key(Terminal.open(issuers.transmit, ISSUER), other, 2, 0).endswith("9000")
    return issuers


@pytest.mark.parametrize("p2", ["00", "01"])
def test_delete_removes_one_key_set(two_sets: SoftwareCard, p2: str) -> None:
    terminal = Terminal.open(two_sets.transmit, ISSUER, version=1)
    assert terminal.send(f"80E400{p2}03D20102") == "9000"
    assert versions(two_sets) == [1]
    assert terminal.send("80CA004500").endswith("9000"), "the session goes on"
    assert terminal.send(f"80E400{p2}03D20101") == "6985", "the last set stays"
    assert versions(two_sets) == [1]


def test_without_its_own_set_the_session_ends_after_the_reply(two_sets: SoftwareCard) -> None:
    terminal = Terminal.open(two_sets.transmit, ISSUER, version=1)
    assert terminal.send("80E4000003D20101") == "9000", "this reply is protected still"
    assert (versions(two_sets), two_sets.channels[0].scp03) == ([2], None)
    assert send(two_sets, "8050010008" + "00" * 8) == "6a88"


@pytest.mark.parametrize(("data", "answer"), [
    ("D20103", "6a88"), ("D00101D20102", "6a80"), ("D20102D00101", "6a80"), ("D00101", "6a80"),
    ("", "6a80"), ("D2020102", "6a80"), ("D200", "6a80"), ("4F0102", "6a80"), ("D201", "6a80"),
])  # fmt: skip
def test_delete_names_one_set_by_its_version(
    two_sets: SoftwareCard, data: str, answer: str
) -> None:
    terminal = Terminal.open(two_sets.transmit, ISSUER, version=1)
    command = f"80E40000{len(data) // 2:02X}{data}" if data else "80E40000"
    assert terminal.send(command) == answer
    assert versions(two_sets) == [1, 2]


@pytest.mark.parametrize("header", ["80E40100", "80E40002", "80E40080"])
def test_delete_takes_no_other_parameters(two_sets: SoftwareCard, header: str) -> None:
    terminal = Terminal.open(two_sets.transmit, ISSUER, version=1)
    assert terminal.send(f"{header}03D20102") == "6a86"


def test_delete_needs_the_issuers_session_with_encryption(two_sets: SoftwareCard) -> None:
    assert send(two_sets, "80E4000003D20102") == "6982"
    weak = Terminal.open(two_sets.transmit, ISSUER, 0x11, 1)
    assert weak.send("80E4000003D20102") == "6982"
    assert versions(two_sets) == [1, 2]


@pytest.mark.parametrize("command", ["80E4000003D20101", "80E2080003010100", "80D80081"])
def test_transport_keys_serve_no_more_once_there_is_another_set(
    card: SoftwareCard, command: str
) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    assert put_key(terminal, ISSUER, 1, 0).endswith("9000")
    if command.startswith("80D8"):
        assert put_key(terminal, ISSUER, 2, 0) == "6985"
    else:
        assert terminal.send(command) == "6985"
    assert versions(card) == [0xFF, 1]


@pytest.mark.parametrize("ins", ["E6", "E8"])
@pytest.mark.parametrize("cla", ["80", "84"])
def test_a_globalplatform_command_that_the_card_lacks_is_6d00(
    card: SoftwareCard, cla: str, ins: str
) -> None:
    """INSTALL and LOAD share their INS with TERMINATE DF and TERMINATE EF of class 00."""
    assert send(card, f"{cla}{ins}0C0000") == "6d00"
    assert send(card, f"00{ins}0000") == "6982"


def test_select_of_the_domain_knows_one_occurrence(card: SoftwareCard) -> None:
    assert send(card, "00A4040408A00000015100000000")[:2] == "62"
    assert send(card, "00A4040208A00000015100000000") == "6a82"
    assert send(card, "00A4000202EF0500") == "6a86"


@pytest.mark.parametrize("fcp", [
    "82013883 02DDF1", "820138 8302A001 8405F052484301",
])  # fmt: skip
def test_a_blank_keeps_the_profiles_identifiers_and_names_free(
    issuers: SoftwareCard, fcp: str
) -> None:
    terminal = Terminal.open(issuers.transmit, ISSUER)
    raw = H(fcp.replace(" ", ""))
    template = (b"\x62" + bytes((len(raw),)) + raw).hex()
    assert terminal.send(f"00E00000{len(raw) + 2:02X}{template}") == "6a89"


def test_get_status_needs_a_session(card: SoftwareCard) -> None:
    assert send(card, "80F28002024F0000") == "6982"


def test_get_status_lists_domain_and_application(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT, 0x01)
    domain = "e3134f08a0000001510000009f700101c503980400"
    applet = "e3104f05f0524843019f700107c503040000"
    assert terminal.send("80F28002024F0000") == domain + "9000"
    assert terminal.send("80F2800200") == domain + "9000"
    assert terminal.send("80F24002024F0000") == applet + "9000"
    assert terminal.send("80F240020" + "44F02F05200") == applet + "9000"
    assert terminal.send("80F2400206" + "4F04A000000100") == "6a88"
    assert terminal.send("80F2200209" + "4F0212345C034F9F70") == "6a88"
    assert terminal.send("80F21002024F0000") == "6a88"
    assert terminal.send("80F28002074F005C034F9F7000") == "e30e4f08a0000001510000009f7001019000"
    assert terminal.send("80F28000024F0000") == "08a00000015100000001989000"


@pytest.mark.parametrize(
    ("command", "sw"),
    [("80F28202024F0000", "6a86"), ("80F28001024F0000", "6a86"), ("80F28002025C0000", "6a80"),
     ("80F28002024F0500", "6a80"), ("80F28002044F004F0000", "6a80")],
)  # fmt: skip
def test_wrong_get_status(card: SoftwareCard, command: str, sw: str) -> None:
    assert Terminal.open(card.transmit, TRANSPORT).send(command) == sw


@pytest.mark.parametrize(
    ("life_cycle", "domain", "applet"),
    [(LifeCycle.BLANK, "07", "07"), (LifeCycle.PERSONALIZED, "0f", "0f"),
     (LifeCycle.ACTIVE, "0f", "1f")],
)  # fmt: skip
def test_get_status_tells_the_life_cycle(
    issuers: SoftwareCard, life_cycle: LifeCycle, domain: str, applet: str
) -> None:
    issuers.state.life_cycle = life_cycle
    issuers.memory.commit()
    terminal = Terminal.open(issuers.transmit, ISSUER)
    assert f"9f7001{domain}" in terminal.send("80F28002024F0000")
    assert f"9f7001{applet}" in terminal.send("80F24002024F0000")


# The issuer's commands


def set_life_cycle(card: SoftwareCard, life_cycle: LifeCycle) -> None:
    card.state.life_cycle = life_cycle
    card.memory.commit()


def test_activate_makes_a_personalized_card_active(issuers: SoftwareCard) -> None:
    set_life_cycle(issuers, LifeCycle.PERSONALIZED)
    terminal = Terminal.open(issuers.transmit, ISSUER, 0x03)
    assert terminal.send("80440100") == "6a86"
    assert terminal.send("80440000") == "9000"
    assert issuers.state.life_cycle == LifeCycle.ACTIVE
    assert terminal.send("80440000") == "6985"


def test_a_blank_is_not_activated(issuers: SoftwareCard) -> None:
    assert Terminal.open(issuers.transmit, ISSUER).send("80440000") == "6985"


@pytest.mark.parametrize("command", ["80440000", "80F080FF", "802C0011"])
def test_the_issuers_commands_need_its_session_with_c_enc(
    issuers: SoftwareCard, command: str
) -> None:
    set_life_cycle(issuers, LifeCycle.PERSONALIZED)
    assert send(issuers, command) == "6982"
    for level in (0x01, 0x11):
        assert Terminal.open(issuers.transmit, ISSUER, level).send(command) == "6982"


def test_a_transport_session_is_not_the_issuers(card: SoftwareCard) -> None:
    set_life_cycle(card, LifeCycle.PERSONALIZED)
    terminal = Terminal.open(card.transmit, TRANSPORT)
    assert terminal.send("80440000") == "6982"
    assert put_key(terminal, ISSUER).endswith("9000")
    assert terminal.send("80440000") == "6982"


def test_set_status_locks_an_active_card_and_terminates_any(issuers: SoftwareCard) -> None:
    terminal = Terminal.open(issuers.transmit, ISSUER)
    assert terminal.send("80F0400F") == "6a86"
    assert terminal.send("80F0807F") == "6985"
    assert terminal.send("80F0800F") == "6985"
    set_life_cycle(issuers, LifeCycle.ACTIVE)
    assert terminal.send("80F0807F") == "9000"
    assert issuers.state.life_cycle == LifeCycle.BLOCKED
    set_life_cycle(issuers, LifeCycle.PERSONALIZED)
    assert Terminal.open(issuers.transmit, ISSUER).send("80F080FF") == "9000"
    assert issuers.state.life_cycle == LifeCycle.TERMINATED
    issuers.reset()
    assert send(issuers, "80CA004500").endswith("9000")
    assert send(issuers, "80500000080000000000000000") == "6a81"


def test_reset_of_a_card_keys_tries(issuers: SoftwareCard) -> None:
    spec = KEY_BY_NAME["UK1_DF03"]
    terminal = Terminal.open(issuers.transmit, ISSUER)
    assert terminal.send(f"802C00{spec.sam_key_id:02X}") == "6a88"
    key = StoredKey(1, Cipher.SM4, b"k" * 16, 0)
    issuers.state.set_card_key(spec, key)
    issuers.memory.commit()
    assert terminal.send("802C0000") == "6a88"
    assert terminal.send(f"802C01{spec.sam_key_id:02X}") == "6a86"
    assert terminal.send(f"802C00{spec.sam_key_id:02X}0100") == "6700"
    assert terminal.send(f"802C00{spec.sam_key_id:02X}") == "9000"
    stored = issuers.state.card_key(spec)
    assert stored is not None
    assert (stored.tries, stored.key) == (KEY_TRIES, key.key)


def test_every_command_has_a_handler() -> None:
    assert set(COMMANDS) == {0x2C, 0x44, 0x50, 0x82, 0xD8, 0xE2, 0xE4, 0xF0, 0xF2}
