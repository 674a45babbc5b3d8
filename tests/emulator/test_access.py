"""The access rule of every file, as the tables say it and as the card itself announces it."""

import csv
import random
from collections.abc import Iterator
from itertools import product

import pytest

from cardlib.emulator import LifeCycle, SoftwareCard
from cardlib.emulator.filesystem.tree import KEY_BIT, PROFILE, ElementaryFile
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.layout import FILE_BY_PATH, FILES, KEY_BY_NAME, KEYS, FileSpec, Structure
from cardlib.tlv import find_ber, iter_ber
from tests import ROOT
from tests.cards.software_cards import (
    AUTHENTICATING,
    CHIP,
    PIN,
    Terminal,
    fid_path,
    is_index,
    key_bytes,
    sample,
    terminal,
)

TABLE = ROOT / "cardlib" / "layout" / "files.csv"
RULES = {row["path"]: row for row in csv.DictReader(TABLE.read_text("utf-8").splitlines())}
EVERY_FILE = pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)


def at(file: FileSpec, *, without: str = "", pin: bool = True) -> Terminal:
    """A terminal at the file with every right that can be had there, but one."""
    card = terminal()
    card.select(file.df_path)
    for name in AUTHENTICATING:
        if KEY_BY_NAME[name].df_path in ("MF", "DDF1", file.df_path) and name != without:
            card.authenticate(name)
    if pin:
        card.verify_pin()
    card.select(file.path)
    return card


def readings(file: FileSpec) -> Iterator[str]:
    """Every command that shows content."""
    if file.structure is Structure.TRANSPARENT:
        yield from ("00B0000000", "00B0000001", "00B100000354010000", "00A0000001FF00")
    else:
        yield from ("00B2010400", "00B2010500", "00B301040354010000", "00A2010401FF00")
    if file.is_tlv:
        yield f"00B2{file.fields[0].tag:02X}0000"


def changes(card: Terminal, file: FileSpec) -> Iterator[bytes]:
    """Every protected command that changes content by the update key."""
    stk = "STK_" + file.df_path[-4:]
    yield card.change(file, sample(file))
    if file.structure is Structure.TRANSPARENT:
        yield card.protected(stk, "04D00000", b"x")
        yield card.protected(stk, "04D70000", bytes.fromhex("540100530141"))
    else:
        yield card.protected(stk, "04DD0104", bytes.fromhex("540100530141"))
        yield card.protected(stk, "84D20104", sample(file))
        yield card.protected(stk, "04E20000", sample(file))


def without_protection(command: bytes) -> bytes:
    """The same command in clear."""
    return bytes((command[0] & ~0x04,)) + command[1:]


@EVERY_FILE
def test_without_rights_every_command_is_refused_as_the_table_says(file: FileSpec) -> None:
    rule = RULES[file.path]
    card = terminal()
    assert card.select(file.path) == 0x9000
    for command in readings(file):
        data, sw = card.send(command)
        if rule["read_key"]:
            assert (data, sw) == (b"", 0x6982)
        else:
            assert sw in (0x9000, 0x6700, 0x6282)
    refused = 0x6985 if rule["update_key"] == "NEVER" else 0x6982
    for change in changes(card, file):
        assert card.sw(change) == refused
        assert card.sw(without_protection(change)) in (refused, 0x6E00)
    refused = 0x6985 if rule["erase_key"] == "NEVER" else 0x6982
    erasure = card.erasure(file)
    assert card.sw(erasure) == refused
    assert card.sw(without_protection(erasure)) == refused


@EVERY_FILE
def test_with_the_right_key_it_works(file: FileSpec) -> None:
    rule = RULES[file.path]
    card = terminal()
    card.select(file.path)
    if rule["update_key"] != "NEVER":
        card.authenticate(rule["update_key"])
        if rule["holder_present"] == "yes":
            card.verify_pin()
        assert card.sw(card.change(file, sample(file))) == 0x9000
    if rule["read_key"]:
        assert card.read(file)[1] == 0x6982 or rule["read_key"] == rule["update_key"]
        card.authenticate(rule["read_key"])
    data, sw = card.read(file)
    assert sw == 0x9000
    assert rule["update_key"] == "NEVER" or data.startswith(sample(file))
    if rule["erase_key"] != "NEVER":
        card.authenticate(rule["erase_key"])
        assert card.sw(card.erasure(file)) == 0x9000
        assert card.read(file)[0] == b"\xff" * file.record_length(1)


