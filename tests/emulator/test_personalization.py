"""STORE DATA: what a load may be, when it is refused, and what the card is after it."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.apdu import CommandAPDU
from cardlib.crypto import Cipher, key_check_value
from cardlib.emulator import LifeCycle, SoftwareCard
from cardlib.emulator.chip.refusal import PowerCut
from cardlib.emulator.filesystem.record_slots import count, read
from cardlib.emulator.filesystem.tree import PROFILE, ElementaryFile
from cardlib.emulator.profile.card_state import KEY_TRIES, NODE_STATES, StoredPin
from cardlib.layout import FILE_BY_PATH, KEYS, dgi_of_key, dgi_of_record, encode_record
from cardlib.layout.records import MANDATORY_DGIS
from cardlib.tlv import dgi
from tests.oracles.scp03 import Keys, Terminal, encrypt

H = bytes.fromhex
CHIP = H("0102030405060708")
KEYS_OF_ISSUER: Keys = (b"E" * 16, b"M" * 16, b"D" * 16)
DEK = KEYS_OF_ISSUER[2]
PIN_BLOCK = H("26123456FFFFFFFF")
ISSUER_FILE = FILE_BY_PATH["DDF1/EF05"]
PHOTO = FILE_BY_PATH["DDF1/EF07"]
ALLERGIES = FILE_BY_PATH["DDF1/DF02/EF07"]
LINKS = FILE_BY_PATH["DDF1/DF05/EF05"]
EMERGENCY = FILE_BY_PATH["DDF1/DF02/EF05"]
Groupings = dict[int, bytes]


def card_key(number: int) -> bytes:
    return random.Random(number).randbytes(16)


def key_grouping(key: bytes, version: int = 1, cipher: Cipher = Cipher.SM4) -> bytes:
    head = bytes((version, cipher))
    return head + encrypt(DEK, bytes(16), key) + key_check_value(cipher, key)


def pin_grouping(block: bytes) -> bytes:
    return encrypt(DEK, bytes(16), block + b"\x80" + bytes(7))


def mandatory(spec_version: str = "1.0", city_code: str = "410100") -> Groupings:
    """The least that makes a card."""
    values = {"spec_version": spec_version, "city_code": city_code}
    found = {}
    for record in range(1, ISSUER_FILE.records + 1):
        own = {f.name: values[f.name] for f in ISSUER_FILE.fields_of(record) if f.name in values}
        found[dgi_of_record(ISSUER_FILE, record)] = encode_record(ISSUER_FILE, record, own)
    for number, spec in enumerate(KEYS):
        found[dgi_of_key(spec)] = key_grouping(card_key(number))
    return found | {0x8010: pin_grouping(PIN_BLOCK), 0x9010: H("0303")}


def stream(groupings: Groupings) -> bytes:
    return b"".join(dgi(number, value) for number, value in groupings.items())


def blank() -> SoftwareCard:
    """A blank with the issuer's keys as version 01."""
    card = SoftwareCard.blank(CHIP, KEYS_OF_ISSUER, seed=1)
    keys = card.state.key_sets[0xFF]
    card.state.key_sets = {1: type(keys)(1, keys.enc, keys.mac, keys.dek, keys.tries)}
    card.memory.commit()
    return card


@pytest.fixture
def card() -> Iterator[SoftwareCard]:
    made = blank()
    yield made
    made.close()


def terminal(card: SoftwareCard, level: int = 0x33) -> Terminal:
    return Terminal.open(card.transmit, KEYS_OF_ISSUER, level)


def store(session: Terminal, data: bytes, block: int = 239) -> str:
    """Send a load in blocks of a size; the first answer that is not 9000, or 9000."""
    parts = [data[start : start + block] for start in range(0, len(data), block)] or [b""]
    for number, part in enumerate(parts):
        p1 = 0x88 if number == len(parts) - 1 else 0x08
        answer = session.send(CommandAPDU(0x80, 0xE2, p1, number, part))
        if answer != "9000":
            return answer
    return "9000"


def file(path: str) -> ElementaryFile:
    node = PROFILE[path]
    assert isinstance(node, ElementaryFile)
    return node


def records_of(card: SoftwareCard, path: str) -> list[bytes]:
    node = file(path)
    return [read(card.memory, node, n) for n in range(1, count(card.memory, node) + 1)]


def content(card: SoftwareCard, path: str) -> bytes:
    return card.memory.read(file(path).address, file(path).size)


# A whole load


