"""The trace: one JSON line an APDU, with file, rule and reason; without secrets."""

import io
import json
from typing import Any

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.emulator import CardOptions, CardTiming, SoftwareCard, Trace
from cardlib.emulator.bench.ready_made import CHIP, PIN, personalized_card
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.messaging.scp03_channel import Scp03Channel
from tests.cards.cards import groupings, key_store
from tests.cards.cards import personalized_card as card_made_by_the_issuer

H = bytes.fromhex
SELECT_RECORDS, SELECT_PHOTO = "00A4080C04DDF1EF06", "00A4080C04DDF1EF07"
NAME = "王䶮".encode("gb18030").hex().upper()


class Traced:
    """A card that is traced, and its lines."""

    def __init__(
        self, protocol: int = 1, *, personal: bool = False, options: CardOptions | None = None
    ) -> None:
        roots = public_test_roots(protocol)
        self.card = personalized_card(roots, options=options)
        self.store = KeyStore(roots)
        self.out = io.StringIO()
        self.card.observers = (Trace(self.card, self.out, personal=personal),)

    @property
    def text(self) -> str:
        return self.out.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def line(self, command: str) -> dict[str, Any]:
        """The line of one command."""
        self.card.transmit(H(command))
        return self.lines[-1]

    def terminal(self, *keys: str) -> ResidentHealthCard:
        protocol = self.store.terminal_keys.protocol
        terminal = ResidentHealthCard(self.card, self.store.terminal_keys, min_protocol=protocol)
        for key in keys:
            terminal.authenticate(key)
        return terminal


def test_without_a_trace_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("the trace was called")

    monkeypatch.setattr(Trace, "saw", never)
    card = personalized_card(public_test_roots(1))
    assert card.observers == ()
    assert card.transmit(H(SELECT_RECORDS)) == H("9000")


def test_a_traced_card_answers_as_any_other() -> None:
    traced, plain = Traced(), personalized_card(public_test_roots(1))
    for command in (SELECT_RECORDS, "00B2010400", "00A40000", "00", "FFFFFFFF", "0020000006313233"):
        assert traced.card.transmit(H(command)) == plain.transmit(H(command))
    assert [line["n"] for line in traced.lines] == [1, 2, 3, 4, 5, 6]


def test_a_line_names_command_file_status_and_time() -> None:
    traced = Traced()
    line = traced.line(SELECT_RECORDS)
    assert line.pop("host_us") >= 0
    expected = CardTiming().exchange_ms(H(SELECT_RECORDS), H("9000"))
    assert line.pop("card_ms") == round(expected, 2)
    assert line == {
        "n": 1, "name": "SELECT", "channel": 0, "directory": "DDF1", "file": "DDF1/EF06",
        "header": "00A4080C", "command": "DDF1EF06", "response": "", "sw": "9000",
        "words": "normal processing", "page_writes": 0,
    }  # fmt: skip


def test_a_refusal_says_which_rule_of_which_file_and_what_would_satisfy_it() -> None:
    traced = Traced()
    traced.line(SELECT_RECORDS)
    line = traced.line("00B2010400")
    assert (line["name"], line["file"], line["record"]) == ("READ RECORD", "DDF1/EF06", 1)
    assert (line["sw"], line["rule"]) == ("6982", "read: RK1_DDF1")
    assert line["reason"] == "needs RK1_DDF1"
    line = traced.line("04DC010405FFFFFFFFFF")
    assert (line["sw"], line["rule"]) == ("6985", "update: never")
    assert line["reason"] == "no key allows this on this file"


@pytest.mark.parametrize(("path", "command", "rule"), [
    ("DDF1EF05", "00B2010400", "read: always"),
    ("DDF1DF02EF07", "00DC000301FF", "update: UK3_DF02"),
    ("DDF1DF04EF05", "00DC010401FF", "update: UK1_DF04 and PIN"),
    ("DDF1DF03EF05", "840C010400", "erase: UK2_DF03"),
    ("DDF1DF03EE01", "000E0000", "erase: never"),
    ("DDF1EF07", "00A000000155", "read: RK1_DDF1"),
    ("DDF1EF07", "00D0000001FF", "update: UK1_DDF1"),
])  # fmt: skip
def test_every_kind_of_command_names_its_rule(path: str, command: str, rule: str) -> None:
    traced = Traced()
    traced.line(f"00A4080C{len(path) // 2:02X}{path}")
    assert traced.line(command)["rule"] == rule


