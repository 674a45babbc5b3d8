"""The card's file system beside a plain model, over random commands and power cycles."""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cardlib.apdu import CommandAPDU
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.chip.memory import Memory
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.messaging.scp03_channel import Scp03Channel
from cardlib.tlv import ber, concatenate
from tests.oracles.file_system import BAD_DATA, OK, ROOM, File, FileSystem, Kind, State

ROOTS = public_test_roots(1)
CARD_PAGES = personalized_card(ROOTS).memory.pages
ISSUER_KEYS = KeyStore(ROOTS).issuer_keys(CHIP)
ROOT = 0x0D00
FIDS = st.sampled_from([0x0D00, 0x0D01, 0x0D02, 0x0D03, 0x0D04, 0x0D05])
NAMES = st.sampled_from([b"", b"", bytes.fromhex("F052484381"), bytes.fromhex("F052484382")])
CODINGS = st.sampled_from([0x21, 0x01, 0x41, 0x61])
SMALL = st.binary(min_size=2, max_size=6)
RECORDS = st.integers(0, 5)
OFFSETS = st.one_of(st.integers(0, 12), st.integers(250, 310))
WANTED = st.one_of(st.binary(min_size=1, max_size=2), st.sampled_from([b"\xff", b"\0", b"par"]))
LE = st.one_of(st.just(ROOM), st.integers(1, 255))
RECORD_KINDS = (Kind.LINEAR_FIXED, Kind.LINEAR_VARIABLE, Kind.CYCLIC)
SIZES = st.integers(1, 3)
TARGETS = st.one_of(st.none(), FIDS)


def is_any(*kinds: Kind) -> Callable[["CardAndModel"], bool]:
    """A file of one of these kinds is current; now and then it may be any other state."""

    def found(machine: "CardAndModel") -> bool:
        machine.steps += 1
        return machine.steps % 8 == 0 or (machine.file is not None and machine.file.kind in kinds)

    return found


def fcp(file: File) -> bytes:
    descriptor = bytes((file.kind.value, file.coding))
    if file.kind in RECORD_KINDS:
        descriptor += file.size.to_bytes(2, "big") + file.most.to_bytes(2, "big")
    parts = [(0x82, descriptor), (0x83, file.fid.to_bytes(2, "big"))]
    if file.kind is Kind.TRANSPARENT:
        parts.append((0x80, file.size.to_bytes(2, "big")))
    if file.name:
        parts.append((0x84, file.name))
    return ber(0x62, concatenate(parts))


class CardAndModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.card = SoftwareCard(Memory(CARD_PAGES))
        self.model = FileSystem(ROOT)
        self.open_session()
        self.send(0xA4, 0x08, 0x0C, b"\xdd\xf1")
        assert self.sw(0xE0, 0, 0, fcp(self.model.root)) == OK

    def open_session(self) -> None:
        self.session = Scp03Channel.open(self.card.transmit, ISSUER_KEYS, 0x03)

    def send(
        self, ins: int, p1: int, p2: int, data: bytes = b"", le: int | None = None
    ) -> tuple[bytes, int]:
        reply = self.session.send(CommandAPDU(0x00, ins, p1, p2, data, le))
        return reply.data, reply.sw

    def sw(self, ins: int, p1: int, p2: int, data: bytes = b"") -> int:
        data, sw = self.send(ins, p1, p2, data)
        assert not data
        return sw

    def fitted(self, data: bytes) -> bytes:
        """A record for the current file, unless the data is too short or long by itself."""
        size = self.file.size if self.file and self.file.kind in RECORD_KINDS else 0
        return data[:size] if size <= len(data) < 6 else data

    @property
    def file(self) -> File | None:
        return self.model.current

    @initialize(sizes=st.tuples(SIZES, SIZES, SIZES), most=st.integers(1, 5), coding=CODINGS)
    def create_one_of_each(self, sizes: tuple[int, int, int], most: int, coding: int) -> None:
        self.create_transparent(0x0D01, 20, coding)
        self.change_binary(0xD6, 3, b"transparent")
        for fid, kind, size in zip((0x0D02, 0x0D03, 0x0D04), RECORD_KINDS, sizes, strict=True):
            self.create_records(fid, kind, size, most, coding)
            for number in range(4):
                self.append(bytes((number,)) * size, by_update=False)
        self.create_directory(0x0D05, b"")
        self.create_transparent(0x0D01, 300, coding)

    # Administration.

    @rule(fid=FIDS, size=st.sampled_from([1, 10, 300]), coding=CODINGS)
    def create_transparent(self, fid: int, size: int, coding: int) -> None:
        self.create(File(fid, Kind.TRANSPARENT, None, size=size, coding=coding))

    @rule(fid=FIDS, kind=st.sampled_from(RECORD_KINDS), size=SIZES,
          most=st.integers(1, 5), coding=CODINGS)  # fmt: skip
    def create_records(self, fid: int, kind: Kind, size: int, most: int, coding: int) -> None:
        self.create(File(fid, kind, None, size=size, most=most, coding=coding))

    @rule(fid=FIDS, name=NAMES)
    def create_directory(self, fid: int, name: bytes) -> None:
        self.create(File(fid, Kind.DIRECTORY, None, name=name))

    def create(self, file: File) -> None:
        assert self.sw(0xE0, 0x00, 0x00, fcp(file)) == self.model.create(file)

    def named(self, fid: int | None) -> tuple[bytes, File | None]:
        return b"" if fid is None else fid.to_bytes(2, "big"), self.model.target(fid)

    @rule(fid=TARGETS)
    def delete(self, fid: int | None) -> None:
        data, node = self.named(fid)
        if node is not self.model.root:
            assert self.sw(0xE4, 0x00, 0x00, data) == self.model.delete(node)

    @rule(fid=TARGETS, change=st.sampled_from([
        (0x44, State.ACTIVATED), (0x44, State.ACTIVATED), (0x04, State.DEACTIVATED),
        (0xE8, State.TERMINATED), (0xE6, State.TERMINATED),
    ]))  # fmt: skip
    def change_state(self, fid: int | None, change: tuple[int, State]) -> None:
        data, node = self.named(fid)
        ins, state = change
        if node is not self.model.root or ins in (0x44, 0x04):
            expected = self.model.set_state(node, state, ins=ins)
            assert self.sw(ins, 0x00, 0x00, data) == expected

    # Selection.

    @rule(fid=FIDS)
    def select_near(self, fid: int) -> None:
        node = self.model.near(fid)
        outside = node is None and self.model.directory is self.model.root
        if not outside:
            data = fid.to_bytes(2, "big")
            assert self.sw(0xA4, 0x00, 0x0C, data) == self.model.select(node)

    @rule(data=st.data())
    def select_path(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from([self.model.root, *self.model.files()]))
        assert self.sw(0xA4, 0x08, 0x0C, path(node)) == self.model.select(node)

    @rule(data=st.data())
    @precondition(lambda self: any(file.name for file in self.model.files()))
    def select_name(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from([file for file in self.model.files() if file.name]))
        # SELECT by name goes to the card, and ends the session.
        raw = bytes((0x00, 0xA4, 0x04, 0x0C, len(node.name))) + node.name
        sw = int.from_bytes(self.card.transmit(raw), "big")
        assert sw == self.model.select(node)
        self.open_session()

    @rule(data=st.data())
    def go_on_with_a_usable_file(self, data: st.DataObject) -> None:
        usable = [f for f in self.model.files() if f.is_usable() and not f.is_directory]
        if usable:
            node = data.draw(st.sampled_from(usable))
            assert self.sw(0xA4, 0x08, 0x0C, path(node)) == self.model.select(node) == OK

    # Transparent files.

    @rule(offset=OFFSETS, le=LE)
    @precondition(is_any(Kind.TRANSPARENT))
    def read_binary(self, offset: int, le: int) -> None:
        answer = self.send(0xB0, offset >> 8, offset & 0xFF, b"", le)
        assert answer == self.model.read_binary(offset, le)

    @rule(ins=st.sampled_from([0xD6, 0xD0]), offset=OFFSETS, data=st.binary(max_size=20))
    @precondition(is_any(Kind.TRANSPARENT))
    def change_binary(self, ins: int, offset: int, data: bytes) -> None:
        expected = self.model.change_binary(ins, offset, data)
        assert self.sw(ins, offset >> 8, offset & 0xFF, data) == expected

    @rule(start=OFFSETS, end=st.one_of(st.none(), st.integers(0, 310)))
    @precondition(is_any(Kind.TRANSPARENT))
    def erase_binary(self, start: int, end: int | None) -> None:
        data = b"" if end is None else end.to_bytes(2, "big")
        expected = self.model.erase_binary(start, end)
        assert self.sw(0x0E, start >> 8, start & 0xFF, data) == expected

    @rule(start=OFFSETS, wanted=WANTED)
    @precondition(is_any(Kind.TRANSPARENT))
    def search_binary(self, start: int, wanted: bytes) -> None:
        answer = self.send(0xA0, start >> 8, start & 0xFF, wanted, ROOM)
        assert answer == self.model.search_binary(start, wanted)

    # Record files.

    @rule(number=RECORDS)
    @precondition(is_any(*RECORD_KINDS))
    def read_record(self, number: int) -> None:
        answer = self.send(0xB2, number, 0x04, b"", ROOM)
        assert answer == self.model.read_record(number)

    @rule(number=RECORDS)
    @precondition(is_any(*RECORD_KINDS))
    def read_records(self, number: int) -> None:
        answer = self.send(0xB2, number, 0x05, b"", ROOM)
        assert answer == self.model.read_records(number)

    @rule(data=SMALL, by_update=st.booleans())
    @precondition(is_any(*RECORD_KINDS))
    def append(self, data: bytes, by_update: bool) -> None:
        data = self.fitted(data)
        ins, p2 = (0xDC, 0x03) if by_update else (0xE2, 0x00)
        assert self.sw(ins, 0x00, p2, data) == self.model.append(data)

    @rule(number=RECORDS, data=SMALL)
    @precondition(is_any(*RECORD_KINDS))
    def update_record(self, number: int, data: bytes) -> None:
        self.change_record(0xDC, number, self.fitted(data))

    @rule(number=RECORDS, data=SMALL)
    @precondition(is_any(Kind.LINEAR_FIXED))
    def write_record(self, number: int, data: bytes) -> None:
        self.change_record(0xD2, number, self.fitted(data))

    @rule(number=RECORDS, data=st.sampled_from([b"", b"", b"", b"x"]))
    @precondition(is_any(Kind.LINEAR_FIXED))
    def erase_record(self, number: int, data: bytes) -> None:
        self.change_record(0x0C, number, data)

    def change_record(self, ins: int, number: int, data: bytes) -> None:
        expected = self.model.change_record(ins, number, data)
        assert self.sw(ins, number, 0x04, data) == expected

    @rule(number=RECORDS, wanted=WANTED, forward=st.booleans())
    @precondition(is_any(*RECORD_KINDS))
    def search_record(self, number: int, wanted: bytes, forward: bool) -> None:
        answer = self.send(0xA2, number, 0x04 if forward else 0x05, wanted, ROOM)
        assert answer == self.model.search_record(number, wanted, forward=forward)

    # Power.

    @rule(new_card=st.booleans())
    def power_cycle(self, new_card: bool) -> None:
        if new_card:
            self.card = SoftwareCard(Memory(self.card.memory.pages))
            assert not self.card.damage
        else:
            self.card.reset()
        self.model.power_cycle()
        self.open_session()
        expected = self.model.select(self.model.root)
        assert self.sw(0xA4, 0x08, 0x0C, path(self.model.root)) == expected

    @invariant()
    def a_refused_command_left_the_same_file_current(self) -> None:
        channel = self.card.channels[0]
        assert channel.directory.fid == self.model.directory.fid
        assert (channel.file and channel.file.fid) == (self.file and self.file.fid)

    def teardown(self) -> None:
        """Every file that can be read holds what the model has."""
        for node in self.model.files():
            assert self.sw(0xA4, 0x08, 0x0C, path(node)) == self.model.select(node)
            if node.kind is Kind.TRANSPARENT:
                for offset in range(0, node.size, ROOM):
                    self.read_binary(offset, ROOM)
            elif not node.is_directory:
                for number in range(1, node.most + 1):
                    self.read_record(number)
        assert self.send(0xE0, 0, 0, b"\x62\x00")[1] == BAD_DATA


def path(node: File) -> bytes:
    return b"\xdd\xf1" + b"".join(step.fid.to_bytes(2, "big") for step in node.path())


CardAndModel.TestCase.settings = settings(max_examples=80, stateful_step_count=100, deadline=None)
TestTheCardIsItsModel = CardAndModel.TestCase