@EVERY_FILE
def test_every_other_right_together_does_not_open_it(file: FileSpec) -> None:
    rule = RULES[file.path]
    if rule["read_key"]:
        card = at(file, without=rule["read_key"])
        assert {card.sw(command) for command in readings(file)} == {0x6982}
    for kind in ("update_key", "erase_key"):
        if rule[kind] != "NEVER":
            card = at(file, without=rule[kind])
            command = card.change(file, sample(file)) if kind[0] == "u" else card.erasure(file)
            assert card.sw(command) == 0x6982
            assert "needs " + rule[kind] in card.card.last_refusal


@EVERY_FILE
def test_never_is_never(file: FileSpec) -> None:
    rule = RULES[file.path]
    card = at(file)
    if rule["update_key"] == "NEVER":
        assert {card.sw(change) for change in changes(card, file)} == {0x6985}
    if rule["erase_key"] == "NEVER":
        assert card.sw(card.erasure(file)) == 0x6985


def test_files_marked_so_need_the_holder_and_emergency_data_never_does() -> None:
    for file in FILES:
        if file.update_key == "NEVER":
            continue
        card = at(file, pin=False)
        needs_pin = RULES[file.path]["holder_present"] == "yes"
        assert card.sw(card.change(file, sample(file))) == (0x6982 if needs_pin else 0x9000)
        if file.structure is not Structure.CYCLIC:
            assert card.read(file)[1] == 0x9000


# What the card says of itself

Condition = frozenset[str] | None
"""Names of keys, and "PIN", that are all needed; None for never."""


def condition(file: FileSpec, objects: list[tuple[int, bytes]]) -> Condition:
    """Security conditions in expanded format (ISO/IEC 7816-4 table 31)."""
    needed: set[str] = set()
    for tag, value in objects:
        if tag == 0x97:
            return None
        if tag == 0xAF:
            inner = condition(file, [(item.tag, item.value) for item in iter_ber(value)])
            assert inner is not None
            needed |= inner
        elif tag == 0xA4:
            template = {item.tag: item.value for item in iter_ber(value)}
            (reference,) = template[0x83]
            if template[0x95] == b"\x08":
                assert reference == 0
                needed.add("PIN")
            else:
                assert template[0x95] == b"\x80"
                home = file.df_path if reference & 0x80 else "DDF1"
                needed |= {
                    key.name
                    for key in KEYS
                    if key.df_path == home and key.reference == reference
                    and key.name in AUTHENTICATING
                }  # fmt: skip
        else:
            assert (tag, value) == (0x90, b"")
    return frozenset(needed)


def announced(card: Terminal, file: FileSpec) -> tuple[dict[str, Condition], bytes | None]:
    """Rules for read, update and erase in AB, and what stands in 8C."""
    path = fid_path(file.path)
    fcp, _ = card.send(bytes((0, 0xA4, 8, 4, len(path))) + path + b"\0")
    rules: dict[str, Condition] = {}
    objects = [(item.tag, item.value) for item in iter_ber(find_ber(fcp, 0x62, 0xAB) or b"")]
    modes = [i for i, (tag, _) in enumerate(objects) if 0x80 <= tag <= 0x8F]
    for start, end in zip(modes, [*modes[1:], len(objects)], strict=True):
        tag, value = objects[start]
        found = condition(file, objects[start + 1 : end])
        if tag == 0x84:
            assert value[0] in (0x0C, 0x0E)
            rules["erase"] = found
        else:
            assert tag == 0x80
            for bit, name in ((1, "read"), (2, "update"), (4, "write")):
                if value[0] & bit:
                    rules.setdefault(name, found)
    return rules, find_ber(fcp, 0x62, 0x8C)


def operation(card: Terminal, file: FileSpec, name: str) -> bytes:
    if name == "read":
        return bytes.fromhex(next(readings(file)))
    if name == "erase":
        return card.erasure(file)
    if name == "write" and file.structure is Structure.TRANSPARENT:
        return card.protected("STK_" + file.df_path[-4:], "04D00000", b"x")
    if name == "write" and file.structure is not Structure.CYCLIC and not is_index(file):
        return card.protected("STK_" + file.df_path[-4:], "84D20104", sample(file))
    return card.change(file, sample(file))