@pytest.mark.parametrize("level", [0x03, 0x13, 0x33])
def test_a_load_makes_a_personalized_card(card: SoftwareCard, level: int) -> None:
    assert store(terminal(card, level), stream(mandatory())) == "9000"
    state = card.state
    assert state.life_cycle == LifeCycle.PERSONALIZED
    assert state.profile == (0x10, Cipher.SM4, 1, b"41000000")
    assert state.pin == StoredPin(PIN_BLOCK, 3, 3)
    assert card.memory.read(NODE_STATES, len(PROFILE)) == b"\x05" * 32
    for number, spec in enumerate(KEYS):
        stored = state.card_key(spec)
        assert stored is not None
        assert (stored.key, stored.version, stored.cipher) == (card_key(number), 1, Cipher.SM4)
        assert stored.tries == KEY_TRIES


def test_everything_is_in_the_memory_once_the_last_block_is_answered(card: SoftwareCard) -> None:
    assert store(terminal(card), stream(mandatory())) == "9000"
    card.reset()
    assert card.state.life_cycle == LifeCycle.PERSONALIZED
    assert card.transmit(H("00A4040005F05248430100")).hex().startswith("6f")


def test_spec_cipher_version_and_region_become_the_profile(card: SoftwareCard) -> None:
    load = mandatory("2.0", "330100")
    for number, spec in enumerate(KEYS):
        load[dgi_of_key(spec)] = key_grouping(card_key(number), 7, Cipher.AES)
    assert store(terminal(card), stream(load)) == "9000"
    assert card.state.profile == (0x20, Cipher.AES, 7, b"33000000")


def test_records_read_as_they_were_loaded(card: SoftwareCard) -> None:
    load = mandatory()
    wanted = {}
    for record in (1, 4, EMERGENCY.records):
        raw = encode_record(EMERGENCY, record, {})
        wanted[record] = raw[:2] + bytes((record,)) * (len(raw) - 2)
        load[dgi_of_record(EMERGENCY, record)] = wanted[record]
    assert store(terminal(card), stream(load)) == "9000"
    found = records_of(card, EMERGENCY.path)
    for record, raw in enumerate(found, 1):
        assert raw == wanted.get(record, encode_record(EMERGENCY, record, {}))
    for record in range(1, 11):
        expected = load[dgi_of_record(ISSUER_FILE, record)]
        assert records_of(card, ISSUER_FILE.path)[record - 1] == expected


def test_a_transparent_file_may_come_in_part_the_rest_is_ff(card: SoftwareCard) -> None:
    load = mandatory() | {dgi_of_record(PHOTO, 0): b"photo" * 300}
    assert store(terminal(card), stream(load)) == "9000"
    assert content(card, PHOTO.path) == b"photo" * 300 + b"\xff" * (PHOTO.size - 1500)


def test_linear_fixed_records_keep_their_number(card: SoftwareCard) -> None:
    size = LINKS.record_length(1)
    load = mandatory() | {dgi_of_record(LINKS, n): bytes((n,)) * size for n in (2, 20)}
    assert store(terminal(card), stream(load)) == "9000"
    found = records_of(card, LINKS.path)
    assert found[1] == b"\2" * size
    assert found[19] == b"\x14" * size
    assert found[0] == b"\xff" * size


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (3, 1, 2), (1,)])
def test_record_1_of_a_cyclic_file_is_the_newest(
    card: SoftwareCard, order: tuple[int, ...]
) -> None:
    size = ALLERGIES.record_length(1)
    load = mandatory() | {dgi_of_record(ALLERGIES, n): bytes((n,)) * size for n in order}
    assert store(terminal(card), stream(load)) == "9000"
    expected = [bytes((n,)) * size for n in sorted(order)]
    assert records_of(card, ALLERGIES.path) == expected
    head = card.memory.read(file(ALLERGIES.path).address, 2)
    assert head == bytes((len(order), len(order) - 1))


def test_files_not_loaded_are_empty(card: SoftwareCard) -> None:
    assert store(terminal(card), stream(mandatory())) == "9000"
    assert records_of(card, ALLERGIES.path) == []
    assert content(card, PHOTO.path) == b"\xff" * PHOTO.size


def test_a_full_card_can_be_loaded(card: SoftwareCard) -> None:
    load = mandatory()
    for spec in FILE_BY_PATH.values():
        if spec.path == ISSUER_FILE.path:
            continue
        for record in range(1, spec.records + 1):
            number = dgi_of_record(spec, record)
            prefix = encode_record(spec, record, {})[:2] if spec.is_tlv else b""
            size = spec.record_length(record) - len(prefix)
            load[number] = prefix + random.Random(number).randbytes(size)
    assert store(terminal(card), stream(load)) == "9000"
    for spec in FILE_BY_PATH.values():
        assert count(card.memory, file(spec.path)) in (0, spec.records)
    assert records_of(card, ALLERGIES.path)[2] == load[dgi_of_record(ALLERGIES, 3)]
    assert content(card, "DDF1/DF03/ED05") == load[0x1600]


