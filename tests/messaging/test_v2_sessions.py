"""Version 2, host and card together: sessions, roles, files, the PIN, and no way back to less."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cardlib.apdu import CommandAPDU
from cardlib.card import CardIdentity, ResidentHealthCard
from cardlib.card.holder import change_pin
from cardlib.card.visits import VISITS
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import ISSUER
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.errors import (
    CardError,
    CardKeyError,
    ChannelError,
    FormatError,
    StatusWordError,
    TransportError,
)
from cardlib.keys import CardKeys
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import FILE_BY_PATH, FILES, KEY_BY_NAME, KEYS, FieldValue, State
from cardlib.messaging.v2 import V2Channel
from cardlib.transport import capabilities, chip_serial
from cardlib.transport.recorder import Recorder
from personalize.terminal.reading import read_card
from tests.card.test_visits import as_values, visit
from tests.cards.v2_cards import CHIP, PIN, REGION, ROLES, Terminal, c1_of, card_of, key_set

H = bytes.fromhex
CLINICAL, ALLERGIES, INDEX, SLOT = (
    "DDF1/DF02/EF05", "DDF1/DF02/EF07", "DDF1/DF03/EF06", "DDF1/DF03/ED01",
)  # fmt: skip
ISSUER_FILE = "DDF1/EF05"
SHORT = CardOptions()
LONG = CardOptions(extended_length=True)
HOSPITAL = ("RK1_DF03", "UK1_DF03")


def terminal(card: SoftwareCard, *names: str, cipher: Cipher = Cipher.SM4) -> ResidentHealthCard:
    """A terminal at a card just put in, with the named keys authenticated and no others."""
    card.reset()
    reader = ResidentHealthCard(card, key_set(cipher, *names))
    for name in names:
        reader.authenticate(name)
    return reader


class Line:
    """A connection that may change what passes; it sees commands and replies."""

    def __init__(self, card: SoftwareCard) -> None:
        self.card = card
        self.command: Callable[[bytes], bytes] = lambda raw: raw
        self.reply: Callable[[bytes, bytes], bytes] = lambda raw, reply: reply
        self.sent: list[bytes] = []

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def reset(self) -> bytes:
        return self.card.reset()

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command)
        return self.reply(command, self.card.transmit(self.command(command)))


def states(values: tuple[FieldValue, ...]) -> set[State]:
    return {value.state for value in values}


# --- whole files ----------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", Cipher)
def test_a_card_says_that_it_speaks_version_2(cipher: Cipher) -> None:
    identity = ResidentHealthCard(card_of(cipher)).identify()
    assert identity == CardIdentity(CHIP, 0x20, cipher, 1, REGION)
    assert identity.protocol == 2 and "spec 2.0" in str(identity)


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("options", [SHORT, LONG, CardOptions(command_chaining=False)])
def test_every_file_reads_under_its_key(cipher: Cipher, options: CardOptions) -> None:
    card = card_of(cipher, options)
    for file in FILES:
        if file.read_key:
            read = states(terminal(card, file.read_key, cipher=cipher).read(file.path))
            assert not read & {State.DENIED, State.CORRUPT}, file.path
            assert states(ResidentHealthCard(fresh(card)).read(file.path)) == {State.DENIED}


def fresh(card: SoftwareCard) -> SoftwareCard:
    card.reset()
    return card


@pytest.mark.parametrize("cipher", Cipher)
def test_several_roles_hold_together_in_one_session(cipher: Cipher) -> None:
    reader = terminal(card_of(cipher), "RK1_DDF1", "RK1_DF02", "UK1_DF02", "UK3_DF02",
                      cipher=cipher)  # fmt: skip
    assert reader.rights == {"RK1_DDF1", "RK1_DF02", "UK1_DF02", "UK3_DF02"}
    reader.update(CLINICAL, 1, {"abo_blood_group": "2"})
    reader.append(ALLERGIES, {"allergen": "青霉素", "allergic_reaction": "皮疹"})
    assert next(v.text for v in reader.read(CLINICAL)) == "2"
    assert [v.text for v in reader.read(ALLERGIES)][:2] == ["青霉素", "皮疹"]
    photo = b"\xff\xd8" + bytes(range(256)) * 5 + b"\xff\xd9"
    assert reader.read("DDF1/EF06")[0].text == "王䶮"
    assert reader.rights == {"RK1_DDF1"}, "reading a file of DDF1 selects it"
    writer = terminal(card_of(cipher), "RK1_DDF1", "UK1_DDF1", cipher=cipher)
    writer.update("DDF1/EF07", 0, {"photo": photo})
    assert writer.read("DDF1/EF07")[0].value == photo


@pytest.mark.parametrize("name", [name for name in ROLES if not name.startswith("PUK")])
def test_a_terminal_needs_no_other_key_than_its_own(name: str) -> None:
    reader = terminal(card_of(), name)
    assert reader.rights == {name}


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("options", [SHORT, LONG])
@pytest.mark.parametrize("kind", VISITS)
def test_a_visit_record_goes_from_hospital_to_hospital(
    cipher: Cipher, options: CardOptions, kind: str
) -> None:
    card = card_of(cipher, options)
    assert kind in ("inpatient", "outpatient")
    written = visit(kind)  # type: ignore[arg-type]
    assert terminal(card, *HOSPITAL, cipher=cipher).write_visit(kind, written) == 1  # type: ignore[arg-type]
    ((slot, read),) = terminal(card, "RK1_DF03", cipher=cipher).read_visits(kind)  # type: ignore[arg-type]
    assert slot == 1 and as_values(read) == written


def test_a_full_index_gives_up_its_oldest_record() -> None:
    card = card_of()
    writer = terminal(card, *HOSPITAL, "UK2_DF03")
    for month in (5, 3, 8, 9, 4):
        writer.write_visit("outpatient", visit("outpatient", month))
    assert writer.write_visit("outpatient", visit("outpatient", 10)) == 2
    assert [slot for slot, _ in writer.read_visits("outpatient")] == [1, 2, 3, 4, 5]


def test_what_a_right_does_not_open_is_denied_and_changes_nothing() -> None:
    reader = terminal(card_of(), "RK1_DF02")
    with pytest.raises(StatusWordError, match="needs UK1_DF02"):
        reader.update(CLINICAL, 1, {"abo_blood_group": "2"})
    assert states(reader.read("DDF1/DF01/EF05")) == {State.DENIED}
    with pytest.raises(CardError, match="never changed after issue"):
        reader.update("DDF1/EF05", 1, {"card_category": "2"})


# --- how many commands, and which -----------------------------------------------------------


def test_an_emergency_read_takes_six_commands() -> None:
    recorder = Recorder(fresh(card_of()))
    reader = ResidentHealthCard(recorder, key_set(Cipher.SM4, "RK1_DF02"))
    reader.authenticate("RK1_DF02")
    assert states(reader.read(CLINICAL)) >= {State.VALUE}
    headers = [exchange.command[:4].hex().upper() for exchange in recorder.commands]
    assert headers == [
        "00A40400", "00A4080C", "00840000", "00820084", "0CA4080C", "0CB20105",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["RK1_DDF1", "RK1_DF02", "UK1_DDF1"])
def test_an_authentication_is_two_commands_after_selecting(name: str) -> None:
    recorder = Recorder(fresh(card_of()))
    ResidentHealthCard(recorder, key_set(Cipher.SM4, name)).authenticate(name)
    selects = [0xA4, 0xA4] if "/" in KEY_BY_NAME[name].df_path else [0xA4]
    assert [e.command[1] for e in recorder.commands] == [*selects, 0x84, 0x82]


# --- the issuer's file, which is free -------------------------------------------------------


def reads_in_clear(line: Line) -> int:
    """How many READ RECORD and READ BINARY went out without protection."""
    return sum(raw[0] & 0x0C == 0 and raw[1] in (0xB0, 0xB1, 0xB2, 0xB3) for raw in line.sent)


@pytest.mark.parametrize(("held", "used"), [
    (("RK1_DDF1", "RK1_DF02", "UK1_DF02"), "RK1_DDF1"),
    (("RK1_DF02", "UK1_DF02"), "RK1_DF02"), (("RK1_DF05", "RK1_DF03"), "RK1_DF03"),
])  # fmt: skip
def test_with_a_read_key_at_hand_the_free_file_is_read_in_a_session(
    held: tuple[str, ...], used: str
) -> None:
    readings: list[Callable[[ResidentHealthCard], object]] = [
        lambda reader: reader.read(ISSUER_FILE), lambda reader: reader.read_raw(ISSUER_FILE),
    ]  # fmt: skip
    for reading in readings:
        line = Line(fresh(card_of()))
        reader = ResidentHealthCard(line, key_set(Cipher.SM4, *held))
        assert reading(reader) and reads_in_clear(line) == 0
        proved = [raw[3] for raw in line.sent if raw[1] == 0x82]
        assert proved == [KEY_BY_NAME[used].reference]
        reading(reader)
        assert len([raw for raw in line.sent if raw[1] == 0x82]) == 1, "the session is used again"


@pytest.mark.parametrize("held", [("UK1_DDF1", "IRK_DDF1"), ()])
def test_without_a_read_key_the_free_file_is_read_in_clear(held: tuple[str, ...]) -> None:
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4, *held) if held else None)
    assert states(reader.read(ISSUER_FILE)) >= {State.VALUE}
    assert reads_in_clear(line) and not [raw for raw in line.sent if raw[1] == 0x82]


def test_read_card_reads_everything_in_the_session() -> None:
    line = Line(fresh(card_of()))
    found = read_card(line, key_set(Cipher.SM4))
    assert states({f.path: v for f, v in found.files}[ISSUER_FILE]) >= {State.VALUE}
    assert reads_in_clear(line) == 0
    assert [raw[3] for raw in line.sent if raw[1] == 0x82].count(0x04) == 1, "RK1_DDF1 once"


def test_an_issuers_file_altered_on_the_line_is_not_shown() -> None:
    line = Line(fresh(card_of()))

    def alter(raw: bytes, reply: bytes) -> bytes:
        spoil = raw[1] == 0xB2 and len(reply) > 20
        return reply[:9] + bytes((reply[9] ^ 1,)) + reply[10:] if spoil else reply

    line.reply = alter
    with pytest.raises(ChannelError):
        ResidentHealthCard(line, key_set(Cipher.SM4, "RK1_DDF1")).read(ISSUER_FILE)


def test_everything_after_the_first_authentication_is_protected() -> None:
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.read("DDF1/EF05")
    reader.authenticate("RK1_DF02")
    clear = sum(raw[0] == 0x00 for raw in line.sent)
    reader.internal_authenticate()
    reader.identify()
    reader.select("MF")
    reader.verify_pin(PIN)
    reader.authenticate("UK1_DF02")
    reader.update(CLINICAL, 1, {"abo_blood_group": "2"})
    reader.authenticate("UK1_DF03")
    reader.mark(INDEX, 1)
    assert [raw[0] for raw in line.sent[clear:]] == [0x0C] * (len(line.sent) - clear)
    assert {raw[1] for raw in line.sent[clear:]} >= {0x88, 0xA4, 0x20, 0x84, 0x82, 0xDC, 0xD2}


def test_a_file_is_selected_by_its_whole_path_after_each_authentication() -> None:
    card, seen = card_of(), []
    channel = Line(fresh(card))
    reader = ResidentHealthCard(channel, key_set(Cipher.SM4))
    for name in ("RK1_DF02", "UK1_DF02"):
        reader.authenticate(name)
        channel.sent.clear()
        reader.read(CLINICAL)
        seen.append(channel.sent[0][:4].hex())
    assert seen == ["0ca4080c", "0ca4080c"]


@pytest.mark.parametrize(("options", "reads"), [(SHORT, 9), (LONG, 1)])
def test_long_files_take_as_few_commands_as_the_card_allows(
    options: CardOptions, reads: int
) -> None:
    line = Line(card_of(Cipher.AES, options))
    line.reset()
    reader = ResidentHealthCard(line, key_set(Cipher.AES))
    for name in HOSPITAL:
        reader.authenticate(name)
    reader.write_visit("inpatient", visit("inpatient"))
    line.sent.clear()
    (raw,) = reader.read_raw("DDF1/DF03/EE01")
    assert raw is not None and len(raw) == 1893
    assert sum(raw[1] == 0xB0 for raw in line.sent) == reads
    line.sent.clear()
    reader.write_binary("DDF1/DF03/EE02", 0, raw)
    assert sum(command[1] == 0xD6 for command in line.sent) == (8 if reads == 9 else 1)


def test_the_atr_says_what_the_host_may_use() -> None:
    for options in (SHORT, LONG, CardOptions(command_chaining=False)):
        announced = capabilities(card_of(options=options).atr)
        assert announced == (options.command_chaining, options.extended_length)
    assert capabilities(H("3B00")) == (False, False)


# --- channels: cases, forms, chaining -------------------------------------------------------


def channel_of(cipher: Cipher, options: CardOptions, *names: str) -> tuple[V2Channel, CardKeys]:
    card = card_of(cipher, options)
    chaining, extended = capabilities(card.atr)
    channel = V2Channel(card.transmit, c1_of(cipher), chaining=chaining, extended=extended)
    keys = key_set(cipher).for_card(CHIP, REGION)
    for name in names:
        path = KEY_BY_NAME[name].df_path
        data = b"\x3f\x00" if path == "MF" else bytes.fromhex(path.replace("/", ""))
        assert channel.send(CommandAPDU(0, 0xA4, 0 if path == "MF" else 8, 0x0C, data)).ok
        assert channel.authenticate(keys, KEY_BY_NAME[name]).ok
    return channel, keys


def path_of(path: str) -> bytes:
    return bytes.fromhex(path.replace("/", ""))


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("options", [SHORT, LONG])
def test_all_cases_and_odd_instructions(cipher: Cipher, options: CardOptions) -> None:
    channel, _ = channel_of(cipher, options, "RK1_DF03", "UK1_DF03")
    send, extended = channel.send, options.extended_length
    assert send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(INDEX))).sw == 0x9000
    assert send(CommandAPDU(0, 0xD2, 1, 4)).sw == 0x9000  # case 1
    assert send(CommandAPDU(0, 0xB2, 1, 4, le=256)).data == b"\x00"  # case 2
    assert send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(SLOT))).sw == 0x9000  # case 3
    assert send(CommandAPDU(0, 0xA4, 8, 0, path_of(SLOT), 256)).data[0] == 0x6F  # case 4
    assert send(CommandAPDU(0, 0xD7, 0, 0, H("540200205302ABCD"))).sw == 0x9000
    assert send(CommandAPDU(0, 0xB1, 0, 0, H("54020020"), 4)).data == H("5302ABCD")
    if extended:
        assert send(CommandAPDU(0, 0xD6, 0, 0, bytes(1000), None, True)).sw == 0x9000
        assert send(CommandAPDU(0, 0xB0, 0, 0, le=1000)).data == bytes(1000)


@pytest.mark.parametrize("cipher", Cipher)
def test_a_chained_command_is_one_command(cipher: Cipher) -> None:
    channel, _ = channel_of(cipher, SHORT, "RK1_DF03", "UK1_DF03")
    channel.send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(SLOT)))
    data = bytes(n * 5 & 0xFF for n in range(1200))
    assert channel.send(CommandAPDU(0, 0xD6, 0, 0, data)).sw == 0x9000
    read = [channel.send(CommandAPDU(0, 0xB0, o >> 8, o & 255, le=200)).data
            for o in range(0, 1200, 200)]  # fmt: skip
    assert b"".join(read) == data


def test_more_than_fits_is_refused_under_protection() -> None:
    channel, _ = channel_of(Cipher.SM4, SHORT, "RK1_DF03")
    channel.send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(SLOT)))
    assert channel.send(CommandAPDU(0, 0xB0, 0, 0, le=224)).sw == 0x6700
    assert len(channel.send(CommandAPDU(0, 0xB0, 0, 0, le=256)).data) == 223


@pytest.mark.parametrize(("command", "back"), [
    (CommandAPDU(0, 0x1E, 0, 0), CommandAPDU(0, 0x18, 0, 0)),
])  # fmt: skip
def test_an_application_is_blocked_and_unblocked(command: CommandAPDU, back: CommandAPDU) -> None:
    channel, _ = channel_of(Cipher.AES, SHORT, "RK1_DF02", "LK_DF02")
    assert channel.send(command).sw == 0x9000
    assert channel.send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(CLINICAL))).sw == 0x6283
    assert channel.send(CommandAPDU(0, 0xB2, 1, 4, le=256)).sw == 0x6985
    assert channel.send(back).sw == 0x9000
    assert channel.send(CommandAPDU(0, 0xB2, 1, 4, le=256)).sw == 0x9000


def test_the_pin_is_unblocked_by_the_puk() -> None:
    channel, keys = channel_of(Cipher.AES, SHORT, "RK1_DDF1")
    for left in (2, 1, 0):
        assert channel.send(CommandAPDU(0, 0x20, 0, 0, b"000000")).sw == 0x63C0 | left
    assert channel.authenticate(keys, KEY_BY_NAME["PUK_DDF1"]).ok
    assert channel.send(CommandAPDU(0, 0x2C, 2, 0, b"864209")).sw == 0x9000
    assert channel.send(CommandAPDU(0, 0x20, 0, 0, b"864209")).sw == 0x9000


# --- the PIN --------------------------------------------------------------------------------


def test_a_pin_is_never_sent_in_clear() -> None:
    recorder = Recorder(fresh(card_of()))
    reader = ResidentHealthCard(recorder, key_set(Cipher.SM4))
    with pytest.raises(ChannelError, match="never sent in clear"):
        reader.verify_pin(PIN)
    with pytest.raises(ChannelError, match="never sent in clear"):
        change_pin(ResidentHealthCard(recorder), PIN, "246802")
    reader.authenticate("RK1_DF04")
    reader.verify_pin(PIN)
    assert not any(PIN.encode() in exchange.command for exchange in recorder.commands)


@dataclass
class WithATR:
    """A connection to a card whose ATR was changed on the way."""

    recorder: Recorder
    atr: bytes

    def transmit(self, command: bytes) -> bytes:
        return self.recorder.transmit(command)

    def reset(self) -> bytes:
        self.recorder.reset()
        return self.atr


def test_an_atr_that_ends_early_after_the_serial_leaves_nothing_that_sends_a_pin() -> None:
    """The serial is whole, the capabilities behind it are not: identify fails, and stays failed."""
    recorder = Recorder(fresh(card := card_of()))
    atr = b"\x3b\x0b\x80\x58" + chip_serial(card.atr) + b"\x73"
    reader = ResidentHealthCard(WithATR(recorder, atr), key_set(Cipher.SM4), min_protocol=1)
    for _ in range(2):
        with pytest.raises(FormatError):
            reader.verify_pin(PIN)
        with pytest.raises(FormatError):
            reader.update(CLINICAL, 1, {})
    assert {exchange.command[1] for exchange in recorder.commands} == {0xA4}


def test_the_holders_file_needs_the_pin_in_this_session() -> None:
    card = card_of()
    writer = terminal(card, "RK1_DF04", "UK1_DF04")
    with pytest.raises(StatusWordError, match="the holder's PIN"):
        writer.update("DDF1/DF04/EF05", 1, {"bank_code": "102"})
    with pytest.raises(StatusWordError) as error:
        writer.verify_pin("000000")
    assert error.value.sw == 0x63C2
    writer.verify_pin(PIN)
    writer.update("DDF1/DF04/EF05", 1, {"bank_code": "102"})
    again = terminal(card, "UK1_DF04")
    with pytest.raises(StatusWordError, match="the holder's PIN"):
        again.update("DDF1/DF04/EF05", 1, {"bank_code": "103"})


# --- what ends a session --------------------------------------------------------------------


@pytest.mark.parametrize("reply", [
    "6A82", "6A83", "6982", "9000", "6988", "6987", "6282", "63C2", "6C10", "6985",
    "2901049000", "99029000" "9000", "00" * 100 + "9000",
])  # fmt: skip
@pytest.mark.parametrize("ins", [0xA4, 0xB2])
def test_an_unprotected_reply_is_never_believed(ins: int, reply: str) -> None:
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.authenticate("RK1_DF02")
    line.reply = lambda raw, real: H(reply) if raw[1] == ins else real
    with pytest.raises(ChannelError):
        reader.read(CLINICAL)
    assert reader.rights == frozenset()
    line.reply = lambda raw, real: real
    acts: list[Callable[[], object]] = [
        lambda: reader.read(CLINICAL), lambda: reader.authenticate("RK1_DF02"),
        lambda: reader.verify_pin(PIN), reader.identify, reader.internal_authenticate,
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(ChannelError, match="reset the card"):
            act()
    reader.reset()
    reader.authenticate("RK1_DF02")
    assert states(reader.read(CLINICAL)) >= {State.VALUE}


def test_a_failed_transport_ends_the_session() -> None:
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.authenticate("RK1_DF02")

    def torn(raw: bytes, real: bytes) -> bytes:
        raise TransportError("card pulled out")

    line.reply = torn
    with pytest.raises(TransportError):
        reader.read(CLINICAL)
    assert reader.rights == frozenset()
    line.reply = lambda raw, real: real
    with pytest.raises(ChannelError, match="reset"):
        reader.read(CLINICAL)


def test_a_wrong_key_spends_a_try_and_is_told_with_what_was_tried() -> None:
    card = fresh(card_of())
    other = SoftwareKeySet(new_roots(2, Cipher.SM4).card, 2, Cipher.SM4)
    reader = ResidentHealthCard(card, other)
    tried = other.for_card(CHIP, REGION).key_check_value("RK1_DF02").hex().upper()
    with pytest.raises(StatusWordError) as error:
        reader.authenticate("RK1_DF02")
    assert error.value.sw == 0x63CE and tried in str(error.value)
    assert states(reader.read(CLINICAL)) == {State.DENIED}


def test_a_wrong_key_in_a_session_ends_it() -> None:
    roots = dict(public_test_roots(2, Cipher.SM4).card)
    roots["UK1_DF02"] = bytes(16)
    reader = ResidentHealthCard(fresh(card_of()), SoftwareKeySet(roots, 2, Cipher.SM4))
    reader.authenticate("RK1_DF02")
    with pytest.raises(StatusWordError, match="63CE"):
        reader.authenticate("UK1_DF02")
    assert reader.rights == frozenset()
    with pytest.raises(ChannelError, match="reset"):
        reader.read(CLINICAL)
    reader.reset()
    reader.authenticate("RK1_DF02")
    assert reader.rights == {"RK1_DF02"}


def test_fifteen_wrong_keys_block_one_and_no_other() -> None:
    card = fresh(card_of())
    other = SoftwareKeySet(new_roots(2, Cipher.SM4).card, 2, Cipher.SM4)
    for left in range(14, -1, -1):
        with pytest.raises(StatusWordError) as error:
            ResidentHealthCard(card, other).authenticate("RK1_DF02")
        assert error.value.sw == 0x63C0 | left
    with pytest.raises(StatusWordError, match="6983"):
        terminal(card, "RK1_DF02")
    assert terminal(card, "RK1_DF03").rights == {"RK1_DF03"}


def test_whoever_forgets_a_session_resets_the_card() -> None:
    card = card_of()
    reader = terminal(card, "RK1_DF02")
    reader.forget()
    assert reader.rights == frozenset()
    with pytest.raises(ChannelError, match="reset"):
        reader.read(CLINICAL)
    reader.reset()
    reader.identify()
    reader.forget()
    assert reader.identify().protocol == 2


def test_a_value_that_does_not_fit_leaves_the_session_as_it_is() -> None:
    reader = terminal(card_of(), "RK1_DF02", "UK1_DF02")
    with pytest.raises(FormatError):
        reader.update(CLINICAL, 1, {"abo_blood_group": "23"})
    reader.update(CLINICAL, 1, {"abo_blood_group": "3"})


# --- no downgrade ---------------------------------------------------------------------------


def test_a_terminal_accepts_version_2_alone_unless_told_otherwise() -> None:
    card = card_of(protocol=1)
    recorder = Recorder(fresh(card))
    version1 = SoftwareKeySet(public_test_roots(1, Cipher.SM4).card, 1, Cipher.SM4)
    reader = ResidentHealthCard(recorder, version1)
    assert reader.identify().protocol == 1
    for act in (lambda: reader.authenticate("RK1_DF02"), lambda: reader.verify_pin(PIN),
                lambda: reader.read("DDF1/EF05"), reader.internal_authenticate,
                lambda: reader.mark(INDEX, 1)):  # fmt: skip
        with pytest.raises(ChannelError, match="accepts version 2 and later"):
            act()
    assert {exchange.command[1] for exchange in recorder.commands} == {0xA4}
    told = ResidentHealthCard(fresh(card), version1, min_protocol=1)
    told.authenticate("RK1_DF02")
    assert states(told.read(CLINICAL)) >= {State.VALUE}


def test_a_terminal_that_accepts_both_uses_what_the_card_speaks() -> None:
    reader = ResidentHealthCard(fresh(card_of()), key_set(Cipher.SM4), min_protocol=1)
    reader.authenticate("RK1_DF02")
    assert states(reader.read(CLINICAL)) >= {State.VALUE}
    assert reader.identify().protocol == 2


def saying(card: SoftwareCard, old: str, new: str) -> Line:
    """A card whose plain FCI is changed on its way."""
    line = Line(fresh(card))

    def change(raw: bytes, reply: bytes) -> bytes:
        return reply.replace(H(old), H(new)) if raw[:2] == b"\x00\xa4" else reply

    line.reply = change
    return line


def test_a_card_made_to_say_1_0_is_not_spoken_to() -> None:
    line = saying(card_of(), "C103200101", "C103100101")
    with pytest.raises(ChannelError, match="accepts version 2"):
        ResidentHealthCard(line, key_set(Cipher.SM4)).authenticate("RK1_DF02")
    with pytest.raises(CardKeyError, match="this card is different"):
        ResidentHealthCard(line, key_set(Cipher.SM4), min_protocol=1).authenticate("RK1_DF02")
    assert not [raw for raw in line.sent if raw[1] in (0x82, 0x84)]


@pytest.mark.parametrize(("old", "new"), [
    ("C103200101", "C103200201"), ("C103200101", "C103200102"),
])  # fmt: skip
def test_keys_of_another_cipher_or_version_are_not_tried(old: str, new: str) -> None:
    line = saying(card_of(), old, new)
    with pytest.raises(CardKeyError, match="this card is different"):
        ResidentHealthCard(line, key_set(Cipher.SM4)).authenticate("RK1_DF02")


ALTERED_C1 = [
    (offset, value)
    for offset, values in enumerate((
        (0x10, 0x11, 0x1F, 0x21, 0x2F, 0x22, 0x28, 0x00, 0x30, 0xA0, 0xFF),
        (0x01, 0x02, 0x00, 0x03, 0x81, 0xFF), (0x02, 0x03, 0x05, 0x07, 0x00, 0x81, 0xFF),
    ))
    for value in values
]  # fmt: skip


@pytest.mark.parametrize("name", ["RK1_DF02", "RK1_DDF1", "UK1_DDF1", "BK_MF"])
@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize(("offset", "value"), ALTERED_C1)
def test_no_session_opens_on_a_c1_that_was_altered_on_the_line(
    cipher: Cipher, offset: int, value: int, name: str
) -> None:
    """Not even for a terminal whose roots are the card's and that holds all as C1 says."""
    good = c1_of(cipher)
    altered = good[:offset] + bytes((value,)) + good[offset + 1 :]
    if altered == good:
        return
    roots = public_test_roots(2, cipher).card
    said_cipher = Cipher(altered[1]) if altered[1] in (1, 2) else cipher
    said_version = altered[2] if 1 <= altered[2] <= 7 else 1
    for protocol in (2, 1):
        keys = SoftwareKeySet(roots, protocol, said_cipher, said_version)
        for reading in (False, True):
            if reading and altered[0] >> 4 == protocol == 1:
                continue  # version 1 reads in clear: what it cannot see is in test_v1_limits.py
            line = saying(card_of(cipher), "C103" + good.hex(), "C103" + altered.hex())
            reader = ResidentHealthCard(line, keys, min_protocol=1)
            with pytest.raises(CardError):
                reader.read(ISSUER_FILE) if reading else reader.authenticate(name)
            assert reader.rights == frozenset() and reads_in_clear(line) == 0
            assert not any(raw[0] & 0x0C for raw in line.sent)


