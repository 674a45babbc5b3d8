"""Software cards in the virtual readers of a real pcscd, used by our transport and by outsiders."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import smartcard.System
from ykman.pcsc import ScardSmartCardConnection
from yubikit.core.smartcard import AID, SmartCardConnection, SmartCardProtocol
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, ScpKid, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, FaultyCard, SoftwareCard, parse_faults
from cardlib.emulator.bench.faulty_card import FaultyCard as Faulty
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.errors import TransportError
from cardlib.exchange import Connection, send
from cardlib.layout import State
from cardlib.messaging.scp03_channel import Scp03Channel
from cardlib.transport import chip_serial
from cardlib.transport.pcsc import (
    AmbiguousReader,
    CardProtocol,
    CardPulledOut,
    CardWasReset,
    NoCard,
    NoReader,
    PcscConnection,
    PcscNotRunning,
    PcscRestarted,
    ReaderInUse,
    find_reader,
    list_readers,
    open_reader,
    wait_for_card,
)
from cardlib.transport.recorder import Recorder
from tests import ROOT
from tests.cards.cards import CHIP, PIN, blank_card, key_store, personalized_card
from tests.cards.v2_cards import card_of, key_set
from tests.programs.pcscd import SLOTS, Pcscd, wait_until

H = bytes.fromhex
FIRST, SECOND = SLOTS
SELECT_DDF1 = H("00A4040005F052484301")
SELECT_EF05 = H("00A4000002EF05")
GET_CHALLENGE = H("0084000008")
VERIFY = H("0020000006") + PIN.encode("ascii")
"""Writes to the card's memory, and leaves it as it was."""
OTHER_CHIP = H("5248430000000002")
"""Of the blank card in the second slot."""


class Slots:
    """The two slots, with a personalized card in the first and a blank one in the second."""

    def __init__(self) -> None:
        self.readers = [VirtualReader(FIRST_PORT), VirtualReader(FIRST_PORT + 1)]
        extended = CardOptions(extended_length=True)
        blank = SoftwareCard.blank(OTHER_CHIP, blank_keys(OTHER_CHIP), options=extended)
        self.cards = [personalized_card(), blank]

    def reset(self) -> None:
        """Both cards in, whatever a test did."""
        for number, (reader, card) in enumerate(zip(self.readers, self.cards, strict=True)):
            if find_reader(number).atr != card.atr or reader.failure:
                reader.insert(card)
        for number, card in enumerate(self.cards):
            self.wait_for(number, card.atr)

    def empty(self, number: int) -> None:
        self.readers[number].remove()
        self.wait_for(number, b"")

    def insert(self, number: int, card: SoftwareCard | Faulty) -> None:
        self.empty(number)
        self.readers[number].insert(card)
        self.wait_for(number, card.atr)

    @staticmethod
    def wait_for(number: int, atr: bytes) -> None:
        wait_until(lambda: find_reader(number).atr == atr, 10, lambda: f"not {atr.hex()!r}")


def blank_keys(chip: bytes) -> tuple[bytes, bytes, bytes]:
    return key_store().blank_keys(chip)


@pytest.fixture(scope="module")
def filled(pcscd: Pcscd) -> Iterator[Slots]:
    slots = Slots()
    yield slots
    for reader in slots.readers:
        reader.remove()


@pytest.fixture
def slots(filled: Slots) -> Slots:
    filled.reset()
    return filled


@pytest.fixture
def connection(slots: Slots) -> Iterator[PcscConnection]:
    with open_reader(FIRST) as opened:
        yield opened


