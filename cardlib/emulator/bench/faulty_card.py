"""A connection to a software card that injects the faults of a script."""

import random
import time
from collections.abc import Callable, Iterable

from ...apdu import CommandAPDU
from ...errors import FormatError, TransportError
from ...layout import KeySpec
from ..chip.image import ImageFile
from ..chip.memory import Memory
from ..chip.refusal import MemoryFailure, PowerCut
from ..profile.card_state import StoredKeySet, StoredPin, StoredState
from ..sessions.scp03 import R_MAC
from ..software_card import SoftwareCard
from .faults import (
    KEY_SET_COUNTER,
    PIN_COUNTER,
    Crc,
    Cut,
    DelayedReply,
    Fault,
    FlippedReply,
    LostReply,
    MemoryFlip,
    Moment,
    Removal,
    StuckCounter,
    TruncatedReply,
    WornMemory,
    WrongMac,
)

_SM_BITS, _SM_ISO, _OTHER_CHANNELS, _CHANNEL_BITS = 0x0C, 0x0C, 0x40, 0x03
_GET_RESPONSE = 0xC0
_SHORTEST_MAC = 4
_STATUS = 2
_OfReplies = LostReply | DelayedReply | TruncatedReply | FlippedReply


class InjectedFault(TransportError):
    """The base class of what a FaultyCard raises: a fault happened, and there is no reply."""


class PowerLost(InjectedFault):
    """Power failed. The card does nothing until `reset`."""


class ReplyLost(InjectedFault):
    """The command was executed, but its reply never arrived."""


class CardRemoved(InjectedFault):
    """The card is not in the reader, until `insert`."""


class CardMute(InjectedFault):
    """The card does not answer to reset: its memory does not match its checksums."""


