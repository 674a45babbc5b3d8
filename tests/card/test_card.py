"""The card object against the software card: fields with states, rights, updates."""

from collections.abc import Callable

import pytest

from cardlib.card import CardIdentity, ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.errors import (
    CardError,
    CardKeyError,
    ChannelError,
    FormatError,
    StatusWordError,
    TransportError,
)
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import FILE_BY_PATH, FILES, KEYS, FieldValue, State
from cardlib.transport.recorder import Recorder
from tests.cards.cards import (
    CHIP,
    ISSUER,
    PIN,
    REGION,
    blank_card,
    key_store,
    personalized_card,
    terminal,
)

PROTECTED = [file.path for file in FILES if file.read_key]
ROLE_KEYS = [key.name for key in KEYS if key.role in ("RK", "UK", "LK", "BK")]


@pytest.fixture
def card() -> SoftwareCard:
    return personalized_card()


class Tampering:
    """A connection that changes replies on their way: `tamper` gets command and reply."""

    def __init__(self, card: SoftwareCard, tamper: Callable[[bytes, bytes], bytes]) -> None:
        self.card, self.tamper = card, tamper

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def reset(self) -> bytes:
        return self.card.reset()

    def transmit(self, command: bytes) -> bytes:
        return self.tamper(command, self.card.transmit(command))


def texts(values: tuple[FieldValue, ...]) -> dict[str, str]:
    return {value.field.name: value.text for value in values if value.value is not None}


def states(values: tuple[FieldValue, ...]) -> set[State]:
    return {value.state for value in values}


# --- identity and keys ----------------------------------------------------------------


@pytest.mark.parametrize("cipher", Cipher)
def test_a_card_says_who_it_is(cipher: Cipher) -> None:
    identity = terminal(personalized_card(cipher), cipher=cipher).identify()
    assert identity == CardIdentity(CHIP, 0x10, cipher, 1, REGION)
    assert identity.protocol == 1
    assert "spec 1.0" in str(identity) and "region 41000000" in str(identity)


def test_a_blank_card_is_no_health_card() -> None:
    with pytest.raises(CardError):
        ResidentHealthCard(blank_card(), min_protocol=1).identify()
    with pytest.raises(CardError):
        ResidentHealthCard(blank_card(), min_protocol=1).read("DDF1/EF05")


@pytest.mark.parametrize(
    "fci", ["6F00", "6F02A500", "6F05A503C10110", "6F10A50EC103100301C208" + "30" * 5]
)
def test_an_fci_that_says_nothing_is_refused(card: SoftwareCard, fci: str) -> None:
    reply = bytes.fromhex(fci) + b"\x90\x00"
    with pytest.raises(CardError):
        ResidentHealthCard(Tampering(card, lambda command, _: reply), min_protocol=1).identify()


def test_without_keys_only_what_is_free_is_read(card: SoftwareCard) -> None:
    reader = ResidentHealthCard(card, min_protocol=1)
    assert texts(reader.read("DDF1/EF05")) == ISSUER
    with pytest.raises(CardKeyError, match="no keys"):
        reader.authenticate("RK1_DDF1")


def test_keys_of_another_cipher_version_or_protocol_are_not_tried(card: SoftwareCard) -> None:
    roots = key_store().terminal_keys
    others = [
        key_store(Cipher.AES).terminal_keys,
        SoftwareKeySet({}, 2, Cipher.SM4),
        SoftwareKeySet({}, 1, Cipher.SM4, version=2),
    ]
    recorder = Recorder(card)
    for other in others:
        with pytest.raises(CardKeyError, match="this card is different"):
            ResidentHealthCard(recorder, other, min_protocol=1).authenticate("RK1_DDF1")
    assert not [e for e in recorder.commands if e.command[1] == 0x82]
    assert roots.protocol == 1


def test_a_key_that_was_not_given_or_does_not_exist_is_named(card: SoftwareCard) -> None:
    reader = terminal(card, "RK1_DF03")
    with pytest.raises(CardKeyError, match="RK1_DF01"):
        reader.authenticate("RK1_DF01")
    with pytest.raises(CardKeyError, match="RK9_DF01"):
        reader.authenticate("RK9_DF01")


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("name", ROLE_KEYS)
def test_every_role_key_authenticates_in_its_df(cipher: Cipher, name: str) -> None:
    reader = terminal(personalized_card(cipher), name, cipher=cipher)
    reader.authenticate(name)
    assert reader.rights == {name}


