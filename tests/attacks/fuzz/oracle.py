"""What must hold after every APDU, whatever was sent.

The card answers in time, with a status word that there is and no data beside an error. It holds
no right that was not proved to it. Nothing of a protected file, a key or the PIN comes out
without its right. A refusal changes counters only. What is in memory is a whole card.
"""

from time import perf_counter

from cardlib.emulator import LifeCycle, SoftwareCard
from cardlib.emulator.bench.inspection import inspect
from cardlib.emulator.chip.memory import JOURNAL_PAGE, PAGE_SIZE, Memory
from cardlib.emulator.filesystem.tree import KEY_BIT, PROFILE, ElementaryFile
from cardlib.emulator.profile.card_state import DYNAMIC_AREA, FILE_ADDRESS, FILE_AREA, FILE_AREA_END
from cardlib.layout import KEY_BY_NAME
from tests.attacks.fuzz.cards import GRAM, KINDS, make, markers, secrets, update_rule

MAX_SECONDS = 5.0
RESET, PIN_SHOWN, ISSUER, _PROVED = "reset", "pin", "issuer", "proved"
_GET_RESPONSE = 0xC0
_SESSION_ERRORS = (b"\x69\x82", b"\x69\x87", b"\x69\x88")
"""Bare, they end a version-2 session: to a plain command and to an altered one."""
_COUNTER_PAGES = range(12)
"""State, PIN, card keys and key sets: where tries and the SCP03 counter are."""


class Problem(AssertionError):
    """The card did what no card may do; the words say what."""


def _kept_in(directory: str) -> int:
    """The rights that survive in a directory: of itself and what is above it."""
    above = f"{directory}/"
    paths = {name: KEY_BY_NAME[name].df_path for name in KEY_BIT}
    kept = [n for n, path in paths.items() if path == "MF" or above.startswith(f"{path}/")]
    return sum(KEY_BIT[name] for name in kept)


