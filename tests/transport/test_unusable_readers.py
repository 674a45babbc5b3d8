"""Answers of PC/SC that pcscd's virtual reader cannot be made to give: a stand-in gives them."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import smartcard.scard

from cardlib.errors import TransportError
from cardlib.transport import pcsc_service
from cardlib.transport.extended_length import control_code, in_properties
from cardlib.transport.pcsc import CardProtocol, CardWasReset, PcscConnection

H = bytes.fromhex
ATR = H("3B9E968001" + "807300C0C0" + "58" + "5248430000000001" + "00")
T1, RESET_BY_ANOTHER = 2, smartcard.scard.SCARD_W_RESET_CARD
GET_FEATURES = smartcard.scard.SCARD_CTL_CODE(3400)
PROPERTIES_CODE = 0x42330012
HAS_PROPERTIES = H("060442330006120442330012")
"""A driver's features: verify PIN (06), then properties (12), each with its code."""


@dataclass
class Scard:
    """The calls of smartcard.scard with the answers that a test wants; counts what is open."""

    active: int = T1
    after_reset: int = T1
    results: dict[str, int] = field(default_factory=dict)
    resets_by_others: int = 0
    controls: dict[int, bytes] = field(default_factory=dict)
    contexts: int = 0
    cards: int = 0
    interrupted: str = ""

    def _result(self, call: str) -> int:
        if self.interrupted == call:
            raise KeyboardInterrupt
        return self.results.get(call, 0)

    def SCardEstablishContext(self, _: int) -> tuple[int, int]:
        self.contexts += 1
        return 0, 7

    def SCardReleaseContext(self, _: int) -> int:
        self.contexts -= 1
        return 0

    def SCardGetStatusChange(self, *_: Any) -> tuple[int, list[tuple[str, int, list[int]]]]:
        return self._result("count"), [("a reader", 0x00010022, list(ATR))]

    def SCardConnect(self, *_: Any) -> tuple[int, int, int]:
        result = self._result("connect")
        self.cards += not result
        return result, 9, self.active

    def SCardReconnect(self, *_: Any) -> tuple[int, int]:
        return self._result("reconnect"), self.after_reset

    def SCardStatus(self, _: int) -> tuple[int, str, int, int, list[int]]:
        if self.resets_by_others:
            self.resets_by_others -= 1
            return RESET_BY_ANOTHER, "", 0, 0, []
        return self._result("status"), "a reader", 0, 0, list(ATR)

    def SCardTransmit(self, card: int, pci: int, command: list[int]) -> tuple[int, list[int]]:
        return self._result("transmit"), [pci, 0x90, 0x00]

    def SCardControl(self, card: int, code: int, data: list[int]) -> tuple[int, list[int]]:
        return (0, list(self.controls[code])) if code in self.controls else (1, [])

    def SCardDisconnect(self, *_: Any) -> int:
        self.cards -= 1
        return self._result("disconnect")

    def SCardGetErrorMessage(self, result: int) -> str:
        return f"result {result}"

    @property
    def left_open(self) -> tuple[int, int]:
        return self.contexts, self.cards


@pytest.fixture
def scard(monkeypatch: pytest.MonkeyPatch) -> Scard:
    stand_in = Scard()
    monkeypatch.setattr(pcsc_service, "calls", stand_in)
    return stand_in


def connected(protocol: CardProtocol = CardProtocol.ANY) -> PcscConnection:
    return PcscConnection("a reader", protocol)


UNUSABLE = [
    (0, "no transmission protocol"), (3, "does not say which transmission protocol"),
    (4, "raw, without T=0 or T=1"), (8, "T=15"), (16, "does not say"),
]  # fmt: skip


@pytest.mark.parametrize(("active", "words"), UNUSABLE)
def test_a_reader_without_t0_and_t1_is_told_and_released(
    scard: Scard, active: int, words: str
) -> None:
    scard.active = active
    with pytest.raises(TransportError, match=rf"^a reader: .*{words}.*\(PC/SC protocol {active}\)"):
        connected()
    assert scard.left_open == (0, 0)


@pytest.mark.parametrize(("active", "words"), UNUSABLE)
def test_a_reset_that_takes_the_protocol_away_closes_the_connection(
    scard: Scard, active: int, words: str
) -> None:
    connection = connected()
    scard.after_reset = active
    with pytest.raises(TransportError, match=words):
        connection.reset()
    assert scard.left_open == (0, 0)
    assert (connection.protocol, connection.atr) == (CardProtocol.T1, ATR)
    connection.close()
    assert scard.left_open == (0, 0)