def test_a_wrong_key_is_told_with_what_was_tried(card: SoftwareCard) -> None:
    other = SoftwareKeySet(new_roots().card, 1, Cipher.SM4)
    reader = terminal(card, keys=other)
    tried = other.for_card(CHIP, REGION).key_check_value("RK1_DF02").hex().upper()
    with pytest.raises(StatusWordError) as error:
        reader.authenticate("RK1_DF02")
    assert error.value.sw == 0x63CE
    text = str(error.value)
    assert "RK1_DF02 in DDF1/DF02: 63CE" in text and "14 tries left" in text
    assert tried in text and CHIP.hex().upper() in text
    assert reader.rights == frozenset()


def test_a_genuine_card_proves_itself_and_a_forged_answer_does_not(card: SoftwareCard) -> None:
    terminal(card).internal_authenticate()
    forged = Tampering(card, lambda c, reply: bytes(8) + b"\x90\x00" if c[1] == 0x88 else reply)
    card.reset()
    with pytest.raises(ChannelError, match="not genuine"):
        ResidentHealthCard(
            forged, key_store().terminal_keys, min_protocol=1
        ).internal_authenticate()


def test_terminal_randoms_and_authentications_never_repeat(card: SoftwareCard) -> None:
    recorder = Recorder(card)
    reader = ResidentHealthCard(recorder, key_store().terminal_keys, min_protocol=1)
    for _ in range(3):
        reader.authenticate("RK1_DDF1")
        reader.internal_authenticate()
    sent = [e.command[5:] for e in recorder.commands if e.command[1] in (0x82, 0x88)]
    assert len(set(sent)) == 6


# --- reading --------------------------------------------------------------------------


@pytest.mark.parametrize("path", PROTECTED)
def test_an_unauthenticated_read_is_denied_and_names_the_key(card: SoftwareCard, path: str) -> None:
    recorder = Recorder(card)
    values = ResidentHealthCard(recorder, min_protocol=1).read(path)
    assert recorder.exchanges[-1].response == b"\x69\x82"
    assert values and states(values) == {State.DENIED}
    assert {value.detail for value in values} == {FILE_BY_PATH[path].read_key}
    assert {value.value for value in values} == {None}
    with pytest.raises(StatusWordError, match=f"needs {FILE_BY_PATH[path].read_key}"):
        ResidentHealthCard(card, min_protocol=1).read_raw(path)


@pytest.mark.parametrize("path", [file.path for file in FILES])
def test_every_file_reads_under_its_read_key(card: SoftwareCard, path: str) -> None:
    reader = terminal(card)
    if key := FILE_BY_PATH[path].read_key:
        reader.authenticate(key)
    assert State.DENIED not in states(reader.read(path))
    assert State.CORRUPT not in states(reader.read(path))


def test_each_state_is_told_apart(card: SoftwareCard) -> None:
    reader = terminal(card)
    for name in ("RK1_DDF1", "RK1_DF02"):
        reader.authenticate(name)
    clinical = {value.field.name: value for value in reader.read("DDF1/DF02/EF05")}
    assert clinical["abo_blood_group"].state is State.VALUE
    assert clinical["heart_disease"].text == "1"
    assert clinical["asthma"].state is State.NEGATIVE
    assert clinical["epilepsy"].state is State.UNWRITTEN
    assert [(v.state, v.detail) for v in reader.read("DDF1/DF02/EF08")] == [
        (State.UNWRITTEN, "no entries recorded")
    ] * 2
    assert texts(reader.read("DDF1/EF06"))["name"] == "王䶮𠅤㛃"
    assert states(reader.read("DDF1/DF01/EF05")) == {State.DENIED}


def test_a_cyclic_file_gives_what_was_appended(card: SoftwareCard) -> None:
    reader = terminal(card)
    reader.authenticate("RK1_DF02")
    found = [(v.record, v.text) for v in reader.read("DDF1/DF02/EF07") if v.value is not None]
    assert found == [(1, "青霉素"), (1, "皮疹"), (2, "花生")]
    assert len(reader.read_raw("DDF1/DF02/EF07")) == 2
    assert reader.read_raw("DDF1/DF02/EF08") == []


def answering(replies: dict[int, bytes]) -> Callable[[bytes, bytes], bytes]:
    """Replace the replies to some instructions."""
    return lambda command, reply: replies.get(command[1], reply)


def test_a_missing_file_is_missing_and_not_unwritten(card: SoftwareCard) -> None:
    absent = Tampering(
        card, lambda c, reply: b"\x6a\x82" if c[1] == 0xA4 and c.endswith(b"\xef\x05") else reply
    )
    assert states(ResidentHealthCard(absent, min_protocol=1).read("DDF1/EF05")) == {State.MISSING}


