"""The card's memory: a commit is whole or did not happen, wherever the supply fails."""

import zlib
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.emulator import MemoryFailure, PowerCut
from cardlib.emulator.chip.memory import JOURNAL_PAGE, PAGE_SIZE, Memory
from tests.cards.software_cards import cut_at

SIZE = 6 * PAGE_SIZE
OLD = bytes(range(256)) * 6
CHANGES = [
    [(0, b"a")],
    [(10, b"b" * 20), (700, b"c")],
    [(250, b"d" * 600), (5 * PAGE_SIZE + 3, b"e")],
    [(0, b"f" * SIZE)],
    [(PAGE_SIZE - 1, b"g" * 2), (PAGE_SIZE, b"h")],
]


def written() -> Memory:
    memory = Memory()
    memory.write(0, OLD)
    memory.commit()
    return memory


def after(changes: list[tuple[int, bytes]]) -> bytes:
    content = bytearray(OLD)
    for address, data in changes:
        content[address : address + len(data)] = data
    return bytes(content)


def is_cut(memory: Memory, work: Callable[[], None], position: int) -> bool:
    """Do the work with the supply failing at a moment; False if it was over before."""
    memory.on_write = cut_at(position)
    try:
        work()
    except PowerCut:
        return True
    finally:
        memory.on_write = None
    return False


def restarted(memory: Memory) -> bytes:
    """What a card finds that is made anew from the programmed pages."""
    fresh = Memory(memory.pages)
    fresh.power_on()
    return fresh.read(0, SIZE)


@pytest.mark.parametrize("changes", CHANGES, ids=range(len(CHANGES)))
def test_a_commit_cut_at_any_moment_leaves_the_old_or_the_new(
    changes: list[tuple[int, bytes]],
) -> None:
    position, found = 0, []
    while True:
        memory = written()
        for address, data in changes:
            memory.write(address, data)
        if not is_cut(memory, memory.commit, position):
            break
        memory.power_on()
        content = memory.read(0, SIZE)
        assert content == restarted(memory)
        assert content in (OLD, after(changes))
        found.append(content)
        position += 1
    assert memory.read(0, SIZE) == after(changes) == restarted(memory)
    committed = [content == after(changes) for content in found]
    assert committed == sorted(committed), "once new, it stays new at every later cut"
    assert committed[0] is False and committed[-1] is True


def test_a_recovery_that_is_cut_too_loses_nothing() -> None:
    changes = CHANGES[2]
    tried = 0
    for first in range(100):
        recovering = 0
        while True:
            memory = written()
            for address, data in changes:
                memory.write(address, data)
            if not is_cut(memory, memory.commit, first):
                assert tried > 20
                return
            expected = restarted(memory)
            tried += 1
            if not is_cut(memory, memory.power_on, recovering):
                break
            memory = Memory(memory.pages)
            if is_cut(memory, memory.power_on, recovering):
                memory.power_on()
            assert memory.read(0, SIZE) == expected
            recovering += 1


def test_a_commit_after_a_recovery_is_whole_again() -> None:
    for position in range(12):
        memory = written()
        memory.write(0, b"x" * 600)
        assert is_cut(memory, memory.commit, position)
        memory.power_on()
        memory.write(300, b"y" * 600)
        memory.commit()
        assert restarted(memory)[300:900] == b"y" * 600
        assert restarted(memory)[:300] in (OLD[:300], b"x" * 300)


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from then on"])
def test_a_commit_that_fails_changed_nothing(for_ever: bool) -> None:
    for failing in range(9):
        memory = written()
        memory.write(0, b"x" * 600)
        writes = iter(range(100))

        def fail(
            _page: int, done: bool, writes: Iterator[int] = writes, failing: int = failing
        ) -> None:
            if not done and ((n := next(writes)) == failing or (for_ever and n > failing)):
                raise MemoryFailure

        memory.on_write = fail
        with pytest.raises(MemoryFailure):
            memory.commit()
        assert memory.rollback()
        assert memory.read(0, SIZE) == OLD
        memory.power_on()
        assert memory.read(0, SIZE) == OLD
        memory.on_write = None
        assert restarted(memory) == OLD
        memory.write(800, b"y" * 600)
        memory.commit()
        assert restarted(memory) == OLD[:800] + b"y" * 600 + OLD[1400:]


def test_pages_beside_a_worn_one_can_still_be_written() -> None:
    memory = written()

    def worn(page: int, _done: bool) -> None:
        if page == 1:
            raise MemoryFailure

    memory.on_write = worn
    for start in (0, 1300, 0, 700):
        before = memory.read(0, SIZE)
        memory.write(start, b"x" * 236)
        memory.write(start + 256, b"y")
        if start:
            memory.commit()
            assert restarted(memory) == memory.read(0, SIZE) != before
        else:
            with pytest.raises(MemoryFailure):
                memory.commit()
            memory.rollback()
            assert memory.read(0, SIZE) == restarted(memory) == before
        memory.power_on()


def test_a_page_that_was_blank_takes_no_room_in_the_journal() -> None:
    memory = Memory()
    memory.write(0, OLD)
    memory.commit()
    assert memory.writes == 1 + 1 + 6 + 1


