"""What the agent makes for a station, when, and for which chip."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from cardlib.apdu import ResponseAPDU
from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.errors import CardKeyError, ChannelError, StatusWordError
from cardlib.exchange import send
from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage, stage
from cardlib.issuance.agent_issuer import AgentIssuer
from cardlib.issuance.making import HostSession, make_card
from cardlib.keys.issuer import Scp03Set
from cardlib.messaging.scp03_failure import Cause, Scp03Failure
from personalize.custody.roles import Role
from tests.cards.cards import CHIP, ISSUER
from tests.custody.desks import Bench, bench, own_keys
from tests.custody.station import (
    CARDHOLDER,
    CHIP_SERIAL,
    JOB,
    OTHER_CHIP,
    RECORDS,
    activate,
    blank,
    opened,
    records,
)
from tests.programs.rhcard import PASSPHRASE


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "state", stock=frozenset((CHIP, OTHER_CHIP)), give_ups=1) as made:
        yield made


@pytest.fixture
def issuer(agent: Bench) -> AgentIssuer:
    return agent.issuer()


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("protocol", [1, 2])
def test_a_card_is_made_activated_and_read_through_the_agent(
    tmp_path: Path, protocol: int, cipher: Cipher
) -> None:
    keys = own_keys(protocol, cipher)
    with bench(tmp_path / "state", keys) as made:
        issuer, card = made.issuer(), blank(keys=keys)
        make_card(card, issuer, JOB, records(protocol, cipher), *CARDHOLDER)
        card.reset()
        assert stage(card) is CardStage.PERSONALIZED
        activate(card, issuer)
        card.reset()
        reader = ResidentHealthCard(card, made.issuer(Role.TERMINAL).terminal_keys, min_protocol=1)
        reader.internal_authenticate()
        values = reader.read("DDF1/EF05")
        expected = ISSUER | {"spec_version": f"{protocol}.0"}
        assert {v.field.name: v.text for v in values if v.value is not None} == expected
        reader.authenticate("RK1_DDF1")
        station = ResidentHealthCard(card, issuer.terminal_keys, min_protocol=1)
        station.authenticate("UK1_DDF1")
        card.reset()
        HostSession.open(card, issuer.session(Scp03Set.ISSUER, CHIP_SERIAL)).reset_tries("RK1_DDF1")


@pytest.mark.parametrize("key_set", Scp03Set)
def test_a_chip_that_was_not_received_gets_no_session(
    issuer: AgentIssuer, key_set: Scp03Set
) -> None:
    host = issuer.session(key_set, ChipSerial(b"stranger"))
    with pytest.raises(CardKeyError, match="not in received stock"):
        host.initialize_update()


@pytest.mark.parametrize("key_set", Scp03Set)
def test_nothing_is_made_before_the_card_has_proved_its_keys(
    issuer: AgentIssuer, key_set: Scp03Set
) -> None:
    host = issuer.session(key_set, CHIP_SERIAL)
    with pytest.raises(ChannelError, match="not begun"):
        host.activate()
    makers: list[Callable[[], object]] = [
        lambda: host.replace_keys(JOB),
        lambda: host.load(JOB, RECORDS, *CARDHOLDER),
        host.activate,
        lambda: host.reset_tries("RK1_DDF1"),
    ]
    for make in makers:
        host.initialize_update()
        with pytest.raises(CardKeyError, match="needs an open session"):
            make()


def test_a_session_opens_in_its_order_only(issuer: AgentIssuer) -> None:
    host = issuer.session(Scp03Set.TRANSPORT, CHIP_SERIAL)
    host.initialize_update()
    with pytest.raises(ChannelError, match="wrong order"):
        host.opened(ResponseAPDU(b"", 0x9000))
    with pytest.raises(CardKeyError, match="nothing that is open"):
        host.replace_keys(JOB)


def test_a_card_without_the_keys_is_told_with_its_cause(issuer: AgentIssuer) -> None:
    card = SoftwareCard.blank(CHIP, (bytes(16), bytes(16), bytes(16)))
    with pytest.raises(Scp03Failure) as caught:
        opened(card, issuer, Scp03Set.TRANSPORT, CHIP)
    assert caught.value.cause is Cause.KEY
    assert CHIP.hex().upper() in caught.value.detail


def test_put_key_needs_a_session_of_the_transport_keys_and_a_load_one_of_the_issuers(
    issuer: AgentIssuer,
) -> None:
    host = opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP)
    with pytest.raises(CardKeyError, match="issuer keys"):
        host.load(JOB, RECORDS, *CARDHOLDER)
    card = blank()
    host = opened(card, issuer, Scp03Set.TRANSPORT, CHIP)
    host.done([send(card.transmit, each) for each in host.replace_keys(JOB)])
    host = opened(card, issuer, Scp03Set.ISSUER, CHIP)
    with pytest.raises(CardKeyError, match="transport keys"):
        host.replace_keys(JOB)


def test_a_session_is_for_its_chip(issuer: AgentIssuer) -> None:
    host = opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP)
    with pytest.raises(CardKeyError, match="this session is with chip"):
        host.replace_keys(replace(JOB, chip=OTHER_CHIP))


def test_the_same_job_may_be_done_again_after_a_cut(issuer: AgentIssuer) -> None:
    card = blank()
    opened(card, issuer, Scp03Set.TRANSPORT, CHIP).replace_keys(JOB)
    card.reset()
    make_card(card, issuer, JOB, RECORDS, *CARDHOLDER)
    card.reset()
    assert stage(card) is CardStage.PERSONALIZED


def test_a_chip_is_never_for_a_second_record(issuer: AgentIssuer) -> None:
    opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP).replace_keys(JOB)
    for other in (replace(JOB, number=2), replace(JOB, batch=UUID(int=2))):
        host = opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP)
        with pytest.raises(CardKeyError, match="is for another record"):
            host.replace_keys(other)
    issuer.give_up(JOB)
    for job in (JOB, replace(JOB, number=2)):
        host = opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP)
        with pytest.raises(CardKeyError, match="another blank card"):
            host.replace_keys(job)


def test_a_record_gets_a_second_chip_only_when_the_first_was_given_up(
    agent: Bench, issuer: AgentIssuer
) -> None:
    opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP).replace_keys(JOB)
    other = replace(JOB, chip=OTHER_CHIP)
    host = opened(blank(OTHER_CHIP), issuer, Scp03Set.TRANSPORT, OTHER_CHIP)
    with pytest.raises(CardKeyError, match=r"is for chip .* Give that chip up first"):
        host.replace_keys(other)
    issuer.give_up(other)  # it was never claimed: there is nothing to give up
    issuer.give_up(JOB)
    issuer.give_up(JOB)
    make_card(blank(OTHER_CHIP), issuer, other, RECORDS, *CARDHOLDER)
    with pytest.raises(CardKeyError, match="give_ups"):
        issuer.give_up(other)
    logged = agent.service.log.path.read_text("ascii")
    assert logged.count('"verb":"give-up"') == 4


def test_a_card_that_was_activated_is_never_given_up_or_loaded_again(issuer: AgentIssuer) -> None:
    card = blank()
    make_card(card, issuer, JOB, RECORDS, *CARDHOLDER)
    card.reset()
    activate(card, issuer)
    with pytest.raises(CardKeyError, match="was activated"):
        issuer.give_up(JOB)
    card.reset()
    host = opened(card, issuer, Scp03Set.ISSUER, CHIP)
    with pytest.raises(CardKeyError, match="was activated"):
        host.load(JOB, RECORDS, *CARDHOLDER)


def test_a_card_that_may_be_active_is_a_custodians_to_give_up(
    agent: Bench, issuer: AgentIssuer
) -> None:
    card = blank()
    make_card(card, issuer, JOB, RECORDS, *CARDHOLDER)
    card.reset()
    opened(card, issuer, Scp03Set.ISSUER, CHIP).activate()
    with pytest.raises(CardKeyError, match="a custodian must"):
        issuer.give_up(JOB)
    agent.issuer(Role.CUSTODIAN).give_up(JOB)


def test_replies_that_are_replayed_or_out_of_order_end_the_session(issuer: AgentIssuer) -> None:
    card = blank()
    make_card(card, issuer, JOB, RECORDS, *CARDHOLDER)
    card.reset()
    host = opened(card, issuer, Scp03Set.ISSUER, CHIP)
    reply = send(card.transmit, host.reset_tries("RK1_DDF1")[0])
    with pytest.raises(ChannelError, match="replies came to"):
        host.done([reply, reply])
    with pytest.raises(CardKeyError, match="nothing that is open"):
        host.done([reply])
    card.reset()
    host = opened(card, issuer, Scp03Set.ISSUER, CHIP)
    host.activate()
    with pytest.raises(ChannelError, match="not what the card sent"):
        host.done([reply])


def test_a_refusal_of_the_card_comes_back_as_such(issuer: AgentIssuer) -> None:
    card = blank()
    make_card(card, issuer, JOB, RECORDS, *CARDHOLDER)
    card.reset()
    activate(card, issuer)
    card.reset()
    with pytest.raises(StatusWordError, match="ACTIVATE: 6985"):
        activate(card, issuer)


def test_a_handle_is_for_the_connection_that_opened_it(agent: Bench) -> None:
    one, other = agent.connection(), agent.connection()
    identity = bytes.fromhex(own_keys().identity)
    for _ in range(2):
        begun = one.call("session", identity=identity, key_set="transport", chip=CHIP)
    with pytest.raises(CardKeyError, match="nothing that is open"):
        other.call("session-answer", session=begun["session"], reply=bytes(31))


def test_locking_ends_what_is_open(agent: Bench, issuer: AgentIssuer) -> None:
    host = opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP)
    custodian = agent.connection(Role.CUSTODIAN)
    custodian.call("lock")
    with pytest.raises(CardKeyError, match="is locked"):
        host.replace_keys(JOB)
    custodian.call("unlock", passphrase=PASSPHRASE)
    with pytest.raises(CardKeyError, match="nothing that is open"):
        host.replace_keys(JOB)