def test_a_cyclic_file_that_is_not_there_is_missing_and_not_empty(card: SoftwareCard) -> None:
    def without_allergies(command: bytes, reply: bytes) -> bytes:
        return b"\x6a\x82" if command[1] == 0xA4 and command.endswith(b"\xef\x07") else reply

    reader = terminal(Tampering(card, without_allergies))
    reader.authenticate("RK1_DF02")
    assert states(reader.read("DDF1/DF02/EF07")) == {State.MISSING}


def test_missing_records_are_missing_and_the_others_are_not(card: SoftwareCard) -> None:
    def first_two(command: bytes, reply: bytes) -> bytes:
        if command[1] != 0xB2:
            return reply
        return reply[:3] + reply[3:9] + b"\x90\x00" if command[2] == 1 else b"\x6a\x83"

    values = ResidentHealthCard(Tampering(card, first_two), min_protocol=1).read("DDF1/EF05")
    assert [v.state for v in values[:2]] == [State.VALUE, State.VALUE]
    assert states(values[2:]) == {State.MISSING}


@pytest.mark.parametrize(
    "reply", ["010131020431", "0201310204312E3000", "0101310204312E30020931", "FF"]
)
def test_records_that_are_not_as_they_should_be_are_corrupt(card: SoftwareCard, reply: str) -> None:
    torn = bytes.fromhex(reply) + b"\x90\x00"

    def tamper(command: bytes, original: bytes) -> bytes:
        if command[1] != 0xB2:
            return original
        return torn if command[2] == 1 else b"\x6a\x83"

    values = ResidentHealthCard(Tampering(card, tamper), min_protocol=1).read("DDF1/EF05")
    assert State.CORRUPT in states(values)
    assert State.UNWRITTEN not in states(values) and State.EMPTY not in states(values)


def test_an_empty_reply_is_an_error_and_not_an_endless_loop(card: SoftwareCard) -> None:
    empty = Tampering(card, answering({0xB2: b"\x90\x00"}))
    with pytest.raises(FormatError, match="no record"):
        ResidentHealthCard(empty, min_protocol=1).read("DDF1/EF05")


@pytest.mark.parametrize("sw", [0x6985, 0x6F00, 0x6281, 0x6A81])
def test_any_other_refusal_is_raised(card: SoftwareCard, sw: int) -> None:
    refusing = Tampering(card, answering({0xB2: sw.to_bytes(2, "big")}))
    with pytest.raises(StatusWordError, match=f"READ RECORD 1 in DDF1/EF05: {sw:04X}"):
        ResidentHealthCard(refusing, min_protocol=1).read("DDF1/EF05")


def test_a_short_transparent_file_is_corrupt(card: SoftwareCard) -> None:
    def short(command: bytes, reply: bytes) -> bytes:
        return reply[:100] + b"\x62\x82" if command[1] == 0xB0 else reply

    reader = ResidentHealthCard(Tampering(card, short), key_store().terminal_keys, min_protocol=1)
    reader.authenticate("RK1_DF03")
    assert states(reader.read("DDF1/DF03/EE01")) == {State.CORRUPT}


def test_unknown_paths_are_refused_before_anything_is_sent(card: SoftwareCard) -> None:
    recorder = Recorder(card)
    for path in ("DDF1/EF99", "EF05", "DDF1"):
        with pytest.raises(FormatError):
            ResidentHealthCard(recorder, min_protocol=1).read(path)
    with pytest.raises(FormatError):
        ResidentHealthCard(recorder, min_protocol=1).select("no path")
    assert recorder.commands == []


def test_an_emergency_read_takes_six_commands(card: SoftwareCard) -> None:
    recorder = Recorder(card)
    reader = ResidentHealthCard(recorder, key_store().terminal_keys, min_protocol=1)
    reader.authenticate("RK1_DF02")
    reader.read("DDF1/DF02/EF05")
    names = [exchange.command[1] for exchange in recorder.commands]
    assert names == [0xA4, 0xA4, 0x84, 0x82, 0xA4, 0xB2]


def test_a_photo_is_read_as_far_as_it_goes_and_raw_wholly(card: SoftwareCard) -> None:
    recorder = Recorder(card)
    reader = ResidentHealthCard(recorder, key_store().terminal_keys, min_protocol=1)
    reader.authenticate("RK1_DDF1")
    (photo,) = reader.read("DDF1/EF07")
    assert isinstance(photo.value, bytes) and len(photo.value) == 772
    reads = [exchange for exchange in recorder.commands if exchange.command[1] == 0xB0]
    assert sum(len(exchange.response) - 2 for exchange in reads) == 774
    (raw,) = reader.read_raw("DDF1/EF07")
    assert raw is not None and len(raw) == 3072
    assert raw[2:774] == photo.value and set(raw[774:]) == {0xFF}
    assert reader.read_binary("DDF1/EF07", 2, 2) == b"\xff\xd8"
    assert reader.read_binary("DDF1/EF07", 3070, 10) == b"\xff\xff"