@pytest.mark.parametrize(("ins", "of_iso", "of_globalplatform"), [
    ("50", "INS 50", "INITIALIZE UPDATE"), ("84", "GET CHALLENGE", "INS 84"),
    ("A4", "SELECT", "INS A4"), ("B2", "READ RECORD", "INS B2"),
    ("CA", "GET DATA", "GET DATA"), ("CB", "GET DATA", "GET DATA"), ("D8", "INS D8", "PUT KEY"),
    ("DC", "UPDATE RECORD", "INS DC"), ("E2", "APPEND RECORD", "STORE DATA"),
    ("E4", "DELETE FILE", "DELETE"), ("E6", "TERMINATE DF", "INSTALL"),
    ("E8", "TERMINATE EF", "LOAD"), ("F0", "INS F0", "SET STATUS"), ("F2", "INS F2", "GET STATUS"),
])  # fmt: skip
def test_a_command_is_named_by_its_class_and_its_ins(
    ins: str, of_iso: str, of_globalplatform: str
) -> None:
    traced = Traced()
    for classes, name in (
        (("00", "03", "04", "0C"), of_iso),
        (("80", "84", "83"), of_globalplatform),
    ):
        for cla in classes:
            assert traced.line(f"{cla}{ins}000000")["name"] == name, cla


@pytest.mark.parametrize(
    "command", ["80E2880002AABB", "84E2880002AABB", "80B2010400", "80DC010400", "8088000000"]
)
def test_a_command_of_globalplatforms_class_is_not_about_the_selected_file(command: str) -> None:
    traced = Traced()
    traced.line(SELECT_RECORDS)
    assert traced.line(command).keys().isdisjoint({"file", "record", "key", "rule"})


def test_authentications_name_their_key() -> None:
    traced = Traced()
    traced.terminal("RK1_DF02").internal_authenticate()
    keys = {line["name"]: line["key"] for line in traced.lines if "key" in line}
    assert keys == {"EXTERNAL AUTHENTICATE": "RK1_DF02", "INTERNAL AUTHENTICATE": "IRK_DDF1"}


def test_what_a_file_holds_is_masked_unless_it_is_asked_for() -> None:
    for personal in (False, True):
        traced = Traced(personal=personal)
        traced.terminal("RK1_DDF1")
        traced.line(SELECT_RECORDS)
        line = traced.line("00B2010400")
        assert line["sw"] == "9000"
        assert (NAME in line["response"]) is personal
        assert (NAME in traced.text) is personal
        assert personal or line["response"] == "<32 bytes>"


@pytest.mark.parametrize("select", ["00A40000", SELECT_PHOTO, "00A4080C04DDF1EEEE"])
@pytest.mark.parametrize("ins", ["DC", "D2", "E2", "D6", "D7", "A2", "A0", "DA", "21", "25", "D3"])
def test_data_of_a_change_is_masked_wherever_it_is_sent(select: str, ins: str) -> None:
    traced = Traced()
    traced.line(select)
    traced.line(f"00{ins}010408C1C2C3C4C5C6C7C8")
    traced.line(f"04{ins}010408C1C2C3C4C5C6C7C8")
    assert "C1C2C3" not in traced.text
    assert traced.lines[-1]["command"] == "<8 bytes>"


@pytest.mark.parametrize("command", [
    "0020000006{pin}", "002400000C{pin}{pin}", "002C020006{pin}", "0020000106{pin}",
    "0021000006{pin}", "0420000006{pin}", "8420000006{pin}",
])  # fmt: skip
def test_a_pin_is_masked_unless_it_is_asked_for(command: str) -> None:
    digits = PIN.encode("ascii").hex().upper()
    traced = Traced()
    traced.line(command.format(pin=digits))
    assert digits not in traced.text


def test_a_reply_that_is_fetched_later_is_masked_too() -> None:
    traced = Traced()
    traced.terminal("RK1_DDF1")
    traced.line(SELECT_RECORDS)
    assert traced.line("00B20104")["sw"] == "6120"
    assert traced.line("00C0000020")["response"] == "<32 bytes>"


@pytest.mark.parametrize("personal", [False, True])
def test_bodies_of_store_data_and_put_key_are_never_there(personal: bool) -> None:
    store, out = key_store(), io.StringIO()
    card = SoftwareCard.blank(CHIP, store.blank_keys(CHIP))
    card.observers = (Trace(card, out, personal=personal),)
    sent: list[bytes] = []
    transmit = card.transmit

    def remember(raw: bytes) -> bytes:
        sent.append(raw)
        return transmit(raw)

    card.transmit = remember  # type: ignore[method-assign]
    from cardlib.issuance import personalize

    personalize(card, store.transport_keys(CHIP), store.issuer_keys(CHIP), groupings())
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    bodies = [raw[5:-1] for raw in sent if raw[1] in (0xD8, 0xE2)]
    assert len(bodies) > 10
    assert not any(body[:16].hex().upper() in out.getvalue() for body in bodies)
    names = {line["name"] for line in lines}
    assert {"STORE DATA", "PUT KEY"} <= names
    for line in lines:
        if line["name"] in ("STORE DATA", "PUT KEY"):
            assert line["command"].endswith(" bytes>") and line["plain"].endswith(" bytes>")


