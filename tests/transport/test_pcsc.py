"""Our transport at software cards in the readers of a real pcscd: choose, send, share."""

import threading
import time

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions
from cardlib.errors import TransportError
from cardlib.exchange import Connection, send
from cardlib.layout import State
from cardlib.transport import chip_serial
from cardlib.transport.pcsc import (
    AmbiguousReader,
    CardProtocol,
    CardWasReset,
    NoCard,
    NoReader,
    PcscConnection,
    ReaderInUse,
    find_reader,
    list_readers,
    open_reader,
    wait_for_card,
)
from cardlib.transport.recorder import Recorder
from tests.cards.cards import CHIP, key_store, personalized_card
from tests.cards.v2_cards import card_of, key_set
from tests.programs.pcscd import SLOTS
from tests.programs.two_slots import (
    FIRST,
    GET_CHALLENGE,
    OTHER_CHIP,
    SECOND,
    SELECT_DDF1,
    SELECT_EF05,
    H,
    Slots,
)

# --- readers ------------------------------------------------------------------------------


def test_readers_are_listed_with_the_cards_in_them(slots: Slots) -> None:
    readers = list_readers()
    assert [(r.number, r.name, r.atr) for r in readers if r.name in SLOTS] == [
        (0, FIRST, slots.cards[0].atr),
        (1, SECOND, slots.cards[1].atr),
    ]
    assert [chip_serial(reader.atr) for reader in readers] == [CHIP, OTHER_CHIP]


@pytest.mark.parametrize("choice", [1, "1", SECOND, "00 01", "pcd 00 01"])
def test_a_reader_is_chosen_by_number_name_or_part_of_a_name(
    slots: Slots, choice: str | int
) -> None:
    assert find_reader(choice).name == SECOND
    with open_reader(choice) as opened:
        assert opened.reader == SECOND
        assert opened.atr == slots.cards[1].atr


@pytest.mark.usefixtures("slots")
def test_a_choice_that_fits_two_readers_says_which() -> None:
    with pytest.raises(AmbiguousReader, match=r"^'virtual' fits several readers: 0 \(.*\), 1 "):
        open_reader("virtual")
    with pytest.raises(AmbiguousReader, match=r"several readers have a card: 0 \(.*\), 1 \("):
        open_reader()


@pytest.mark.parametrize("choice", [2, "ACS ACR122U"])
@pytest.mark.usefixtures("slots")
def test_a_choice_that_fits_no_reader_says_which_there_are(choice: str | int) -> None:
    with pytest.raises(NoReader, match=rf"^no reader {choice!r}. Connected: 0 \({FIRST}\), 1 \("):
        open_reader(choice)


@pytest.mark.usefixtures("slots")
def test_a_number_never_means_the_digits_in_another_readers_name() -> None:
    for choice in ("00", "01"):
        with pytest.raises(NoReader, match=f"^no reader {choice!r}"):
            find_reader(choice)
    with pytest.raises(AmbiguousReader) as raised:
        find_reader("Virtual PCD 0")
    assert raised.value.numbers == (0, 1)


def test_a_reader_says_whether_a_program_uses_its_card(slots: Slots) -> None:
    def in_use() -> list[bool]:
        return [find_reader(number).in_use for number in (0, 1)]

    assert in_use() == [False, False]
    for exclusive in (False, True):
        with open_reader(SECOND, exclusive=exclusive):
            assert in_use() == [False, True]
    slots.empty(0)
    assert in_use() == [False, False]


def test_the_only_card_needs_no_choice(slots: Slots) -> None:
    slots.empty(1)
    assert find_reader().name == FIRST
    slots.empty(0)
    with pytest.raises(NoCard, match=r"^no card in reader 0 \(.*\) or 1 \(.*\): put one in$"):
        open_reader()
    with pytest.raises(NoCard, match=f"^{FIRST}: no card: put it in$"):
        open_reader(0)


def test_a_card_is_waited_for(slots: Slots) -> None:
    slots.empty(0)
    with pytest.raises(NoCard, match=r"^no card was inserted within 0\.2 s$"):
        wait_for_card(0, 0.2)
    timer = threading.Timer(0.3, slots.readers[0].insert, [slots.cards[0]])
    timer.start()
    assert wait_for_card(0, 10).atr == slots.cards[0].atr
    timer.join()


# --- commands -----------------------------------------------------------------------------


def test_commands_and_answers_are_those_of_the_card(connection: PcscConnection) -> None:
    same: Connection = connection
    other = personalized_card()
    for command in (
        SELECT_DDF1,
        SELECT_DDF1 + b"\0",
        SELECT_EF05,
        H("00B2030400"),
        H("0012345600"),
    ):
        assert same.transmit(command) == other.transmit(command)
    assert repr(connection) == f"<card in {FIRST}, T1>"


@pytest.mark.parametrize("protocol", [CardProtocol.T0, CardProtocol.T1])
def test_both_protocols_carry_every_case(slots: Slots, protocol: CardProtocol) -> None:
    with open_reader(FIRST, protocol, exclusive=True) as opened:
        assert opened.protocol is protocol
        assert opened.transmit(SELECT_DDF1) == H("9000")
        assert opened.transmit(SELECT_DDF1 + b"\0")[:1] == H("6F")
        assert len(opened.transmit(GET_CHALLENGE)) == 10
        assert opened.transmit(SELECT_EF05) == H("9000")
        assert opened.transmit(H("00B2010403")) == H("0101319000")
        assert opened.reset() == slots.cards[0].atr
        assert opened.protocol is protocol