def test_one_page_costs_one_write_and_more_the_journal() -> None:
    memory = written()
    before = memory.writes
    memory.write(5, b"one page")
    memory.commit()
    assert memory.writes - before == 1
    memory.write(PAGE_SIZE - 1, b"xy")
    memory.commit()
    assert memory.writes - before == 1 + 3 + 1 + 2 + 1


def test_what_did_not_change_is_not_programmed() -> None:
    memory = written()
    before = memory.writes
    memory.write(0, OLD)
    memory.commit()
    memory.commit()
    assert memory.writes == before


def test_a_damaged_journal_is_noticed_at_every_power_on_and_never_applied() -> None:
    memory = written()
    memory.write(0, b"x" * 600)
    assert is_cut(memory, memory.commit, 10)
    pages = memory.pages
    assert pages[JOURNAL_PAGE].startswith(b"RHJ1")
    for page, bit in ((JOURNAL_PAGE + 1, 7), (JOURNAL_PAGE, 39), (JOURNAL_PAGE, 71)):
        damaged = Memory(pages)
        damaged.decay(page, bit >> 3, bit & 7)
        for _ in range(2):
            damaged.power_on()
            assert damaged.journal_is_damaged
            assert damaged.read(0, SIZE) == OLD
        damaged.write(0, b"y")
        with pytest.raises(MemoryFailure):
            damaged.commit()
    memory.power_on()
    assert not memory.journal_is_damaged


@pytest.mark.parametrize("stream", [
    "0001", "000101", "000101" + "AA" * 255, "000102", "000100" + "0002" + "01" + "AA" * 256 + "00",
])  # fmt: skip
def test_a_journal_with_half_an_entry_is_damaged_although_its_checksum_is_right(
    stream: str,
) -> None:
    raw = bytes.fromhex(stream)
    header = b"RHJ1" + len(raw).to_bytes(4, "big") + zlib.crc32(raw).to_bytes(4, "big")
    pages = [header, raw[:PAGE_SIZE], raw[PAGE_SIZE:]]
    journal = {JOURNAL_PAGE + n: page.ljust(PAGE_SIZE, b"\xff") for n, page in enumerate(pages)}
    memory = Memory({1: bytes(PAGE_SIZE)} | journal)
    memory.power_on()
    assert memory.journal_is_damaged
    assert memory.read(PAGE_SIZE, PAGE_SIZE) == bytes(PAGE_SIZE)


def test_decay_changes_one_bit_in_memory_and_store_and_is_no_write() -> None:
    class Store:
        pages: ClassVar[dict[int, bytes]] = {}

        def write_page(self, number: int, content: bytes) -> None:
            self.pages[number] = content

    memory = written()
    memory.store = Store()
    writes = memory.writes
    memory.decay(1, 3, 7)
    memory.decay(77, 0, 0)
    changed = bytearray(OLD)
    changed[PAGE_SIZE + 3] ^= 0x80
    assert memory.read(0, SIZE) == restarted(memory) == changed
    assert memory.byte(77 * PAGE_SIZE) == 0xFE
    assert Store.pages == {number: memory.pages[number] for number in (1, 77)}
    assert memory.writes == writes


def test_memory_never_written_reads_ff_and_is_not_stored() -> None:
    memory = Memory()
    assert memory.read(1000, 600) == b"\xff" * 600
    assert memory.byte(123456) == 0xFF
    assert memory.pages == {}
    memory.write(300, b"")
    memory.commit()
    assert memory.pages == {}


def test_pages_handed_out_are_a_copy() -> None:
    memory = written()
    memory.pages.clear()
    assert memory.pages


def test_a_store_gets_every_programmed_page() -> None:
    class Store:
        def __init__(self) -> None:
            self.pages: dict[int, bytes] = {}

        def write_page(self, number: int, content: bytes) -> None:
            self.pages[number] = content

    store, memory = Store(), Memory()
    memory.store = store
    memory.write(200, b"x" * 300)
    memory.commit()
    assert store.pages == memory.pages


operations = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            st.integers(0, SIZE - 1),
            st.one_of(st.binary(max_size=8), st.integers(0, 700).map(lambda n: b"z" * n)),
        ),
        st.tuples(st.just("commit"), st.integers(0, 40), st.just(b"")),
        st.tuples(st.sampled_from(["rollback", "power_on"]), st.just(0), st.just(b"")),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(operations)
def test_memory_does_what_a_plain_array_does(steps: list[tuple[str, int, bytes]]) -> None:
    memory = Memory()
    kept, seen = bytearray(b"\xff" * SIZE), bytearray(b"\xff" * SIZE)
    for name, number, data in steps:
        if name == "write":
            part = data[: SIZE - number]
            memory.write(number, part)
            seen[number : number + len(part)] = part
        elif name == "commit":
            if is_cut(memory, memory.commit, number):
                memory.power_on()
                content = memory.read(0, SIZE)
                assert content in (bytes(kept), bytes(seen))
                seen = bytearray(content)
            kept = bytearray(seen)
        else:
            getattr(memory, name)()
            seen = bytearray(kept)
        assert memory.read(0, SIZE) == seen
        assert all(memory.byte(address) == seen[address] for address in range(0, SIZE, 251))
    assert restarted(memory) == kept