def test_an_unwritten_security_object_is_unwritten(card: SoftwareCard) -> None:
    reader = terminal(card)
    reader.authenticate("RK1_DDF1")
    assert states(reader.read("DDF1/EF09")) == {State.UNWRITTEN}


# --- rights ---------------------------------------------------------------------------


def test_rights_are_kept_below_and_lost_beside(card: SoftwareCard) -> None:
    reader = terminal(card)
    reader.authenticate("RK1_DDF1")
    reader.authenticate("RK1_DF01")
    reader.authenticate("UK1_DF01")
    assert reader.rights == {"RK1_DDF1", "RK1_DF01", "UK1_DF01"}
    assert State.DENIED not in states(reader.read("DDF1/DF01/EF05"))
    reader.authenticate("RK1_DF02")
    assert reader.rights == {"RK1_DDF1", "RK1_DF02"}
    assert states(reader.read("DDF1/DF01/EF05")) == {State.DENIED}
    assert reader.rights == {"RK1_DDF1"}
    assert State.DENIED not in states(reader.read("DDF1/EF06"))
    reader.reset()
    assert reader.rights == frozenset()
    assert states(reader.read("DDF1/EF06")) == {State.DENIED}


@pytest.mark.parametrize("path", ["MF", "DDF1", "DDF1/DF02", "DDF1/DF02/EF05"])
def test_select_gives_the_fci(card: SoftwareCard, path: str) -> None:
    reader = terminal(card)
    reader.identify()
    assert reader.select(path)[0] == 0x6F


def test_what_is_selected_here_is_what_the_card_has_selected(card: SoftwareCard) -> None:
    reader = terminal(card)
    reader.identify()
    for path in ("DDF1/DF02/EF05", "DDF1/DF01", "MF", "DDF1", "DDF1/DF05"):
        reader.select(path)
        reader.authenticate("UK1_DF03")
        reader.authenticate("RK1_DDF1")
        reader.authenticate("BK_MF")


# --- writing --------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", Cipher)
def test_every_kind_of_file_is_updated_and_reads_back(cipher: Cipher) -> None:
    writer = terminal(personalized_card(cipher), cipher=cipher)
    for name in ("RK1_DF01", "UK1_DF01"):
        writer.authenticate(name)
    writer.update("DDF1/DF01/EF05", 2, {"address_1": "郑州市金水区" * 8})
    writer.update("DDF1/DF01/EF06", 3, {"contact_phone_1": "+86 371 1234"})
    assert texts(writer.read("DDF1/DF01/EF05")) == {"address_1": "郑州市金水区" * 8}
    assert texts(writer.read("DDF1/DF01/EF06")) == {"contact_phone_1": "+86 371 1234"}
    for name in ("RK1_DF05", "UK1_DF05"):
        writer.authenticate(name)
    fields = FILE_BY_PATH["DDF1/DF05/EF05"].fields
    name = next(field.name for field in fields if field.coding == "ans")
    writer.update("DDF1/DF05/EF05", 20, {name: "12"})
    found = [v for v in writer.read("DDF1/DF05/EF05") if v.value is not None]
    assert [(v.record, v.field.name, v.text) for v in found] == [(20, name, "12")]
    for name in ("RK1_DDF1", "UK1_DDF1"):
        writer.authenticate(name)
    picture = b"\xff\xd8" + bytes(3000) + b"\xff\xd9"
    writer.update("DDF1/EF07", 0, {"photo": picture})
    assert writer.read("DDF1/EF07")[0].value == picture


def test_appending_makes_record_one_and_drops_the_oldest(card: SoftwareCard) -> None:
    writer = terminal(card)
    for name in ("RK1_DF02", "UK3_DF02"):
        writer.authenticate(name)
    for allergen in ("虾", "花粉"):
        writer.append("DDF1/DF02/EF07", {"allergen": allergen})
    values = writer.read("DDF1/DF02/EF07")
    assert [v.text for v in values if v.field.name == "allergen"] == ["花粉", "虾", "青霉素"]