def test_an_altered_region_fails_for_a_key_of_two_levels() -> None:
    line = saying(card_of(), "C208" + REGION.hex(), "C208" + b"88000000".hex())
    for name in ("RK1_DDF1", "RK1_DF02"):
        reader = ResidentHealthCard(line, key_set(Cipher.SM4))
        with pytest.raises(StatusWordError, match="63C"):
            reader.authenticate(name)
        assert reader.rights == frozenset()


@pytest.mark.parametrize("name", ["UK1_DDF1", "UK1_DF01", "BK_MF"])
def test_after_a_key_of_one_level_alone_the_region_is_nobodys_word(name: str) -> None:
    line = saying(card_of(), "C208" + REGION.hex(), "C208" + b"88000000".hex())
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.authenticate(name)
    assert reader.rights == {name}
    with pytest.raises(StatusWordError, match="63CE"):
        reader.authenticate("RK1_DDF1")
    assert reader.rights == frozenset()


def test_an_fci_asked_for_again_in_the_session_must_be_the_first_one() -> None:
    line = saying(card_of(), "C208" + REGION.hex(), "C208" + b"88000000".hex())
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.authenticate("UK1_DDF1")
    with pytest.raises(ChannelError, match=r"in clear, chip .* protected"):
        reader.identify()