@pytest.mark.parametrize(("active", "pci"), [
    (1, smartcard.scard.SCARD_PCI_T0), (2, smartcard.scard.SCARD_PCI_T1),
])  # fmt: skip
def test_commands_go_by_the_protocol_that_the_reader_chose(
    scard: Scard, active: int, pci: int
) -> None:
    connection = connected()
    scard.after_reset = active
    connection.reset()
    assert connection.protocol is CardProtocol(active)
    assert connection.transmit(b"\0\0\0\0")[0] == pci


@pytest.mark.parametrize("call", ["connect", "status"])
def test_a_connection_that_fails_leaves_nothing_open(scard: Scard, call: str) -> None:
    scard.results[call] = smartcard.scard.SCARD_W_UNPOWERED_CARD
    with pytest.raises(TransportError):
        connected()
    assert scard.left_open == (0, 0)


@pytest.mark.parametrize("call", ["count", "connect", "status"])
def test_an_interrupted_connection_leaves_nothing_open(scard: Scard, call: str) -> None:
    scard.interrupted = call
    with pytest.raises(KeyboardInterrupt):
        connected()
    assert scard.left_open == (0, 0)


def test_an_interrupted_close_still_releases_the_service(scard: Scard) -> None:
    connection = connected()
    scard.interrupted = "disconnect"
    with pytest.raises(KeyboardInterrupt):
        connection.close()
    assert scard.left_open == (0, 0)


def test_a_reset_that_another_program_disturbs_changes_nothing(scard: Scard) -> None:
    connection = connected()
    scard.after_reset, scard.results["status"] = 1, RESET_BY_ANOTHER
    with pytest.raises(CardWasReset):
        connection.reset()
    assert (connection.protocol, connection.atr) == (CardProtocol.T1, ATR)
    del scard.results["status"]
    connection.reset()
    assert connection.protocol is CardProtocol.T0
    connection.close()
    assert scard.left_open == (0, 0)


def test_resets_by_others_before_our_first_command_cost_nothing(scard: Scard) -> None:
    scard.resets_by_others, scard.after_reset = 2, 1
    connection = connected()
    assert (connection.protocol, connection.atr) == (CardProtocol.T0, ATR)
    scard.resets_by_others, scard.after_reset = 2, T1
    assert connection.reset() == ATR
    assert connection.protocol is CardProtocol.T1


def test_a_card_that_others_reset_without_an_end_is_told_and_released(scard: Scard) -> None:
    scard.resets_by_others = 1_000_000
    with pytest.raises(CardWasReset, match=r"^a reader: another program reset the card$"):
        connected()
    assert scard.left_open == (0, 0)


# --- what the reader says about extended length -------------------------------------------


@pytest.mark.parametrize(("properties", "carried"), [
    ("0A0400000100", True),  # 10000 (hex), little-endian: all of extended length
    ("0A0400000000", False),  # none
    ("0A0400080000", False),  # 2,048 bytes: too little for every command of a session
    ("0102FFFF" "0A0400000100" "0B02E604", True),  # among other properties
    ("0B02E604", None), ("", None), ("0A", None), ("0A04000001", None),
])  # fmt: skip
def test_the_readers_properties_tell_about_extended_length(
    scard: Scard, properties: str, carried: bool | None
) -> None:
    scard.controls = {GET_FEATURES: HAS_PROPERTIES, PROPERTIES_CODE: H(properties)}
    assert in_properties(H(properties)) is carried
    assert connected().extended_length is carried


@pytest.mark.parametrize("features", [b"", H("06044233000600"), H("120442"), H("120442330012")])
def test_a_reader_without_properties_does_not_tell(scard: Scard, features: bytes) -> None:
    scard.controls = {GET_FEATURES: features}
    assert connected().extended_length is None
    assert control_code(HAS_PROPERTIES) == PROPERTIES_CODE


def test_a_driver_that_knows_no_such_question_does_not_tell(scard: Scard) -> None:
    assert connected().extended_length is None


def test_t0_never_carries_extended_length(scard: Scard) -> None:
    scard.active = 1
    scard.controls = {GET_FEATURES: HAS_PROPERTIES, PROPERTIES_CODE: H("0A0400000100")}
    assert connected(CardProtocol.T0).extended_length is False
