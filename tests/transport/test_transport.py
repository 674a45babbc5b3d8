"""The ATR, the recorder and the player."""

import json
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.errors import CardError, FormatError, TransportError
from cardlib.exchange import Connection
from cardlib.transport import chip_serial, historical_bytes
from cardlib.transport.player import Player
from cardlib.transport.recorder import Recorded, Recorder, dump, load
from tests.cards.cards import blank_card

H = bytes.fromhex
ATR = H("3B9E968001" + "8073C1C2C3" + "58" + "5248430000000001" + "00")


class Answering:
    """A connection that answers every command with its own bytes and 9000, or not at all."""

    atr = ATR

    def __init__(self) -> None:
        self.broken = False

    def transmit(self, command: bytes) -> bytes:
        if self.broken:
            raise TransportError("card pulled out")
        return command[::-1] + b"\x90\x00"

    def reset(self) -> bytes:
        return self.atr


def test_the_chip_serial_is_found_by_its_tag() -> None:
    assert chip_serial(ATR) == H("5248430000000001")
    moved = H("3B1C96" + "80" + "3101" + "58" + "5248430000000001" + "00")
    assert chip_serial(moved) == H("5248430000000001")


@pytest.mark.parametrize(("atr", "expected"), [
    ("3B00", ""), ("3B021122", "1122"), ("3FF796000081131401020304050607", "01020304050607"),
    ("3B8280014142C2", "4142"), ("3BF21111118131FE454142", "4142"),
])  # fmt: skip
def test_historical_bytes_follow_the_interface_bytes(atr: str, expected: str) -> None:
    assert historical_bytes(H(atr)) == H(expected)


@pytest.mark.parametrize(
    "atr",
    ["", "3B", "3B05", "3B9E96", "3B80", "0000", "3B0A80585248430000", "3B0D0058" + "00" * 11],
)
def test_an_atr_without_a_serial_is_refused(atr: str) -> None:
    with pytest.raises(FormatError):
        chip_serial(H(atr))


@given(st.binary(max_size=40))
def test_no_atr_raises_anything_but_a_format_error(atr: bytes) -> None:
    with suppress(FormatError):
        assert len(chip_serial(atr)) == 8


def test_a_recorder_passes_on_and_notes() -> None:
    connection: Connection = Answering()
    recorder = Recorder(connection)
    assert recorder.transmit(H("00A40000")) == H("0000A4009000")
    assert recorder.reset() == recorder.atr == ATR
    assert recorder.exchanges == [
        Recorded(b"", ATR), Recorded(H("00A40000"), H("0000A4009000")), Recorded(b"", ATR),
    ]  # fmt: skip
    assert [exchange.command_length for exchange in recorder.commands] == [4]


def test_a_failed_command_is_not_noted() -> None:
    connection = Answering()
    recorder = Recorder(connection)
    connection.broken = True
    with pytest.raises(TransportError):
        recorder.transmit(H("00A40000"))
    assert recorder.commands == []


@pytest.mark.parametrize("header", ["84E28803", "80E20800", "84D8FF81", "80D80081", "00200000",
                                    "0C200000", "04240100", "842C0006", "00210000"])  # fmt: skip
def test_bodies_of_loads_keys_and_pins_are_never_noted(header: str) -> None:
    recorder = Recorder(Answering())
    command = H(header) + b"\x06secret"
    recorder.transmit(command)
    (noted,) = recorder.commands
    assert noted.command == command[:5] and noted.hidden == 6
    assert noted.command_length == len(command)


def test_an_append_record_is_no_store_data() -> None:
    recorder = Recorder(Answering())
    recorder.transmit(H("00E2000001AA"))
    assert recorder.commands[0].hidden == 0


def test_what_was_recorded_plays_back(tmp_path: Path) -> None:
    recorder = Recorder(Answering())
    commands = [H("00A40000"), H("84E2880306") + b"secret", H("00B0000000")]
    replies = [recorder.transmit(command) for command in commands]
    recorder.reset()
    recorder.save(tmp_path / "recording.jsonl")
    player = Player.open(tmp_path / "recording.jsonl")
    assert player.atr == ATR
    assert [player.transmit(command) for command in commands] == replies
    assert not player.finished
    assert player.reset() == ATR
    assert player.finished


def test_a_player_refuses_what_was_not_recorded() -> None:
    exchanges = [Recorded(H("00A40000"), H("9000"))]
    with pytest.raises(TransportError, match=r"expected command 00A40000.*got command 00A40001"):
        Player(exchanges).transmit(H("00A40001"))
    with pytest.raises(TransportError, match="got a reset"):
        Player(exchanges).reset()
    player = Player(exchanges)
    player.transmit(H("00A40000"))
    with pytest.raises(TransportError, match="has ended"):
        player.transmit(H("00A40000"))


exchanges = st.builds(
    Recorded,
    st.binary(min_size=1, max_size=300),
    st.binary(min_size=2, max_size=300),
    st.integers(0, 255),
)


@given(st.lists(exchanges, max_size=5))
def test_a_recording_survives_its_file_form(noted: list[Recorded]) -> None:
    assert load(dump(noted)) == noted


@pytest.mark.parametrize("text", [
    "{}", '{"format": "rhcard recording 9"}', "[]", "not json",
    '{"format": "rhcard recording 1"}\n{"command": "00"}',
    '{"format": "rhcard recording 1"}\n{"command": "0", "response": "9000"}',
    '{"format": "rhcard recording 1"}\n{"command": 1, "response": "9000"}',
    '{"format": "rhcard recording 1"}\nnull',
])  # fmt: skip
def test_what_is_no_recording_is_refused_by_line(text: str) -> None:
    with pytest.raises(FormatError, match="line"):
        load(text)


def test_only_its_owner_may_read_a_recording(tmp_path: Path) -> None:
    recorder = Recorder(blank_card())
    recorder.save(path := tmp_path / "recording.jsonl")
    assert S_IMODE(path.stat().st_mode) == 0o600
    assert load(path.read_text("ascii")) == recorder.exchanges


def test_the_file_form_is_json_lines() -> None:
    lines = dump([Recorded(b"", ATR), Recorded(H("84E2880306"), H("9000"), 6)]).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"format": "rhcard recording 1"},
        {"reset": ATR.hex().upper()},
        {"command": "84E2880306", "response": "9000", "hidden": 6},
    ]


def test_a_damaged_recording_is_a_card_error(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError):
        Player.open(path)