def test_an_unknown_specification_is_no_card_of_ours() -> None:
    for spec in ("00", "30", "FF"):
        line = saying(card_of(), "C103200101", f"C103{spec}0101")
        with pytest.raises(CardError, match=r"1.0 and 2.0 are known"):
            ResidentHealthCard(line, key_set(Cipher.SM4)).identify()


def test_a_man_in_the_middle_cannot_move_an_authentication_to_another_df() -> None:
    line = Line(fresh(card_of()))
    line.command = lambda raw: raw.replace(H("DDF1DF02"), H("DDF1DF03"))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    with pytest.raises(StatusWordError, match="63CE"):
        reader.authenticate("RK1_DF02")


def test_another_file_selected_before_the_session_is_not_written() -> None:
    """Selecting is in clear until the session: whoever sits between may choose another file."""
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.identify()

    def also_selects(raw: bytes, reply: bytes) -> bytes:
        if raw[:2] == b"\x00\x84":
            line.card.transmit(H("00A4080C06DDF1DF02EF06"))
        return reply

    line.reply = also_selects
    reader.authenticate("RK1_DF02")
    reader.authenticate("UK1_DF02")
    reader.update(CLINICAL, 1, {"abo_blood_group": "2"})
    assert next(v.text for v in reader.read(CLINICAL)) == "2"