@EVERY_FILE
def test_the_announced_security_attributes_are_what_is_enforced(file: FileSpec) -> None:
    rules, compact = announced(terminal(), file)
    assert set(rules) == {"read", "update", "write", "erase"}
    rule = RULES[file.path]
    holder = {"PIN"} if rule["holder_present"] == "yes" else set()
    for name, column in (("read", "read_key"), ("update", "update_key"), ("erase", "erase_key")):
        key, extra = rule[column], holder if name == "update" else set()
        expected = None if key == "NEVER" else frozenset({key, *extra} - {""})
        assert rules[name] == expected
    for name, needed in rules.items():
        if needed is None:
            card = at(file)
            assert card.sw(operation(card, file, name)) == 0x6985
            continue
        for missing in (None, *needed):
            card = terminal()
            card.select(file.path)
            card.authenticate(*(needed - {missing, "PIN"}))
            if "PIN" in needed - {missing}:
                card.verify_pin()
            sw = card.sw(operation(card, file, name))
            assert (sw == 0x6982) == (missing is not None), (name, missing)
            assert missing or sw in (0x9000, 0x6A83), name
    if compact is not None:
        modes = [name for bit, name in ((4, "write"), (2, "update"), (1, "read"))
                 if compact[0] & bit]  # fmt: skip
        never_or_always = {0xFF: None, 0x00: frozenset[str]()}
        assert [rules[name] for name in modes] == [never_or_always[code] for code in compact[1:]]


def test_compact_attributes_stand_where_they_are_exact() -> None:
    card = terminal()
    with_compact = [file.path for file in FILES if announced(card, file)[1] is not None]
    assert with_compact == ["DDF1/EF05"]
    assert announced(card, FILE_BY_PATH["DDF1/EF05"])[1] == bytes.fromhex("07FFFF00")


# Classes, instructions, lengths


def expected_class(cla: int) -> int | None:
    """The refusal of a class byte on a card with one logical channel; None where it is taken."""
    if cla & 0x80:
        if cla & 0x60 or cla & 0x08:
            return 0x6E00
    elif cla & 0x40:
        return 0x6881
    elif cla & 0x20:
        return 0x6E00
    return 0x6881 if cla & 0x03 else None


def test_every_class_and_instruction_is_answered() -> None:
    known = {0x00: set[int](), 0x80: set[int]()}
    card = terminal()
    for cla, ins in product(range(256), range(256)):
        answer = card.card.transmit(bytes((cla, ins, 0, 0)))
        sw = int.from_bytes(answer[-2:], "big")
        refusal = expected_class(cla)
        assert len(answer) >= 2
        if ins != 0xC0 and refusal:
            assert sw == refusal, f"{cla:02X} {ins:02X}"
        elif cla in (0x00, 0x80) and sw not in (0x6D00, 0x6E00):
            known[cla].add(ins)
        if cla & 0x10 and sw not in (0x6E00, 0x6881):  # it may have begun a chain
            card.card.reset()
    step_1 = {0x20, 0x82, 0x84, 0x88, 0xA4, 0xB0, 0xB2, 0xC0, 0xD6, 0xDC}
    assert step_1 <= known[0x00]
    assert {0x0C, 0xD2, 0x50, 0x82, 0xD8, 0xE2, 0x44, 0x2C, 0xCA} <= known[0x80]


@pytest.mark.parametrize("cla", [0x01, 0x02, 0x03, 0x40, 0x41, 0x4F, 0x60, 0x81, 0x83])
def test_other_channels_are_refused_and_never_run_on_the_basic_one(cla: int) -> None:
    card = terminal()
    card.select("DDF1/EF05")
    assert card.sw(bytes((cla, 0xA4, 0, 0x0C, 2, 0xDF, 0x01))) == 0x6881
    assert card.sw("00B2010400") == 0x9000


@pytest.mark.parametrize("ins", [0x01, 0x10, 0x86, 0xFA, 0xFF])
def test_unknown_instructions_are_6d00_in_both_classes(ins: int) -> None:
    card = terminal()
    assert card.sw(bytes((0x00, ins, 0, 0))) == card.sw(bytes((0x80, ins, 0, 0))) == 0x6D00


@pytest.mark.parametrize("command", ["80A4000002DDF1", "80B0000000", "0050000000", "00D8000000"])
def test_an_instruction_of_the_other_class_is_6e00(command: str) -> None:
    assert terminal().sw(command) == 0x6E00


