"""What the one public driver of deployed cards sends, byte by byte, to the software card.

The sequences, their status words and lengths are in tests/vectors/field_driver.json. The SAM's
answers are calculated by tests/oracles/sam.py. A sequence with a profile is for such cards alone;
the others are for a card of the specification too, as is what needs `clear_updates`.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, RESIDENT, personalized_card
from cardlib.keys.roots import public_test_roots
from cardlib.layout import FILE_BY_PATH, KEYS
from cardlib.layout.card_profile import FIELD
from tests.oracles.sam import Sam
from tests.vectors import load

H = bytes.fromhex
VECTORS = load("field_driver")["sequences"]
ROOTS = public_test_roots(1)
CARDS = {
    "rhcard": CardOptions(),
    "clear updates": CardOptions(clear_updates=True),
    "field": CardOptions.of_profile(FIELD),
}
MADE_UP = re.compile(r"\{(\d+) bytes\}")
REST_OF_VISIT = b"\xff" * 254
"""The driver writes 1,639 bytes of an inpatient record: all but certificate and signature."""
VALID = "DDF1/DF03/EF05"


def cards_for(sequence: dict[str, Any]) -> list[str]:
    """The cards that a sequence is for: a field card takes them all."""
    return list(CARDS)[list(CARDS).index(sequence.get("profile", "rhcard")) :]


CASES = [
    pytest.param(sequence, card, id=f"{sequence['name']} - {card}")
    for sequence in VECTORS
    for card in cards_for(sequence)
]


class Driver:
    """The driver with its card and its SAM; `values` are what the placeholders stand for."""

    def __init__(self, options: CardOptions, *, chip_from_atr: bool) -> None:
        self.card = card_with_visit(options)
        self.sam = Sam({k.sam_key_id: ROOTS.card[k.name] for k in KEYS}, 1, b"\x12\x34\x56")
        self.sam.transmit(H("0020000003123456"))
        factor = self.card.reset()[5:13] if chip_from_atr else CHIP
        self.values = {"chip": factor, "region": b"99000000"}
        self.written: dict[str, bytes] = {}

    def run(self, steps: list[dict[str, Any]]) -> None:
        plain = next((s["note"] for s in steps if s.get("note", "").startswith("plain")), "")
        if plain:
            parts = plain.removeprefix("plain: ").split(" ‖ ")
            self.values["plain"] = b"".join(map(_meant, parts))
        for number, step in enumerate(steps):
            if step["to"] == "sam":
                self._ask_sam(step, steps[number + 1 :])
            elif step["send"] == "RESET":
                self.card.reset()
            else:
                self._ask_card(step)

    def _ask_card(self, step: dict[str, Any]) -> None:
        sent = self._filled(step["send"])
        response = self.card.transmit(sent)
        data, sw = response[:-2], response[-2:].hex().upper()
        assert sw == step["sw"], (step, self.card.last_refusal)
        if "length" in step:
            assert len(data) == step["length"], step
        if sent[1] == 0x84:
            self.values[step["note"]] = data

    def _ask_sam(self, step: dict[str, Any], following: list[dict[str, Any]]) -> None:
        if step["send"] == "80FA0000..":
            plain = padded(bytes((len(self.values["plain"]),)) + self.values["plain"])
            self.values["E"] = self._from_sam("80FA0000", plain)
        elif step["send"] == "80FA0500..":
            header = H(next(s for s in following if s["to"] == "card")["send"].split("{")[0])
            message = bytes(16) + padded(header + self.values["E"])
            self.values["M"] = self._from_sam("80FA0500", message)
        else:
            sent = self._filled(step["send"])
            response = self.sam.transmit(sent)
            if sent[:2] == b"\x80\xfa":
                whole = self.sam.transmit(b"\x00\xc0\x00\x00" + response[1:])[:-2]
                self.values["X"] = bytes(a ^ b for a, b in zip(whole[:8], whole[8:], strict=True))
            else:
                assert response == b"\x90\x00", step

    def _from_sam(self, header: str, data: bytes) -> bytes:
        response = self.sam.transmit(H(header) + bytes((len(data),)) + data)
        assert response[0] == 0x61
        return self.sam.transmit(b"\x00\xc0\x00\x00" + response[1:])[:-2]

    def _filled(self, template: str) -> bytes:
        """A command with the values in the place of its placeholders."""
        made_up = MADE_UP.sub(lambda found: _text(int(found[1])).hex(), template)
        return H(re.sub(r"\{(\w+)\}", lambda found: self.values[found[1]].hex(), made_up))

    def stored(self, path: str, record: int = 1) -> bytes:
        """What is now in a file: read by the driver's own steps."""
        reading = {
            "DDF1/EF06": ("0082000411", "80DE4731"), "DDF1/EF08": ("0082000411", "80DE4731"),
            "DDF1/DF02/EF05": ("0082008411", "80DE4733"),
            "DDF1/DF02/EF07": ("0082008411", "80DE4733"),
            "DDF1/DF03/EF05": ("0082008411", "80DE4734"),
            "DDF1/DF03/EE01": ("0082008411", "80DE4734"),
        }  # fmt: skip
        authenticate, diversify = reading[path]
        steps = [{"to": "card", "send": f"00A4000002{fid}", "sw": "9000", "length": 0}
                 for fid in path.split("/")]  # fmt: skip
        steps += [
            {"to": "card", "send": "0084000008", "sw": "9000", "note": "R"},
            {"to": "sam", "send": diversify + "18{chip}{region}{R}"},
            {"to": "sam", "send": "80FA00001011223344556677880000000000000000"},
            {"to": "card", "send": authenticate + "{X}112233445566778801", "sw": "9000"},
        ]
        self.run(steps)
        if FILE_BY_PATH[path].records > 1:
            return self.card.transmit(H(f"00B2{record:02X}0400"))[:-2]
        size, found = FILE_BY_PATH[path].size, b""
        for offset in range(0, size, 0x80):
            block = min(0x80, size - offset)
            found += self.card.transmit(H(f"00B0{offset:04X}{block:02X}"))[:-2]
        return found


