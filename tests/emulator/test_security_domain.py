"""The issuer security domain through `transmit`: opening and ending sessions."""

from collections.abc import Iterator

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.profile.card_state import KEY_TRIES
from tests.emulator.domain_keys import ISSUER, TRANSPORT, key_field, put_key, send, versions
from tests.oracles.scp03 import Keys, Terminal, derive

H = bytes.fromhex
CHIP = H("0102030405060708")
SECURITY_DOMAIN, HEALTH_APPLICATION = H("A000000151000000"), H("F052484301")


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
