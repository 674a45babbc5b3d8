"""The issuer's side of a session: what it makes, for whom, and what it finds in the replies."""

from collections.abc import Callable, Sequence
from uuid import UUID

import pytest

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.card import ResidentHealthCard
from cardlib.emulator import SoftwareCard
from cardlib.errors import CardKeyError, ChannelError, StatusWordError
from cardlib.exchange import send
from cardlib.facts import HEALTH_APPLICATION, SECURITY_DOMAIN, ChipSerial, Pin, Region
from cardlib.issuance import CardStage, select_application, stage
from cardlib.issuance.local import LocalHost, LocalIssuer
from cardlib.issuance.making import HostSession, make_card
from cardlib.keys.issuer import CardJob, Scp03Set
from cardlib.layout.load import Grouping
from tests.cards.cards import CHIP, ISSUER, PIN, REGION, blank_card, groupings, key_store

CHIP_SERIAL, STORE = ChipSerial(CHIP), key_store()
ISSUER_OF_CARDS, BATCH = LocalIssuer(STORE), UUID(int=1)
JOB = CardJob(BATCH, 1, CHIP_SERIAL)
RECORDS: list[Grouping] = [each for each in groupings() if each[0] >> 8 <= 25]
CARDHOLDER = Region(REGION), Pin(PIN)


def opened(card: SoftwareCard, key_set: Scp03Set) -> LocalHost:
    host = LocalHost(STORE, key_set, CHIP_SERIAL)
    aid = SECURITY_DOMAIN if key_set is Scp03Set.TRANSPORT else HEALTH_APPLICATION
    select_application(card, aid)
    challenge = send(card.transmit, host.initialize_update())
    host.opened(send(card.transmit, host.external_authenticate(challenge)))
    return host


def with_issuer_keys() -> SoftwareCard:
    card = blank_card()
    host = opened(card, Scp03Set.TRANSPORT)
    host.done(replies(card, host.replace_keys(JOB)))
    return card


def replies(card: SoftwareCard, commands: Sequence[CommandAPDU]) -> list[ResponseAPDU]:
    return [send(card.transmit, command) for command in commands]


def test_a_card_is_made_and_activated_without_a_key_in_the_callers_hands() -> None:
    card = blank_card()
    make_card(card, ISSUER_OF_CARDS, JOB, RECORDS, *CARDHOLDER)
    card.reset()
    assert stage(card) is CardStage.PERSONALIZED
    HostSession.open(card, ISSUER_OF_CARDS.session(Scp03Set.ISSUER, CHIP_SERIAL)).activate()
    card.reset()
    values = ResidentHealthCard(card, min_protocol=1).read("DDF1/EF05")
    assert {v.field.name: v.text for v in values if v.value is not None} == ISSUER


def test_all_commands_of_a_load_are_made_before_a_reply_is_seen() -> None:
    card = with_issuer_keys()
    host = opened(card, Scp03Set.ISSUER)
    commands = host.load(JOB, RECORDS, *CARDHOLDER)
    assert len(commands) > 5
    host.done(replies(card, commands))


def test_a_reply_that_was_changed_in_the_middle_of_a_load_is_found() -> None:
    card = with_issuer_keys()
    host = opened(card, Scp03Set.ISSUER)
    found = replies(card, host.load(JOB, RECORDS, *CARDHOLDER))
    found[3] = ResponseAPDU(found[2].data, 0x9000)
    with pytest.raises(ChannelError, match="not what the card sent"):
        host.done(found)


@pytest.mark.parametrize("kept", [slice(0, -1), slice(0, 0), slice(0, 2)])
def test_fewer_replies_than_commands_are_no_load(kept: slice) -> None:
    card = with_issuer_keys()
    host = opened(card, Scp03Set.ISSUER)
    found = replies(card, host.load(JOB, RECORDS, *CARDHOLDER))
    with pytest.raises(ChannelError, match="replies came to"):
        host.done(found[kept])
    with pytest.raises(ChannelError):
        host.activate()


def test_more_replies_than_commands_are_refused() -> None:
    card = with_issuer_keys()
    host = opened(card, Scp03Set.ISSUER)
    found = replies(card, host.load(JOB, RECORDS, *CARDHOLDER))
    with pytest.raises(ChannelError, match="replies came to"):
        host.done([*found, found[-1]])


def test_a_refused_block_is_named_and_ends_the_session() -> None:
    card = with_issuer_keys()
    host = opened(card, Scp03Set.ISSUER)
    first, *_ = host.load(JOB, RECORDS, *CARDHOLDER)
    send(card.transmit, first)
    with pytest.raises(StatusWordError, match=r"STORE DATA block 1 of \d+: 6982"):
        host.done([ResponseAPDU(b"", 0x6982)])
    with pytest.raises(ChannelError):
        host.activate()
    assert stage(card) is CardStage.ISSUER


def test_nothing_is_made_while_replies_are_awaited() -> None:
    host = opened(with_issuer_keys(), Scp03Set.ISSUER)
    host.activate()
    with pytest.raises(ChannelError, match="replies to ACTIVATE were not checked"):
        host.activate()


OTHER_JOB = CardJob(BATCH, 1, ChipSerial(b"ANOTHER!"))
WRONG: dict[str, tuple[Scp03Set, Callable[[LocalHost], object]]] = {
    "a load in a session of transport keys": (
        Scp03Set.TRANSPORT,
        lambda host: host.load(JOB, RECORDS, *CARDHOLDER),
    ),
    "PUT KEY in a session of issuer keys": (Scp03Set.ISSUER, lambda host: host.replace_keys(JOB)),
    "activation by transport keys": (Scp03Set.TRANSPORT, lambda host: host.activate()),
    "another chip's load": (Scp03Set.ISSUER, lambda host: host.load(OTHER_JOB, [], *CARDHOLDER)),
    "another chip's PUT KEY": (Scp03Set.TRANSPORT, lambda host: host.replace_keys(OTHER_JOB)),
    "a PIN as a record": (
        Scp03Set.ISSUER,
        lambda host: host.load(JOB, [(0x8010, bytes(16))], *CARDHOLDER),
    ),
    "a key as a record": (
        Scp03Set.ISSUER,
        lambda host: host.load(JOB, [(0x8111, bytes(21))], *CARDHOLDER),
    ),
    "a record of no file": (
        Scp03Set.ISSUER,
        lambda host: host.load(JOB, [(0x0001, b"x")], *CARDHOLDER),
    ),
}


@pytest.mark.parametrize("key_set_and_call", WRONG.values(), ids=WRONG.keys())
def test_what_is_not_for_this_chip_or_session_is_refused(
    key_set_and_call: tuple[Scp03Set, Callable[[LocalHost], object]],
) -> None:
    key_set, call = key_set_and_call
    card = blank_card() if key_set is Scp03Set.TRANSPORT else with_issuer_keys()
    host = opened(card, key_set)
    with pytest.raises(CardKeyError):
        call(host)


def test_a_session_is_opened_before_anything_is_made() -> None:
    host = LocalHost(STORE, Scp03Set.ISSUER, CHIP_SERIAL)
    with pytest.raises(ChannelError):
        host.load(JOB, RECORDS, *CARDHOLDER)