@pytest.mark.parametrize("cipher", Cipher)
def test_an_authentication_tunnelled_into_anothers_session_serves_nobody(cipher: Cipher) -> None:
    """He holds one role's key, and passes a terminal's commands on inside his own session."""
    he = Terminal(cipher).authenticate("RK1_DF02")

    def tunnel(raw: bytes) -> bytes:
        if raw[0]:
            return he.card.transmit(raw)
        command = CommandAPDU.parse(raw)
        reply = he.send(command.header.hex(), command.data, command.le)
        return reply.data + reply.sw.to_bytes(2, "big")

    channel = V2Channel(tunnel, c1_of(cipher))
    keys = key_set(cipher).for_card(CHIP, REGION)
    assert channel.authenticate(keys, KEY_BY_NAME["UK1_DF02"]).ok
    with pytest.raises(ChannelError, match="6988"):
        channel.send(CommandAPDU(0x00, 0xA4, 0x08, 0x0C, path_of(CLINICAL)))
    assert he.send("00A4080C", path_of(CLINICAL)) == (b"", 0x6982, False)
    assert states(ResidentHealthCard(he.card).read(CLINICAL)) == {State.DENIED}


def test_internal_authentication_works_in_clear_and_in_a_session() -> None:
    reader = ResidentHealthCard(fresh(card_of()), key_set(Cipher.SM4, "IRK_DDF1", "RK1_DF02"))
    reader.internal_authenticate()
    reader.authenticate("RK1_DF02")
    reader.internal_authenticate()