class FaultyCard:
    """A Connection to a software card with the faults in `faults`.

    `apdus` and `writes` count commands and memory writes; a power cut does not reset them.
    `happened` lists the faults that happened, and where. The same card, faults and seed always
    behave the same. `sleep` waits for a delayed reply. Only the last FaultyCard made for a card has
    an effect on it.
    """

    def __init__(
        self,
        card: SoftwareCard,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.card = card
        self.faults = tuple(faults)
        self.apdus = self.writes = 0
        self.happened: list[str] = []
        self._protected_commands = self._protected_replies = 0
        self._reply_is_protected = False
        self._random = random.Random(seed)
        self._sleep = sleep
        self._powered = self._present = True
        self._mute = False
        stuck = frozenset(f.counter for f in self.faults if isinstance(f, StuckCounter))
        card.state = _StuckState(card.memory, stuck) if stuck else StoredState(card.memory)
        card.memory.on_write = self._on_write
        if flips := [fault for fault in self.faults if isinstance(fault, MemoryFlip)]:
            self._flip_memory(flips)

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return self.card.atr

    def reset(self) -> bytes:
        """Turn the card's power off and on; return the ATR.

        A cut can happen here too, while the card undoes what an earlier cut interrupted.
        """
        self._demand_a_card()
        self._reply_is_protected = False
        self._powered = True
        return self._with_power(self.card.reset)

    def insert(self) -> bytes:
        """Put a removed card back into the reader; return the ATR."""
        self._present = True
        return self.reset()

    def transmit(self, command: bytes) -> bytes:
        """Answer one command APDU. Raises InjectedFault when a fault prevents the reply."""
        self._demand_a_card()
        if not self._powered:
            raise PowerLost("the card has no power: reset it")
        self.apdus += 1
        self._strike(Moment.BEFORE)
        sent = self._command(command)
        reply = self._with_power(lambda: self.card.transmit(sent))
        self._strike(Moment.AFTER)
        return self._reply(command, reply)

    # --- supply and reader ----------------------------------------------------------------

    def _demand_a_card(self) -> None:
        if not self._present:
            raise CardRemoved("no card in the reader: insert it")
        if self._mute:
            raise CardMute("no answer to reset: a page of the card's memory is damaged")

    def _with_power(self, work: Callable[[], bytes]) -> bytes:
        try:
            return work()
        except PowerCut:
            self._powered = False
            raise PowerLost(f"power failed: {self.happened[-1]}") from None

    def _strike(self, moment: Moment) -> None:
        """Cut the power or remove the card, if that must happen at this moment of the APDU."""
        for fault in self.faults:
            if not isinstance(fault, Cut | Removal):
                continue
            if fault.apdu == self.apdus and fault.moment is moment:
                self._powered = False
                if isinstance(fault, Removal):
                    self._present = False
                    raise CardRemoved(f"the card was pulled out: {self._note(fault)}")
                raise PowerLost(f"power failed: {self._note(fault)}")

    def _note(self, fault: Fault) -> str:
        told = f"{fault} at APDU {self.apdus}, memory write {self.writes}"
        self.happened.append(told)
        return told

    # --- memory ---------------------------------------------------------------------------

    def _on_write(self, page: int, done: bool) -> None:
        if not done:
            self.writes += 1
        moment = Moment.AFTER if done else Moment.BEFORE
        for fault in self.faults:
            if isinstance(fault, Cut):
                if fault.write == self.writes and fault.moment is moment:
                    self._note(fault)
                    raise PowerCut
            elif (
                isinstance(fault, WornMemory)
                and not done
                and (self.writes in (fault.write or ()) or page in (fault.page or ()))
            ):
                raise MemoryFailure(f"the memory page is worn: {self._note(fault)}")

    def _flip_memory(self, flips: Iterable[MemoryFlip]) -> None:
        memory = self.card.memory
        for flip in flips:
            self._note(flip)
            if flip.crc is Crc.KEPT:
                memory.decay(flip.page, flip.offset, flip.bit)
                continue
            self._mute = True
            if isinstance(memory.store, ImageFile):
                memory.store.damage(flip.page, flip.offset, flip.bit)
        if not self._mute:
            self.reset()

    # --- messages -------------------------------------------------------------------------

    def _command(self, raw: bytes) -> bytes:
        """Return the command as the card receives it."""
        try:
            command = CommandAPDU.parse(raw)
        except FormatError:
            return raw
        if not _is_protected(command):
            if command.ins != _GET_RESPONSE:
                self._reply_is_protected = False
            return raw
        self._reply_is_protected = self._has_reply_mac(command)
        self._protected_commands += 1
        for fault in self.faults:
            if isinstance(fault, WrongMac) and self._protected_commands in (fault.command or ()):
                self._note(fault)
                changed = self._changed(command.data, len(command.data) - _SHORTEST_MAC)
                start = 5 if raw[4] else 7
                return raw[:start] + changed + raw[start + len(changed) :]
        return raw

    def _has_reply_mac(self, command: CommandAPDU) -> bool:
        if command.cla & _SM_BITS == _SM_ISO:
            return True
        channel = self.card.channels.get(command.cla & _CHANNEL_BITS)
        session = channel.scp03 if channel else None
        return session is not None and bool(session.level & R_MAC)

    def _reply(self, command: bytes, reply: bytes) -> bytes:
        """Return the reply as the terminal receives it."""
        if self._reply_is_protected and len(reply) > _STATUS + _SHORTEST_MAC and reply[-2] != 0x61:
            self._reply_is_protected = False
            self._protected_replies += 1
            reply = self._with_wrong_mac(reply)
        for fault in self.faults:
            if isinstance(fault, _OfReplies) and self.apdus in fault.apdu:
                reply = self._disturbed(fault, reply)
        return reply

    def _with_wrong_mac(self, reply: bytes) -> bytes:
        for fault in self.faults:
            if isinstance(fault, WrongMac) and self._protected_replies in (fault.reply or ()):
                self._note(fault)
                data = reply[:-_STATUS]
                reply = self._changed(data, len(data) - _SHORTEST_MAC) + reply[-_STATUS:]
        return reply

    def _disturbed(self, fault: _OfReplies, reply: bytes) -> bytes:
        told = self._note(fault)
        if isinstance(fault, LostReply):
            raise ReplyLost(f"no reply: {told}")
        if isinstance(fault, DelayedReply):
            self._sleep(fault.ms / 1000)
            return reply
        if isinstance(fault, TruncatedReply):
            kept = self._random.randrange(len(reply)) if fault.bytes is None else fault.bytes
            return reply[:kept]
        return self._changed(reply, 0, fault.bit)

    def _changed(self, data: bytes, start: int, bit: int | None = None) -> bytes:
        """Change one bit of the data: bit `bit`, or a random one from byte `start` on."""
        if bit is None:
            bit = self._random.randrange(8 * start, 8 * len(data))
        if bit >= 8 * len(data):
            return data
        position = bit >> 3
        changed = data[position] ^ 0x80 >> (bit & 7)
        return data[:position] + bytes((changed,)) + data[position + 1 :]


def _is_protected(command: CommandAPDU) -> bool:
    """Whether a command carries a MAC at the end of its data, in any secure messaging."""
    messaging = command.cla & _SM_BITS and not command.cla & _OTHER_CHANNELS
    return bool(messaging) and len(command.data) >= _SHORTEST_MAC


_store_pin = vars(StoredState)["pin"].fset
_store_key_sets = vars(StoredState)["key_sets"].fset


class _StuckState(StoredState):
    """The state of a card whose named try counters never change."""

    __slots__ = ("_stuck",)

    def __init__(self, memory: Memory, stuck: frozenset[str]) -> None:
        super().__init__(memory)
        self._stuck = stuck

    def set_key_tries(self, spec: KeySpec, tries: int) -> None:
        if spec.name not in self._stuck:
            super().set_key_tries(spec, tries)

    @property
    def pin(self) -> StoredPin | None:
        return super().pin

    @pin.setter
    def pin(self, pin: StoredPin) -> None:
        old = super().pin
        if old and PIN_COUNTER in self._stuck:
            pin = StoredPin(pin.block, pin.limit, old.remaining)
        _store_pin(self, pin)

    @property
    def key_sets(self) -> dict[int, StoredKeySet]:
        return super().key_sets

    @key_sets.setter
    def key_sets(self, sets: dict[int, StoredKeySet]) -> None:
        old = super().key_sets
        for version in old.keys() & sets.keys():
            if f"{KEY_SET_COUNTER}{version:02X}" in self._stuck:
                new, tries = sets[version], old[version].tries
                sets = {**sets, version: StoredKeySet(version, new.enc, new.mac, new.dek, tries)}
        _store_key_sets(self, sets)