def test_every_change_uses_a_fresh_challenge_once(card: SoftwareCard) -> None:
    recorder = Recorder(card)
    writer = ResidentHealthCard(recorder, key_store().terminal_keys, min_protocol=1)
    for name in ("RK1_DF03", "UK1_DF03"):
        writer.authenticate(name)
    writer.write_binary("DDF1/DF03/EE01", 0, bytes(1000))
    writer.mark("DDF1/DF03/EF05", 1)
    commands = [exchange.command for exchange in recorder.commands]
    changes = [n for n, command in enumerate(commands) if command[1] in (0xD6, 0xD2)]
    assert len(changes) == 6
    assert all(commands[n][0] & 0x04 and commands[n - 1][1] == 0x84 for n in changes)
    challenges = {recorder.commands[n - 1].response for n in changes}
    assert len(challenges) == 6


def test_an_update_without_its_right_says_what_it_needs(card: SoftwareCard) -> None:
    writer = terminal(card)
    with pytest.raises(StatusWordError, match=r"UPDATE RECORD 1 in DDF1/DF02/EF05: 6982.*UK1_DF02"):
        writer.update("DDF1/DF02/EF05", 1, {"abo_blood_group": "1"})
    with pytest.raises(CardError, match=r"never changed after issue, so nothing was sent"):
        writer.update("DDF1/EF06", 1, {"name": "李四"})
    with pytest.raises(StatusWordError, match=r"6982.*UK2_DF03"):
        writer.erase_mark("DDF1/DF03/EF05", 1)


def test_a_card_that_is_not_activated_is_not_updated() -> None:
    writer = terminal(personalized_card(active=False))
    writer.authenticate("UK1_DF02")
    with pytest.raises(StatusWordError, match=r"6985.*not activated"):
        writer.update("DDF1/DF02/EF05", 1, {"abo_blood_group": "1"})


def test_the_bank_link_needs_the_holder(card: SoftwareCard) -> None:
    writer = terminal(card)
    field = next(f for f in FILE_BY_PATH["DDF1/DF04/EF05"].fields if f.coding == "ans")
    writer.authenticate("UK1_DF04")
    with pytest.raises(StatusWordError, match="UK1_DF04 and the holder's PIN"):
        writer.update("DDF1/DF04/EF05", field.record, {field.name: "12"})
    with pytest.raises(StatusWordError, match="63C2"):
        writer.verify_pin("000000")
    writer.verify_pin(PIN)
    writer.authenticate("UK1_DF04")
    writer.update("DDF1/DF04/EF05", field.record, {field.name: "12"})


def test_a_pin_that_is_none_spends_no_try(card: SoftwareCard) -> None:
    for pin in ("", "12345", "1234567", "12345a", "１２３４５６"):
        with pytest.raises(FormatError):
            terminal(card).verify_pin(pin)
    terminal(card).verify_pin(PIN)


def test_a_wrong_messaging_key_is_named(card: SoftwareCard) -> None:
    mixed = dict(new_roots(1).card)
    mixed["UK1_DF01"] = public_test_roots(1).card["UK1_DF01"]
    writer = terminal(card, keys=SoftwareKeySet(mixed, 1, Cipher.SM4))
    writer.authenticate("UK1_DF01")
    with pytest.raises(StatusWordError, match=r"6988.*STK_DF01"):
        writer.update("DDF1/DF01/EF05", 2, {"address_1": "x"})


@pytest.mark.parametrize(("path", "record", "values"), [
    ("DDF1/DF02/EF05", 0, {}), ("DDF1/DF02/EF05", 16, {}), ("DDF1/DF02/EF07", 1, {}),
    ("DDF1/DF02/EF05", 1, {"abo_blood_group": "44"}), ("DDF1/DF02/EF05", 1, {"rh": "1"}),
    ("DDF1/DF01/EF05", 2, {"address_1": "街" * 51}),
])  # fmt: skip
def test_what_cannot_be_stored_is_refused_before_the_card_is_asked(
    card: SoftwareCard, path: str, record: int, values: dict[str, str]
) -> None:
    recorder = Recorder(card)
    writer = ResidentHealthCard(recorder, key_store().terminal_keys, min_protocol=1)
    with pytest.raises(FormatError):
        writer.update(path, record, values)
    with pytest.raises(FormatError):
        writer.append("DDF1/DF02/EF05", {})
    with pytest.raises(FormatError):
        writer.write_binary("DDF1/EF07", 3000, bytes(100))
    assert recorder.commands == []


def test_a_transport_that_fails_is_said_as_it_is(card: SoftwareCard) -> None:
    def fail(command: bytes, reply: bytes) -> bytes:
        raise TransportError("card pulled out")

    with pytest.raises(TransportError, match="pulled out"):
        ResidentHealthCard(Tampering(card, fail), min_protocol=1).read("DDF1/EF05")