@pytest.mark.parametrize("protocol", [CardProtocol.T0, CardProtocol.T1])
@pytest.mark.usefixtures("slots")
def test_a_wrong_or_missing_length_is_followed(protocol: CardProtocol) -> None:
    with open_reader(FIRST, protocol) as opened:
        opened.transmit(SELECT_DDF1)
        opened.transmit(SELECT_EF05)
        whole = opened.transmit(H("00B2030400"))
        assert opened.transmit(H("00B2030405")) == H("6C20")
        assert opened.transmit(H("00B20304")) == H("6120")
        assert opened.transmit(H("00C0000020")) == whole
        for le in (5, None):
            command = CommandAPDU(0, 0xB2, 3, 4, le=le)
            assert bytes(send(opened.transmit, command)) == whole


@pytest.mark.usefixtures("slots")
def test_extended_length_goes_through() -> None:
    with open_reader(SECOND) as opened:
        assert opened.transmit(H("00A40400000005F0524843010000"))[:1] == H("6F")
        too_long = CommandAPDU(0x00, 0x88, 0, 0, bytes(4000), 65536)
        assert len(opened.transmit(bytes(too_long))) == 2


@pytest.mark.parametrize(("protocol", "reads"), [(CardProtocol.T0, 9), (CardProtocol.T1, 1)])
def test_long_files_are_read_in_short_commands_under_t0(
    slots: Slots, protocol: CardProtocol, reads: int
) -> None:
    slots.insert(0, card_of(Cipher.AES, CardOptions(extended_length=True)))
    with open_reader(FIRST, protocol) as opened:
        recorder = Recorder(opened)
        card = ResidentHealthCard(recorder, key_set(Cipher.AES))
        card.authenticate("RK1_DF03")
        (raw,) = card.read_raw("DDF1/DF03/EE01")
    assert raw is not None and len(raw) == 1893
    assert sum(exchange.command[1] == 0xB0 for exchange in recorder.commands) == reads


def test_the_card_is_read_by_the_card_object(connection: PcscConnection) -> None:
    card = ResidentHealthCard(connection, key_store().terminal_keys, min_protocol=1)
    assert card.identify().chip == CHIP
    card.authenticate("RK1_DDF1")
    values = {value.field.name: value for value in card.read("DDF1/EF06")}
    assert (values["name"].state, values["name"].text) == (State.VALUE, "王䶮𠅤㛃")


# --- reset, sharing, transactions ---------------------------------------------------------


@pytest.mark.parametrize("cold", [False, True])
def test_a_reset_clears_selection_and_rights(connection: PcscConnection, cold: bool) -> None:
    connection.transmit(SELECT_DDF1)
    assert connection.transmit(SELECT_EF05) == H("9000")
    assert connection.reset(cold=cold) == connection.atr
    assert connection.transmit(SELECT_EF05) == H("6A82")


def test_closing_resets_the_card_unless_told_otherwise(slots: Slots) -> None:
    with open_reader(FIRST) as opened:
        opened.transmit(SELECT_DDF1)
    opened = open_reader(FIRST)
    assert opened.transmit(SELECT_EF05) == H("6A82")
    opened.transmit(SELECT_DDF1)
    opened.close(reset=False)
    opened.close()
    with open_reader(FIRST) as opened:
        assert opened.transmit(SELECT_EF05) == H("9000")


def test_a_closed_connection_says_so(slots: Slots) -> None:
    with open_reader(FIRST) as opened:
        pass
    with pytest.raises(TransportError, match="the connection is closed"):
        opened.transmit(SELECT_DDF1)
    with pytest.raises(TransportError, match="the connection is closed"):
        opened.reset()


def test_exclusive_access_keeps_others_out(slots: Slots) -> None:
    with open_reader(FIRST, exclusive=True) as opened:
        with pytest.raises(ReaderInUse, match="another program uses the card"):
            open_reader(FIRST)
        opened.reset()
        with pytest.raises(ReaderInUse):
            open_reader(FIRST)
    with open_reader(FIRST), pytest.raises(ReaderInUse):
        open_reader(FIRST, exclusive=True)


@pytest.mark.usefixtures("slots")
def test_the_protocol_in_use_cannot_be_changed_by_another_program() -> None:
    with (
        open_reader(FIRST, CardProtocol.T1),
        pytest.raises(TransportError, match="another program uses the other"),
    ):
        open_reader(FIRST, CardProtocol.T0)


@pytest.mark.usefixtures("slots")
def test_a_reset_by_another_program_is_noticed_and_can_be_gone_on_from() -> None:
    with open_reader(FIRST) as ours, open_reader(FIRST) as theirs:
        ours.transmit(SELECT_DDF1)
        theirs.reset()
        for _ in range(2):
            with pytest.raises(CardWasReset, match="another program reset the card"):
                ours.transmit(SELECT_EF05)
        ours.reset()
        assert ours.transmit(SELECT_EF05) == H("6A82")


@pytest.mark.usefixtures("slots")
def test_a_transaction_keeps_other_programs_commands_away() -> None:
    order: list[str] = []
    with open_reader(FIRST) as ours, open_reader(FIRST) as theirs:

        def disturb() -> None:
            theirs.transmit(SELECT_DDF1)
            order.append("theirs")

        with ours.transaction(), ours.transaction():
            disturber = threading.Thread(target=disturb)
            disturber.start()
            time.sleep(0.3)
            assert ours.transmit(SELECT_EF05) == H("6A82")
            order.append("ours")
        disturber.join(10)
        assert order == ["ours", "theirs"]
        assert ours.transmit(SELECT_EF05) == H("9000")