@settings(max_examples=15, deadline=None)
@given(block=st.integers(9, 239), level=st.sampled_from([0x03, 0x33]), seed=st.integers())
def test_groupings_span_blocks_in_any_way_and_order(block: int, level: int, seed: int) -> None:
    card = blank()
    load = mandatory() | {dgi_of_record(PHOTO, 0): random.Random(seed).randbytes(400)}
    shuffled = list(load.items())
    random.Random(seed).shuffle(shuffled)
    assert store(terminal(card, level), stream(dict(shuffled)), block) == "9000"
    assert content(card, PHOTO.path)[:400] == load[dgi_of_record(PHOTO, 0)]


def test_empty_blocks_and_one_byte_blocks_are_blocks_too(card: SoftwareCard) -> None:
    session, data = terminal(card), stream(mandatory())
    parts = [b"", data[:1], b"", data[1:2], data[2:3], data[3:4], b""]
    parts += [data[start : start + 239] for start in range(4, len(data), 239)]
    for number, part in enumerate(parts):
        p1 = 0x88 if number == len(parts) - 1 else 0x08
        assert session.send(CommandAPDU(0x80, 0xE2, p1, number, part)) == "9000"
    assert card.state.life_cycle == LifeCycle.PERSONALIZED


def test_a_last_block_may_be_empty(card: SoftwareCard) -> None:
    session, data = terminal(card), stream(mandatory())
    blocks = [data[start : start + 200] for start in range(0, len(data), 200)]
    for number, part in enumerate(blocks):
        assert session.send(CommandAPDU(0x80, 0xE2, 0x08, number, part)) == "9000"
    assert session.send(CommandAPDU(0x80, 0xE2, 0x88, len(blocks))) == "9000"


def test_a_load_and_its_activation_in_one_session(card: SoftwareCard) -> None:
    session = terminal(card)
    assert store(session, stream(mandatory())) == "9000"
    assert session.send("80440000") == "9000"
    assert card.state.life_cycle == LifeCycle.ACTIVE


# What is refused


def refused_load(card: SoftwareCard, load: bytes, sw: str, block: int = 239) -> None:
    """The load is refused, nothing of it stays, and a good one goes through after it."""
    before = card.memory.pages
    session = terminal(card)
    assert store(session, load, block) == sw
    assert card.state.life_cycle == LifeCycle.BLANK
    after = card.memory.pages
    assert {n: p for n, p in before.items() if n} == {n: p for n, p in after.items() if n}
    assert store(session, stream(mandatory())) == "9000"


def test_store_data_needs_c_enc(card: SoftwareCard) -> None:
    assert card.transmit(H("80E2880000")).hex() == "6982"
    for level in (0x01, 0x11):
        assert store(terminal(card, level), stream(mandatory())) == "6982"


@pytest.mark.parametrize("missing", sorted(MANDATORY_DGIS), ids=lambda number: f"{number:04X}")
def test_every_mandatory_grouping_is_needed(missing: int) -> None:
    load = mandatory()
    del load[missing]
    refused_load(blank(), stream(load), "6985")


def test_an_empty_load_lacks_everything(card: SoftwareCard) -> None:
    refused_load(card, b"", "6985")


def test_a_grouping_twice_is_refused(card: SoftwareCard) -> None:
    load = stream(mandatory())
    refused_load(card, load + dgi(0x9010, H("0303")), "6a80")


@pytest.mark.parametrize(
    "number", [0x0000, 0x0100, 0x010B, 0x0301, 0x1700 + 1, 0x1A00, 0x1A01, 0x8100, 0x811F, 0x8011,
               0x9011, 0xFFFF, 0x0B04],
)  # fmt: skip
def test_an_unknown_grouping_is_refused(number: int) -> None:
    refused_load(blank(), stream(mandatory()) + dgi(number, bytes(20)), "6a88")