def run(*words: str, script: str = "") -> str:
    """What an outside program prints; it must end well and within seconds."""
    done = subprocess.run(
        words, input=script, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


# --- what goes away -----------------------------------------------------------------------


def test_a_card_pulled_out_is_noticed_and_no_command_reaches_the_next_one(slots: Slots) -> None:
    opened = open_reader(FIRST)
    slots.readers[0].remove()
    with pytest.raises(CardPulledOut, match=f"^{FIRST}: the card was pulled out$"):
        opened.transmit(SELECT_DDF1)
    slots.insert(0, slots.cards[0])
    with pytest.raises(CardPulledOut):
        opened.transmit(SELECT_DDF1)
    with pytest.raises(CardPulledOut):
        opened.reset()
    opened.close()


def test_a_card_exchanged_behind_our_back_is_noticed(slots: Slots) -> None:
    first, second, third = (open_reader(FIRST) for _ in range(3))
    slots.insert(0, SoftwareCard.blank(OTHER_CHIP, blank_keys(OTHER_CHIP)))
    with pytest.raises(CardPulledOut):
        first.transmit(SELECT_DDF1)
    with pytest.raises(CardPulledOut):
        second.reset()
    with pytest.raises(CardPulledOut), third.transaction():
        pass


def test_a_card_pulled_out_and_put_back_at_once_is_noticed_too(slots: Slots) -> None:
    with open_reader(FIRST) as opened:
        slots.readers[0].insert(slots.cards[0])
        with pytest.raises(CardPulledOut):
            opened.transmit(SELECT_DDF1)


@pytest.mark.parametrize("fault", ["lost:apdu=2", "truncate:apdu=2:bytes=0", "cut:write=1"])
def test_after_a_fault_the_reader_has_no_card_for_a_moment(slots: Slots, fault: str) -> None:
    card = FaultyCard(slots.cards[0], parse_faults([fault]))
    slots.insert(0, card)
    with open_reader(FIRST) as opened:
        opened.transmit(SELECT_DDF1)
        with pytest.raises(CardPulledOut):
            opened.transmit(VERIFY)
    assert card.happened
    assert wait_for_card(FIRST, 10).atr == card.atr
    with open_reader(FIRST) as opened:
        assert opened.transmit(SELECT_DDF1) == H("9000")
    slots.insert(0, slots.cards[0])


def test_a_card_removed_by_a_fault_comes_back_when_it_is_put_back(slots: Slots) -> None:
    card = FaultyCard(slots.cards[0], parse_faults(["remove:apdu=2"]))
    slots.insert(0, card)
    with open_reader(FIRST) as opened:
        opened.transmit(SELECT_DDF1)
        with pytest.raises(CardPulledOut):
            opened.transmit(SELECT_EF05)
    with pytest.raises(NoCard):
        wait_for_card(FIRST, 1)
    card.insert()
    assert wait_for_card(FIRST, 10).atr == card.atr
    slots.insert(0, slots.cards[0])


def test_the_cards_come_back_when_pcscd_is_restarted(slots: Slots, pcscd: Pcscd) -> None:
    opened = open_reader(FIRST)
    pcscd.stop()
    words = r"^pcscd not running: systemctl start pcscd$"
    for call in (list_readers, open_reader, lambda: opened.transmit(SELECT_DDF1), opened.reset):
        with pytest.raises(PcscNotRunning, match=words):
            call()
    time.sleep(0.5)
    pcscd.start()
    with pytest.raises(PcscRestarted, match=f"^{FIRST}: pcscd was restarted$"):
        opened.transmit(SELECT_DDF1)
    opened.close()
    for number, card in enumerate(slots.cards):
        assert wait_for_card(number, 10).atr == card.atr
        with open_reader(number) as opened:
            assert opened.transmit(SELECT_DDF1) == H("9000")


# --- outsiders ----------------------------------------------------------------------------


def test_opensc_tool_lists_the_readers_and_shows_the_atr(slots: Slots) -> None:
    listed = run("opensc-tool", "--list-readers")
    assert re.findall(r"^(\d) +Yes +(Virtual PCD .*)$", listed, re.M) == [
        ("0", FIRST),
        ("1", SECOND),
    ]
    for number, card in enumerate(slots.cards):
        assert run("opensc-tool", "--reader", str(number), "--atr").strip() == card.atr.hex(":")


@pytest.mark.usefixtures("slots")
def test_opensc_tool_sends_commands() -> None:
    commands = [word for each in (SELECT_DDF1, SELECT_EF05) for word in ("--send-apdu", each.hex())]
    printed = run("opensc-tool", "--reader", "0", *commands, "--send-apdu", "00B2010400")
    assert re.findall(r"SW1=0x(..), SW2=0x(..)", printed) == [("90", "00")] * 3
    assert "01 01 31" in printed
    printed = run("opensc-tool", "--reader", "1", "--send-apdu", "80CA00E000")
    assert "E0 12 C0 04 01 FF 88 10" in printed


@pytest.mark.usefixtures("slots")
def test_opensc_explorer_walks_to_ddf1_and_reads_ef05() -> None:
    script = "cd DDF1\ninfo EF05\ncat EF05\napdu 00 84 00 00 08\ncd DF02\ncat EF05\nquit\n"
    printed = run("opensc-explorer", "--reader", "0", script=script)
    assert re.search(r"EF structure: +Linear variable, SIMPLE-TLV", printed)
    assert re.search(r"Number of records: +10", printed)
    records = re.findall(r"^Record (\d+):\n((?:[0-9A-F]{8}: .*\n)+)", printed, re.M)
    assert [int(number) for number, _ in records[:10]] == list(range(1, 11))
    assert records[0][1] == "00000000: 01 01 31 ..1\n"
    assert "08 12 31 31 30 31 30 31" in records[6][1]
    assert "39 03 41 01 00" in records[9][1]


@pytest.mark.usefixtures("slots")
def test_opensc_explorer_is_refused_what_needs_a_key() -> None:
    printed = subprocess.run(
        ["opensc-explorer", "--reader", "0"],
        input="cd DDF1\ncat EF06\nquit\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Security status not satisfied" in printed.stdout + printed.stderr


@pytest.mark.usefixtures("slots")
def test_scriptor_runs_commands() -> None:
    script = (
        f"{SELECT_DDF1.hex(' ')}\n{SELECT_EF05.hex(' ')}\n00 B2 01 04 00\nreset\n00 84 00 00 08\n"
    )
    printed = run("scriptor", "-r", FIRST, script=script)
    assert re.search(r"> 00 B2 01 04 00\n< 01 01 31 90 00 : Normal processing", printed)
    assert printed.count("Normal processing") == 4


# --- SCP03 through pcscd ------------------------------------------------------------------


@contextmanager
def yubikit_on(number: int) -> Iterator[SmartCardConnection]:
    """Yubico's own way to a PC/SC reader."""
    connection: SmartCardConnection = ScardSmartCardConnection(  # type: ignore[no-untyped-call]
        smartcard.System.readers()[number].createConnection()
    )
    with connection:
        yield connection


def test_yubikit_opens_a_channel_and_changes_the_keys(slots: Slots) -> None:
    card = blank_card()
    slots.insert(1, card)
    transport, issuer = blank_keys(CHIP), (b"e" * 16, b"m" * 16, b"d" * 16)
    with yubikit_on(1) as opened:
        session = SecurityDomainSession(opened)
        session.authenticate(Scp03KeyParams(KeyRef(ScpKid.SCP03, 0xFF), StaticKeys(*transport)))
        session.put_key(KeyRef(ScpKid.SCP03, 1), StaticKeys(*issuer), replace_kvn=0xFF)
        protocol = SmartCardProtocol(opened)
        protocol.select(AID.SECURE_DOMAIN)
        protocol.init_scp(Scp03KeyParams(KeyRef(ScpKid.SCP03, 1), StaticKeys(*issuer)))
        assert protocol.send_apdu(0x80, 0xCA, 0x9F, 0x7F)[15:23] == CHIP
    assert list(card.state.key_sets) == [1]


@pytest.mark.usefixtures("slots")
def test_our_host_opens_a_channel() -> None:
    with open_reader(SECOND) as opened, opened.transaction():
        opened.transmit(H("00A4040000"))
        channel = Scp03Channel.open(opened.transmit, key_store().transport_keys(OTHER_CHIP), 0x33)
        status = channel.send(CommandAPDU(0x80, 0xF2, 0x80, 0x02, H("4F00"), 256))
        assert (status.sw, status.data[:2]) == (0x9000, H("E313"))


def test_a_globalplatform_client_of_others_lists_the_card_and_puts_keys(slots: Slots) -> None:
    """Py-GP: every level of SCP03 that protects commands, and both answers' MACs checked."""
    card = blank_card()
    slots.insert(1, card)
    issuer = (b"e" * 16, b"m" * 16, b"d" * 16)
    keys = [key.hex().upper() for key in (*blank_keys(CHIP), *issuer)]
    printed = run(sys.executable, "-W", "ignore", "-m", "tests.programs.pygp_client", SECOND, *keys)
    found = json.loads(printed.splitlines()[-1])
    assert found["atr"] == card.atr.hex().upper()
    assert list(found["read"]) == ["01", "03", "11", "13", "33"]
    for answers in found["read"].values():
        assert answers["get_cplc"][30:46] == CHIP.hex().upper()
        assert answers["get_key_information"].startswith("E012C00401FF8810C00402FF8810C00403FF8810")
        assert answers["get_status_isd"].startswith("E3134F08A0000001510000009F700101C503980400")
        assert answers["get_status_applications"].startswith("E3104F05F0524843019F700107")
    assert "cryptogram" in found["wrong_keys"].lower()
    assert found["put"].startswith("01")
    stored = card.state.key_sets[0x01]
    assert (stored.enc, stored.mac, stored.dek) == issuer
