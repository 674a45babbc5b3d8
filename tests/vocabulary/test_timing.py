"""Times of a real card, computed by hand from ISO/IEC 7816-3:2006."""

import pytest

from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.timing import CardTiming
from cardlib.tlv import iter_compact

# Fi 512, Di 32 at 4 MHz: 1 etu = 16 clock cycles = 4 µs; a character of 12 etu takes 48 µs.
ETU, CHARACTER = 0.004, 0.048
WIRE = CardTiming(command_ms=0.0)
T0 = CardTiming(protocol=0, command_ms=0.0)
SELECT = bytes.fromhex("00A4000002DDF1")
READ = bytes.fromhex("00B0000000")


def close(milliseconds: float) -> object:
    return pytest.approx(milliseconds, abs=1e-9)


@pytest.mark.parametrize(("ta1", "clock", "etu"), [
    (0x11, 3_720_000, 0.1),  # 372 / 1 / 3.72 MHz
    (0x96, 4_000_000, 0.004),  # 512 / 32 / 4 MHz
    (0x18, 3_720_000, 0.1 / 12),
    (0x95, 5_000_000, 0.0064),  # 512 / 16 / 5 MHz
])  # fmt: skip
def test_an_etu_is_fi_over_di_clock_cycles(ta1: int, clock: int, etu: float) -> None:
    assert CardTiming(ta1=ta1, clock_hz=clock).etu_ms == close(etu)


def test_the_model_is_set_to_the_speed_that_the_atr_says() -> None:
    card = SoftwareCard.blank(bytes(8), (bytes(16), bytes(16), bytes(16)), options=CardOptions())
    atr = card.atr
    assert atr[1] >> 4 == 0x9, "TA1 and TD1, no TC1: no extra guard time"
    assert atr[2] == CardTiming().ta1
    assert [tlv.tag for tlv in iter_compact(atr[6:-1])] == [0x47, 0x45]


# T=0, 10.3.2: case 1 is a header of 5 and two status bytes; data comes after one procedure byte.


def test_t0_case_1() -> None:
    assert T0.exchange_ms(bytes.fromhex("80440000"), bytes(2)) == close((5 + 2) * CHARACTER)


def test_t0_case_2_reads_256_bytes() -> None:
    assert T0.exchange_ms(READ, bytes(258)) == close((5 + 1 + 256 + 2) * CHARACTER)


def test_t0_case_2_refused_has_no_procedure_byte() -> None:
    assert T0.exchange_ms(READ, bytes(2)) == close((5 + 2) * CHARACTER)


def test_t0_case_3() -> None:
    assert T0.exchange_ms(SELECT, bytes(2)) == close((5 + 1 + 2 + 2) * CHARACTER)


def test_t0_case_4_is_case_3_answered_61xx_and_get_response() -> None:
    command, fetched = 5 + 1 + 2 + 2, 5 + 1 + 20 + 2
    assert T0.exchange_ms(SELECT + b"\0", bytes(22)) == close((command + fetched) * CHARACTER)


def test_t0_sends_extended_length_in_envelopes_and_fetches_by_256() -> None:
    raw = bytes.fromhex("00D6000000012C") + bytes(300) + b"\0\0"
    envelopes = (5 + 1 + 255 + 2) + (5 + 1 + 54 + 2)
    fetched = (5 + 1 + 256 + 2) + (5 + 1 + 44 + 2)
    assert len(raw) == 255 + 54
    assert T0.exchange_ms(raw, bytes(302)) == close((envelopes + fetched) * CHARACTER)


# T=1, 11.3: NAD PCB LEN and LRC around each block; 22 etu from its last character to the next
# block's first in the other direction, 10 more than a character takes.


def test_t1_sends_a_command_and_its_response_as_a_block_each() -> None:
    command, response = (7 + 4) * 12 + 10, (2 + 4) * 12 + 10
    assert WIRE.exchange_ms(SELECT, bytes(2)) == close((command + response) * ETU)


def test_t1_chains_what_is_longer_than_a_block_and_each_but_the_last_is_acknowledged() -> None:
    command = (5 + 4) * 12 + 10
    response = (254 + 4 + 4 + 4 + 4) * 12 + 3 * 10  # 254 bytes, R-block, 4 bytes
    assert WIRE.exchange_ms(READ, bytes(258)) == close((command + response) * ETU)


def test_t1_blocks_are_as_long_as_the_ifs() -> None:
    small = CardTiming(ifs=32, command_ms=0.0)
    command = (5 + 4) * 12 + 10
    response = (66 + 5 * 4) * 12 + 5 * 10  # 32 and 32 and 2 bytes, two R-blocks
    assert small.exchange_ms(READ, bytes(66)) == close((command + response) * ETU)


def test_each_programmed_page_and_each_command_take_their_time() -> None:
    timing = CardTiming(page_write_ms=5.0, command_ms=3.0)
    wire = WIRE.exchange_ms(SELECT, bytes(2))
    assert timing.exchange_ms(SELECT, bytes(2)) == close(wire + 3.0)
    assert timing.exchange_ms(SELECT, bytes(2), page_writes=4) == close(wire + 3.0 + 20.0)


@pytest.mark.parametrize("wrong", [{"protocol": 2}, {"ta1": 0x76}, {"ta1": 0xE1}, {"ta1": 0x90}])
def test_protocols_and_speeds_that_are_not_defined_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"no protocol|reserved"):
        CardTiming(**wrong)