class Watched:
    """A card of a kind under watch.

    `held` are the rights that were proved on each channel and have not been lost since, as a
    mask. `history` is every APDU in hex, and in words what the card was shown beside.
    """

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self.seed = kind, seed
        self.card: SoftwareCard = make(kind, seed)
        self.history: list[str] = []
        self.apdus = 0
        self.held: dict[int, int] = {}
        self._shown: set[str] = set()
        self._version_2 = KINDS[kind].protocol == 2
        self._markers, self._secrets = markers(kind), secrets(kind)
        self._pages = self.card.memory.pages
        self._pending: dict[int, int] = {}
        self._kept: dict[str, int] = {}

    def tell(self, entry: str) -> bytes:
        """Do again what an entry of a history says."""
        what, *more = entry.split()
        if what == RESET:
            self.reset()
        elif what == _PROVED:
            self.proved(int(more[0]), more[1])
        elif what in (PIN_SHOWN, ISSUER):
            self.show(what)
        else:
            return self.transmit(bytes.fromhex(entry))
        return b""

    def reset(self) -> None:
        """Reset the card: everything proved is gone."""
        self.history.append(RESET)
        self.card.reset()
        self.held.clear()
        self._shown.clear()

    def proved(self, number: int, key: str) -> None:
        """A genuine cryptogram of this key is about to be sent on that channel."""
        self.history.append(f"{_PROVED} {number} {key}")
        self.held[number] = self.held.get(number, 0) | KEY_BIT[key]

    def show(self, what: str) -> None:
        """The PIN, or the issuer's keys, are about to be used; that counts until reset."""
        if what not in self._shown:
            self.history.append(what)
            self._shown.add(what)

    def transmit(self, raw: bytes) -> bytes:
        """Send one APDU; Problem says which rule the card broke."""
        self.history.append(raw.hex().upper())
        self.apdus += 1
        number = raw[0] & 3 if raw else 0
        before, life_cycle = self.held.get(number, 0), self.card.state.life_cycle
        if len(raw) < 2 or raw[1] != _GET_RESPONSE:
            self._pending[number] = before
        writes, start = self.card.memory.writes, perf_counter()
        reply = self.card.transmit(raw)
        if perf_counter() - start > MAX_SECONDS:
            raise Problem(f"took {perf_counter() - start:.1f} s")
        if self.card.memory._dirty:
            raise Problem("changes are left that belong to no command")
        self._check_form(reply)
        self.check_content(number, reply[:-2])
        if self.card.memory.writes != writes:
            refused = len(reply) == 2 and 0x64 <= reply[0] <= 0x6F
            self._check_changes(before, life_cycle, refused=refused)
        self._check_rights(raw, reply)
        return reply

    def check_content(self, number: int, data: bytes) -> None:
        """Data of a reply, deciphered if it was enciphered, holds nothing without its right."""
        held = self.held.get(number, 0) | self._pending.get(number, 0)
        for start in range(len(data) - GRAM + 1):
            gram = data[start : start + GRAM]
            if gram in self._secrets:
                raise Problem(f"a secret is in the reply: {gram.hex()}")
            file = self._markers.get(gram)
            if file and (file.read.never or file.read.rights & ~held):
                raise Problem(f"{file.path} is in the reply, and nobody may read it")

    def check_whole(self) -> None:
        """What would be left if the power went now is the same whole card."""
        pages = self.card.memory.pages
        again = SoftwareCard(Memory(pages))
        if again.damage:
            raise Problem(f"the memory is damaged: {again.damage}")
        if again.memory.pages != pages:
            raise Problem("the memory was not at rest")
        inspect(again)

    def _check_form(self, reply: bytes) -> None:
        if len(reply) < 2:
            raise Problem(f"a reply of {len(reply)} bytes")
        sw1 = reply[-2]
        if not (reply[-2:] == b"\x90\x00" or 0x61 <= sw1 <= 0x6F):
            raise Problem(f"no status word of ISO 7816-4: {reply[-2:].hex()}")
        protected = self._version_2 and reply[-12:-10] == b"\x8e\x08"
        if len(reply) > 2 and sw1 not in (0x90, 0x61, 0x62, 0x63) and not protected:
            raise Problem(f"data beside the error {reply[-2:].hex()}")

    def _check_rights(self, raw: bytes, reply: bytes) -> None:
        for number in [n for n in self.held if n not in self.card.channels]:
            del self.held[number]
        if self._version_2 and reply in _SESSION_ERRORS:
            self.held[raw[0] & 3] = 0
        for number, channel in self.card.channels.items():
            path = channel.directory.path
            if path not in self._kept:
                self._kept[path] = _kept_in(path)
            held = self.held.get(number, 0) & self._kept[path]
            self.held[number] = held
            if channel.rights & ~held:
                raise Problem(f"channel {number} holds a right that nobody proved")
            if channel.pin_verified and PIN_SHOWN not in self._shown:
                raise Problem("the PIN counts as verified, and nobody showed it")

    def _check_changes(self, held: int, life_cycle: int, *, refused: bool) -> None:
        pages, old = self.card.memory.pages, self._pages
        self._pages = pages
        changed = [n for n, page in pages.items() if n < JOURNAL_PAGE and page != old.get(n)]
        if refused and any(number not in _COUNTER_PAGES for number in changed):
            raise Problem("a refused command changed more than counters")
        if life_cycle == LifeCycle.BLANK:
            return
        for number in changed:
            address = number * PAGE_SIZE
            if FILE_AREA <= address < FILE_AREA_END:
                self._check_change(_file_at(address), held, life_cycle)
            elif address >= DYNAMIC_AREA and not self._may_change_created(held):
                raise Problem("a created file changed, and nobody was allowed to")

    def _check_change(self, file: ElementaryFile, held: int, life_cycle: int) -> None:
        rules = [
            rule for rule in (update_rule(KINDS[self.kind], file), file.erase) if not rule.never
        ]
        if life_cycle != LifeCycle.ACTIVE or not any(
            not rule.rights & ~held and (PIN_SHOWN in self._shown or not rule.pin) for rule in rules
        ):
            raise Problem(f"{file.path} changed, and nobody was allowed to")

    def _may_change_created(self, held: int) -> bool:
        if ISSUER in self._shown:
            return True
        nodes = [node for children in self.card.created.values() for node in children.values()]
        files = [node for node in nodes if isinstance(node, ElementaryFile)]
        return any(not f.update.never and not f.update.rights & ~held for f in files)


def _file_at(address: int) -> ElementaryFile:
    path = max(
        (path for path, start in FILE_ADDRESS.items() if start <= address),
        key=lambda path: FILE_ADDRESS[path],
    )
    file = PROFILE[path]
    assert isinstance(file, ElementaryFile)
    return file