@pytest.mark.parametrize(
    "command",
    [
        "", "00", "00A4", "00A400", "00A4000003DDF1", "00A4000001DDF100", "00A400000002",
        "00B000000000", "00A4000000000000", "00A40000000001DDF1DDF1", "FF", "00A40000FFDDF1",
    ],
)  # fmt: skip
def test_malformed_commands_are_6700(command: str) -> None:
    card = terminal()
    card.select("DDF1/EF05")
    assert card.send(command) == (b"", 0x6700)
    assert card.sw("00B2010400") == 0x9000


def test_a_refusal_says_what_would_satisfy_it_to_a_person_only() -> None:
    card = terminal()
    card.select("DDF1/DF02/EF05")
    assert card.card.transmit(bytes.fromhex("00B2010400")) == b"\x69\x82"
    assert card.card.last_refusal == "needs RK1_DF02"
    card.sw("0084000008")
    assert card.card.last_refusal == ""


# Fuzzing

MARKERS = {path: bytes((0xA0 + n,)) * 3 for n, path in enumerate(
    ["DDF1", "DDF1/DF01", "DDF1/DF02", "DDF1/DF03", "DDF1/DF04", "DDF1/DF05"])}  # fmt: skip
READ_KEYS = {path: f"RK1_{path[-4:]}" for path in MARKERS}
CORPUS = [
    "00A4000C02DDF1", "00A4000002DF0100", "00A4000002DF02", "00A4000002DF0300", "00A4080C023F00",
    "00A4080004DDF1EF0500", "00A4080C04DDF1EF06", "00A4080C06DDF1DF02EF05", "00A4080C04DDF1EF07",
    "00A4080C06DDF1DF02EF07", "00A4080C06DDF1DF03EE01", "00A4080C06DDF1DF05EF05",
    "00A4080C06DDF1DF04EF05", "00A4080C06DDF1DF01EF06", "00A4040005F05248430100", "00A4040000",
    "00A4020C02EF05", "00A4020C02EF06", "00A4030C", "00B2010400", "00B2020400", "00B2010500",
    "00B2290000", "00B20105", "00C0000000", "00C0000010", "00B0000000", "00B00000", "00B07FFF01",
    "00B301040354010000", "00B100000354010000", "00A0000001A000", "00A2010401A200",
    "0084000008", "00200000", "0020000006303030303030", "0024000006", "8024000000",
    "0082000411" + "11" * 17, "0082008411" + "22" * 17, "0088000011" + "33" * 17 + "00",
    "04DC010414" + "44" * 20, "04DC000384" + "55" * 132, "84D2010404AABBCCDD",
    "840C010404AABBCCDD", "04D6000014" + "66" * 20, "00DC010403290101", "00D6000002ABCD",
    "00D0000001AA", "000E0000", "00E2000002AABB", "80CA9F7F00", "80CA006600", "80CA00E000",
    "8050300008" + "77" * 8 + "00", "8482330010" + "88" * 16, "84E2880010" + "99" * 16,
    "80F28002024F0000", "80440000", "802C0001", "801E0000", "80180000", "80160000", "0070000001",
    "00708001", "00E000000F620D82010183021234800200018A0105", "00E4000002EF05", "0044000002EF05",
    "0004000002EF05", "00E6000002DF01", "00FE0000", "00DA004101AA", "00CA004100", "10A4000C02DDF1",
    "14DC010410" + "44" * 16, "80D8FF8101AA", "80F08000", "8CB2010400", "0CB2010400",
]  # fmt: skip


def marked_card(life_cycle: LifeCycle, options: CardOptions) -> Terminal:
    """A card whose protected files are full of their DF's marker."""
    card = terminal(life_cycle=life_cycle, options=options)
    memory = card.card.memory
    for file in FILES:
        node = PROFILE[file.path]
        assert isinstance(node, ElementaryFile)
        if file.read_key:
            marker = MARKERS[file.df_path][:1]
            end = node.offsets[-1] + node.lengths[-1] if node.slots else node.size
            memory.write(node.address, marker * end)
            if file.structure is Structure.CYCLIC:
                memory.write(node.address, bytes((node.slots, 0)))
    memory.commit()
    return card