@pytest.mark.parametrize("command", [
    "80E208000A0101070123456789ABCD", "90E208000A0101070123456789ABCD",
    "80D8FF810A0101070123456789ABCD", "80E60800040123456789ABCD",
])  # fmt: skip
def test_bodies_of_loads_are_left_out_in_clear_chained_and_malformed(command: str) -> None:
    traced = Traced(personal=True)
    traced.line(command)
    assert "23456789" not in traced.text


def test_an_unknown_command_may_be_anything_and_is_masked() -> None:
    traced = Traced(personal=True)
    line = traced.line("80E3080008" + "0123456789ABCDEF")
    assert (line["name"], line["command"]) == ("INS E3", "<8 bytes>")


def test_what_is_no_apdu_is_a_line_without_bytes() -> None:
    traced = Traced(personal=True)
    for raw in ("", "00A4", "00A4000002DD"):
        line = traced.line(raw)
        assert (line["name"], line["sw"]) == ("malformed", "6700")
        assert set(line) == {
            "n", "name", "sw", "words", "reason", "page_writes", "host_us", "card_ms"
        }  # fmt: skip


@pytest.mark.parametrize("personal", [False, True])
def test_protected_commands_are_decoded(personal: bool) -> None:
    traced = Traced(2, personal=personal)
    terminal = traced.terminal("RK1_DDF1", "UK1_DDF1")
    terminal.read("DDF1/EF06")
    terminal.update("DDF1/EF08", 2, {"phone_1": "19900001111"})
    selects = [line for line in traced.lines if line["name"] == "SELECT" and "plain" in line]
    assert any(line.get("file") == "DDF1/EF06" for line in selects)
    assert all(line["header"][:2] == "0C" and line["plain"] for line in selects)
    update = next(line for line in traced.lines if line["name"] == "UPDATE RECORD")
    assert (update["file"], update["rule"]) == ("DDF1/EF08", "update: UK1_DDF1")
    assert update["page_writes"] >= 1
    number = b"19900001111".hex().upper()
    assert (number in update["plain"]) is personal


def test_scp03_commands_are_decoded() -> None:
    traced = Traced()
    channel = Scp03Channel.open(traced.card.transmit, traced.store.issuer_keys(CHIP), 0x33)
    channel.send(CommandAPDU(0x00, 0xA4, 0x08, 0x0C, H("DDF1EF06")))
    line = traced.lines[-1]
    assert (line["name"], line["plain"], line["file"]) == ("SELECT", "DDF1EF06", "DDF1/EF06")
    assert line["header"] == "04A4080C"


def test_public_data_objects_are_shown_and_stored_ones_masked() -> None:
    traced = Traced()
    assert CHIP.hex().upper() in traced.line("80CA9F7F00")["response"]
    channel = Scp03Channel.open(traced.card.transmit, traced.store.issuer_keys(CHIP), 0x03)
    channel.send(CommandAPDU(0x00, 0xDA, 0x5F, 0x50, b"personal"))
    channel.send(CommandAPDU(0x00, 0xCA, 0x5F, 0x50, b"", 256))
    assert b"personal".hex().upper() not in traced.text


def test_the_channel_is_the_one_in_the_class_byte() -> None:
    traced = Traced(options=CardOptions(logical_channels=4))
    traced.line("0070000001")
    assert traced.line("01A4080C02DDF1")["channel"] == 1
    further = traced.line("41A4080C02DDF1")
    assert (further["channel"], further["sw"]) == (5, "6881")
    assert "directory" not in further


def test_no_key_of_the_card_is_ever_in_a_trace() -> None:
    out = io.StringIO()
    card = card_made_by_the_issuer()
    card.observers = (Trace(card, out, personal=True),)
    store = key_store()
    terminal = ResidentHealthCard(card, store.terminal_keys, min_protocol=1)
    for name in ("RK1_DDF1", "UK1_DF02"):
        terminal.authenticate(name)
    terminal.update("DDF1/DF02/EF05", 3, {"asthma": "1"})
    from cardlib.layout import KEYS

    for spec in KEYS:
        key = card.state.card_key(spec)
        assert key is not None
        assert key.key.hex().upper() not in out.getvalue()