def test_a_free_file_is_read_without_keys() -> None:
    values = {v.field.name: v.text for v in ResidentHealthCard(fresh(card_of())).read("DDF1/EF05")}
    assert values["spec_version"] == "2.0" and values["city_code"] == ISSUER["city_code"]


# --- any order of things --------------------------------------------------------------------

GROUPS = tuple(str(n) for n in range(1, 6))
READ_KEY = {"DDF1/DF02": "RK1_DF02", "DDF1/DF03": "RK1_DF03"}


class Sessions(RuleBasedStateMachine):
    """Terminals come and go at one card; what they read is what was written before."""

    names = Bundle("names")

    @initialize(cipher=st.sampled_from(Cipher), extended=st.booleans())
    def insert(self, cipher: Cipher, extended: bool) -> None:
        self.cipher = cipher
        self.card = card_of(cipher, CardOptions(extended_length=extended))
        self.blood, self.slot, self.mark = "4", b"\xff" * 3267, b"\xff"
        self.arrive()

    @rule()
    def arrive(self) -> None:
        self.card.reset()
        self.reader = ResidentHealthCard(self.card, key_set(self.cipher))

    @rule(name=st.sampled_from([n for n in ROLES if n[:2] in ("RK", "UK", "LK")]))
    def authenticate(self, name: str) -> None:
        self.reader.authenticate(name)
        assert name in self.reader.rights

    def allowed(self, key: str, act: Callable[[], object]) -> bool:
        """Whether an act was done, which is exactly where its key's right is held."""
        held = key in self.reader.rights
        try:
            act()
        except StatusWordError as error:
            assert error.sw == 0x6982 and not held
        except ChannelError as error:
            assert "authenticate first" in str(error) and not self.reader.rights
            return False
        else:
            assert held
        return held

    @rule(group=st.sampled_from(GROUPS))
    def update(self, group: str) -> None:
        values = {"abo_blood_group": group}
        if self.allowed("UK1_DF02", lambda: self.reader.update(CLINICAL, 1, values)):
            self.blood = group

    @rule(offset=st.integers(0, 3000), data=st.binary(min_size=1, max_size=260))
    def write(self, offset: int, data: bytes) -> None:
        data = data[: 3267 - offset]
        if self.allowed("UK1_DF03", lambda: self.reader.write_binary(SLOT, offset, data)):
            self.slot = self.slot[:offset] + data + self.slot[offset + len(data) :]

    @rule()
    def set_mark(self) -> None:
        if self.allowed("UK1_DF03", lambda: self.reader.mark(INDEX, 1)):
            self.mark = b"\x00"

    @rule()
    def erase_mark(self) -> None:
        if self.allowed("UK2_DF03", lambda: self.reader.erase_mark(INDEX, 1)):
            self.mark = b"\xff"

    @rule()
    def read(self) -> None:
        found: list[list[bytes | None]] = []
        if self.allowed("RK1_DF02", lambda: found.append(self.reader.read_raw(CLINICAL))):
            assert found[-1][0] == H("2901") + bytes((int(self.blood),))
        if self.allowed("RK1_DF03", lambda: found.append(self.reader.read_raw(SLOT))):
            assert found[-1] == [self.slot]
        if self.allowed("RK1_DF03", lambda: found.append(self.reader.read_raw(INDEX))):
            assert found[-1][0] == self.mark

    @precondition(lambda self: hasattr(self, "reader"))
    @invariant()
    def the_session_lives(self) -> None:
        channel = self.reader._channel
        assert channel is None or not channel.is_over


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_the_layout_has_no_role_that_these_tests_forget() -> None:
    roles = {key.role for key in KEYS}
    assert roles == {"RK", "UK", "LK", "BK", "PUK", "STK", "STM", "IRK"}
    assert FILE_BY_PATH[CLINICAL].read_key == "RK1_DF02"