def wrong_values() -> dict[str, tuple[int, bytes]]:
    key = dgi_of_key(KEYS[5])
    good = key_grouping(card_key(5))
    spec, city = dgi_of_record(ISSUER_FILE, 2), dgi_of_record(ISSUER_FILE, 10)
    link = dgi_of_record(LINKS, 1)
    return {
        "check value": (key, good[:-1] + bytes((good[-1] ^ 1,))),
        "key bytes": (key, good[:2] + bytes((good[2] ^ 1,)) + good[3:]),
        "check value of the other cipher": (
            key, good[:-3] + key_check_value(Cipher.AES, card_key(5))),
        "short key": (key, good[:-1]),
        "long key": (key, good + b"\0"),
        "key version 0": (key, b"\0" + good[1:]),
        "key version 8": (key, b"\x08" + good[1:]),
        "cipher 3": (key, good[:1] + b"\3" + good[2:]),
        "other key version": (key, key_grouping(card_key(5), 2)),
        "other cipher": (key, key_grouping(card_key(5), 1, Cipher.AES)),
        "PIN too short": (0x8010, b"\0" * 8),
        "PIN too long": (0x8010, pin_grouping(PIN_BLOCK) + bytes(16)),
        "PIN of 5 digits": (0x8010, pin_grouping(H("2512345FFFFFFFFF"))),
        "PIN not decimal": (0x8010, pin_grouping(H("2612345AFFFFFFFF"))),
        "PIN wrong filler": (0x8010, pin_grouping(H("26123456FFFFFFF0"))),
        "PIN wrong padding": (0x8010, encrypt(DEK, bytes(16), PIN_BLOCK + bytes(8))),
        "PIN under another key": (0x8010, encrypt(b"X" * 16, bytes(16), PIN_BLOCK + bytes(8))),
        "no tries": (0x9010, H("0300")),
        "more tries than the limit": (0x9010, H("0304")),
        "limit 16": (0x9010, H("1003")),
        "one byte of tries": (0x9010, H("03")),
        "record too short": (spec, H("0204") + b"1.0"),
        "record too long": (spec, H("0204") + b"1.0\0\0"),
        "record of another tag": (spec, H("0304") + b"1.0\0"),
        "record of another length": (spec, H("0203") + b"1.0\0"),
        "record without tag and length": (spec, b"1.0\0"),
        "spec version": (spec, H("0204") + b"3.0\0"),
        "no spec version": (spec, H("0204FFFFFFFF")),
        "no city": (city, H("3903FFFFFF")),
        "city not decimal": (city, H("39034A0000")),
        "photo too long": (0x0300, bytes(PHOTO.size + 1)),
        "photo empty": (0x0300, b""),
        "fixed record too short": (link, bytes(LINKS.record_length(1) - 1)),
        "gap in a cyclic file": (dgi_of_record(ALLERGIES, 2), bytes(ALLERGIES.record_length(1))),
    }  # fmt: skip


@pytest.mark.parametrize("name", wrong_values())
def test_a_wrong_grouping_is_refused_and_drops_the_load(name: str) -> None:
    number, value = wrong_values()[name]
    refused_load(blank(), stream(mandatory() | {number: value}), "6a80")


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 20])
def test_a_last_grouping_cut_off_is_refused(card: SoftwareCard, cut: int) -> None:
    load = stream(mandatory() | {0x0300: bytes(300)})
    refused_load(card, load[:-cut], "6a80")


@pytest.mark.parametrize("tail", ["03", "0300", "0300FF", "0300FF01", "0300FF012C"])
def test_a_head_without_a_value_is_cut_off(card: SoftwareCard, tail: str) -> None:
    refused_load(card, stream(mandatory()) + H(tail), "6a80")


@pytest.mark.parametrize("block", [1, 2, 0x80, 0xFF])
def test_a_load_begins_with_block_00(card: SoftwareCard, block: int) -> None:
    session = terminal(card)
    assert session.send(CommandAPDU(0x80, 0xE2, 0x08, block, b"\0")) == "6a86"


@pytest.mark.parametrize("second", [0, 2, 3])
def test_a_block_out_of_order_drops_the_load(card: SoftwareCard, second: int) -> None:
    session, data = terminal(card), stream(mandatory())
    assert session.send(CommandAPDU(0x80, 0xE2, 0x08, 0, data[:200])) == "9000"
    assert session.send(CommandAPDU(0x80, 0xE2, 0x08, second, data[200:400])) == "6a86"
    assert session.send(CommandAPDU(0x80, 0xE2, 0x08, 1, data[200:400])) == "6a86"
    assert store(session, data) == "9000"


@pytest.mark.parametrize("p1", [0x00, 0x80, 0x18, 0x90, 0x09, 0xFF])
def test_other_forms_of_store_data_are_refused(card: SoftwareCard, p1: int) -> None:
    session = terminal(card)
    assert session.send(CommandAPDU(0x80, 0xE2, p1, 0, b"\0")) == "6a86"