def _text(size: int) -> bytes:
    return bytes(0x41 + position % 26 for position in range(size))


def _meant(words: str) -> bytes:
    """What a note says: bytes in hex, or so many bytes."""
    count, unit, _ = words.partition(" bytes")
    return H(words) if not unit else _text(int(count))


def padded(data: bytes) -> bytes:
    """80 and as many 00 as fill a block."""
    data += b"\x80"
    return data + bytes(-len(data) % 16)


def card_with_visit(options: CardOptions) -> SoftwareCard:
    """The made-up resident's card with a visit in slot 1, and another Rh than the driver writes."""
    records = {
        **RESIDENT,
        "DDF1/DF02/EF05": ({"abo_blood_group": "4"}, {"rh_blood_group": "1"}),
        VALID: ({"inpatient_record_valid": "0"},),
    }
    return personalized_card(ROOTS, records=records, options=options)


@pytest.mark.parametrize(("sequence", "card"), CASES)
def test_a_sequence_of_the_driver_is_answered_as_it_expects(
    sequence: dict[str, Any], card: str
) -> None:
    Driver(CARDS[card], chip_from_atr=card == "field").run(sequence["steps"])


def test_the_driver_finds_the_chip_and_the_region_itself() -> None:
    """Its first sequence: the factor is in the ATR, the region in record 39."""
    driver = Driver(CARDS["field"], chip_from_atr=True)
    driver.run(VECTORS[0]["steps"])
    city = driver.card.transmit(H("00B2390005"))[2:-2]
    assert driver.values["chip"] == CHIP
    assert city.hex()[:2].encode() + b"000000" == driver.values["region"]


def changes() -> Iterator[tuple[str, str, int, bytes]]:
    yield "update of a record, blood group", "DDF1/DF02/EF05", 1, H("290101")
    yield "update of Rh, written as two digits", "DDF1/DF02/EF05", 2, H("2A0102")
    yield "allergy appended in clear", "DDF1/DF02/EF07", 1, _text(120)
    yield (
        "allergy appended, protected (the form in the driver's comments)",
        "DDF1/DF02/EF07", 1, _text(120),
    )  # fmt: skip
    yield "inpatient record", "DDF1/DF03/EE01", 1, _text(128) * 12 + _text(103)
    yield "erase a mark in clear", VALID, 1, b"\xff"
    yield "holder's name changed after issue", "DDF1/EF06", 1, H("0B1E") + _text(30)
    yield "phone changed", "DDF1/EF08", 2, H("1014") + _text(20)


@pytest.mark.parametrize(("name", "path", "record", "expected"), list(changes()))
def test_what_the_driver_writes_is_what_is_read(
    name: str, path: str, record: int, expected: bytes
) -> None:
    sequence = next(each for each in VECTORS if each["name"] == name)
    for card in cards_for(sequence):
        driver = Driver(CARDS[card], chip_from_atr=card == "field")
        assert driver.stored(path, record) != expected
        driver.run(sequence["steps"])
        assert driver.stored(path, record).removesuffix(REST_OF_VISIT) == expected


@pytest.mark.parametrize("name", [
    "allergy appended in clear", "inpatient record", "erase a mark in clear",
    "holder's name changed after issue",
])  # fmt: skip
def test_a_card_of_the_specification_refuses_what_only_another_profile_takes(name: str) -> None:
    sequence = next(each for each in VECTORS if each["name"] == name)
    driver = Driver(CARDS["rhcard"], chip_from_atr=False)
    with pytest.raises(AssertionError, match="'69"):
        driver.run(sequence["steps"])


def test_every_sequence_for_a_profile_alone_is_named_in_a_test() -> None:
    alone = [sequence["name"] for sequence in VECTORS if "profile" in sequence]
    assert alone == [
        VECTORS[0]["name"], "allergy appended in clear", "inpatient record",
        "erase a mark in clear", "holder's name changed after issue", "SAM PIN",
    ]  # fmt: skip
    assert card_with_visit(CARDS["rhcard"]).atr[5:13] != CHIP


def test_the_sam_takes_three_bytes_as_pin_and_does_nothing_before() -> None:
    sam = Sam({}, 1, b"\x12\x34\x56")
    assert sam.transmit(H("80DE473118") + bytes(24)) == H("6982")
    answers = [sam.transmit(H(step["send"])) for step in VECTORS[-1]["steps"]]
    assert answers == [H("9000"), H("9000")]
    assert sam.transmit(H("0020000003123457")) == H("63C2")