READ_COMMANDS = ["00B0{0:04X}{1:02X}", "00B2{2:02X}04{1:02X}", "00B2{2:02X}05{1:02X}",
                 "00B2{2:02X}00{1:02X}", "00B1000004540200{2:02X}{1:02X}",
                 "00B3{2:02X}0403540100{1:02X}", "00B2{2:02X}05", "00B0{0:04X}",
                 "00A0{0:04X}01A200", "00A2{2:02X}0401A200"]  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    """A command of the corpus, most often with a few fields changed, at times with its bytes."""
    raw = bytearray(bytes.fromhex(rng.choice(CORPUS)))
    for _ in range(rng.choice((0, 1, 1, 2))):
        position = rng.randrange(len(raw))
        if position == 4 and len(raw) > 5:
            raw[4:5] = rng.randbytes(1) if rng.random() < 0.2 else raw[4:5]
        elif rng.random() < 0.5:
            raw[position] ^= 1 << rng.randrange(8)
        else:
            raw[position] = rng.choice((0, 1, 3, 4, 5, 8, 0x80, 0xFF, rng.randrange(256)))
    what = rng.random()
    if what < 0.05:
        del raw[rng.randrange(len(raw) + 1) :]
    elif what < 0.1:
        raw += rng.randbytes(rng.randrange(1, 6))
    return bytes(raw)


def generated(rng: random.Random) -> bytes:
    """A command as a terminal of some kind might send it."""
    kind = rng.random()
    if kind < 0.25:
        path = fid_path(rng.choice(FILES).path)
        return bytes((0, 0xA4, 8, rng.choice((0, 4, 12)), len(path))) + path + b"\0"
    if kind < 0.55:
        form = rng.choice(READ_COMMANDS)
        text = form.format(rng.randrange(0x0D00), rng.randrange(256), rng.randrange(0x50))
        return bytes.fromhex(text)
    return mutated(rng) if kind < 0.95 else rng.randbytes(rng.randrange(12))


def held(card: SoftwareCard, number: int) -> set[str]:
    channel = card.channels.get(number)
    return {name for name, bit in KEY_BIT.items() if channel and channel.rights & bit}


def fuzz(card: Terminal, rng: random.Random, count: int) -> int:
    """Send that many commands; how many answered data. Nothing may come out without its right."""
    spoken = 0
    for _ in range(count):
        kind = rng.random()
        if kind < 0.005:
            card.card.reset()
        elif kind < 0.05:
            names = [key.name for key in card.card.channels[0].directory.keys]
            rightful = [name for name in names if name in AUTHENTICATING]
            if rightful:
                card.card.transmit(card.authentication(rng.choice(rightful)))
            continue
        raw = generated(rng)
        before = held(card.card, raw[0] & 0x03 if raw else 0)
        answer = card.card.transmit(raw)
        assert len(answer) >= 2, raw.hex()
        spoken += len(answer) > 2
        for path, marker in MARKERS.items():
            if marker in answer[:-2]:
                assert READ_KEYS[path] in before, f"{raw.hex()} gave {answer.hex()}"
        assert not any(secret in answer for secret in SECRETS), raw.hex()
    return spoken


SECRETS = [PIN, b"\x26\x13\x57\x90", *(key_bytes(key.name) for key in KEYS)]


@pytest.mark.parametrize("seed", range(10))
def test_no_command_raises_or_gives_what_it_may_not(seed: int) -> None:
    rng = random.Random(seed)
    life_cycle = LifeCycle.PERSONALIZED if seed % 5 == 4 else LifeCycle.ACTIVE
    options = CardOptions(extended_length=bool(seed % 2), logical_channels=1 + 3 * (seed % 3 == 2))
    card = marked_card(life_cycle, options)
    files = {n: page for n, page in card.card.memory.pages.items() if 16 <= n < 0x1000}
    assert fuzz(card, rng, 2000) > 200
    after = {n: page for n, page in card.card.memory.pages.items() if 16 <= n < 0x1000}
    assert after == files, "nothing was changed without a MAC"
    assert card.card.state.life_cycle == life_cycle


def test_a_blank_card_stands_the_same() -> None:
    card = Terminal(SoftwareCard.blank(CHIP, (bytes(16), bytes(range(16)), bytes(range(16, 32)))))
    rng = random.Random(99)
    for _ in range(2000):
        assert len(card.card.transmit(mutated(rng))) >= 2
    assert card.card.state.life_cycle == LifeCycle.BLANK