def test_a_load_has_256_blocks_at_most(card: SoftwareCard) -> None:
    session = terminal(card)
    for number in range(256):
        assert session.send(CommandAPDU(0x80, 0xE2, 0x08, number)) == "9000"
    assert session.send(CommandAPDU(0x80, 0xE2, 0x88, 0)) == "6a86"


def test_a_new_session_or_selection_drops_the_load(card: SoftwareCard) -> None:
    data = stream(mandatory())
    for leave in ("", "00A4040005F052484301"):
        session = terminal(card)
        assert session.send(CommandAPDU(0x80, 0xE2, 0x08, 0, data[:200])) == "9000"
        if leave:
            assert card.transmit(H(leave)).hex() == "9000"
        session = terminal(card)
        assert session.send(CommandAPDU(0x80, 0xE2, 0x08, 1, data[200:400])) == "6a86"


def test_other_commands_between_blocks_leave_the_load_alone(card: SoftwareCard) -> None:
    session, data = terminal(card), stream(mandatory())
    blocks = [data[start : start + 239] for start in range(0, len(data), 239)]
    for number, part in enumerate(blocks):
        p1 = 0x88 if part is blocks[-1] else 0x08
        assert session.send("80CA00C100").endswith("9000")
        assert session.send(CommandAPDU(0x80, 0xE2, p1, number, part)) == "9000"


def test_a_card_is_personalized_once(card: SoftwareCard) -> None:
    session = terminal(card)
    assert store(session, stream(mandatory())) == "9000"
    before = card.memory.pages
    assert store(session, stream(mandatory("2.0"))) == "6985"
    assert card.memory.pages == before


def test_the_last_block_is_refused_while_the_transport_keys_exist() -> None:
    card = SoftwareCard.blank(CHIP, KEYS_OF_ISSUER, seed=1)
    refused = terminal(card)
    data = stream(mandatory())
    assert refused.send(CommandAPDU(0x80, 0xE2, 0x08, 0, data[:239])) == "9000"
    assert store(terminal(card), data) == "6985"
    keys = card.state.key_sets[0xFF]
    both = {0xFF: keys, 1: type(keys)(1, keys.enc, keys.mac, keys.dek, keys.tries)}
    card.state.key_sets = both
    card.memory.commit()
    session = Terminal.open(card.transmit, KEYS_OF_ISSUER, 0x33, 1)
    assert store(session, data) == "6985"
    assert card.state.life_cycle == LifeCycle.BLANK


def test_a_transport_session_loads_nothing_after_its_keys_are_gone() -> None:
    card = SoftwareCard.blank(CHIP, KEYS_OF_ISSUER, seed=1)
    session = terminal(card)
    keys = card.state.key_sets[0xFF]
    card.state.key_sets = {1: type(keys)(1, keys.enc, keys.mac, keys.dek, keys.tries)}
    card.memory.commit()
    assert store(session, stream(mandatory())) == "6985"


def test_a_power_cut_at_any_write_leaves_a_blank_or_a_personalized_card() -> None:
    points = 0
    while True:
        card = blank()
        session = terminal(card)
        left = points

        def on_write(page: int, done: bool) -> None:
            nonlocal left
            if done:
                return
            if left == 0:
                raise PowerCut
            left -= 1

        card.memory.on_write = on_write
        try:
            answer = store(session, stream(mandatory()))
        except PowerCut:
            answer = ""
        card.memory.on_write = None
        card.reset()
        state = card.state
        whole = state.life_cycle == LifeCycle.PERSONALIZED
        assert whole or state.life_cycle == LifeCycle.BLANK
        assert (state.pin is not None) == whole
        assert [state.card_key(spec) is not None for spec in KEYS] == [whole] * 30
        if answer:
            assert answer == "9000"
            break
        if not whole:
            assert store(terminal(card), stream(mandatory())) == "9000"
        points += 1
    assert points > 10


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=300),
    changes=st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=3)), max_size=3),
)
def test_no_load_whatever_makes_half_a_card(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    card = blank()
    load = bytearray(stream(mandatory()) if changes else data)
    for position, replacement in changes:
        start = position % len(load)
        load[start : start + len(replacement)] = replacement
    answer = store(terminal(card), bytes(load))
    assert answer in ("9000", "6a80", "6a88", "6985")
    assert (card.state.life_cycle == LifeCycle.PERSONALIZED) == (answer == "9000")
    assert (card.state.pin is not None) == (answer == "9000")
