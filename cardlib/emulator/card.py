"""SoftwareCard: bytes in, bytes out. It answers status words, never a Python exception."""

import os
import random
from collections.abc import Callable
from pathlib import Path

from ..apdu import MAX_EXTENDED_DATA, MAX_EXTENDED_LE, MAX_SHORT_LE, CommandAPDU
from ..errors import FormatError
from ..status import StatusWord
from . import created_files, image, security_domain
from .access import closed_directories, enter
from .answer_to_reset import answer_to_reset
from .dispatch import INTERINDUSTRY, PROPRIETARY, Command
from .memory import Memory
from .options import CardOptions
from .refusal import MemoryFailure, Refusal
from .scp03 import Scp03Session
from .secure_messaging_v2 import SPEC_2_0
from .secure_messaging_v2 import Session as SessionV2
from .security_domain import SecurityDomainOptions
from .session import LogicalChannel
from .state import KEY_TRIES, TRANSPORT_KEY_VERSION, CardState, LifeCycle, StoredKeySet
from .trace import Trace
from .tree import DDF1, DDF1_AID, MF, Directory, ElementaryFile

_GET_RESPONSE = 0xC0
_GET_DATA = 0xCA
_SM_PROPRIETARY, _SM_ISO = 0x04, 0x0C
_GLOBALPLATFORM = frozenset(security_domain.COMMANDS)
_SM_BITS, _CHAINING, _CHANNEL_BITS = 0x0C, 0x10, 0x03
_DEFAULT_OPTIONS = CardOptions()


class SoftwareCard:
    """One resident health card with its issuer security domain, in memory or in an image file.

    `last_refusal` says why the last command was refused, for a person.
    """

    def __init__(self, memory: Memory, randomness: Callable[[int], bytes] = os.urandom) -> None:
        self.memory = memory
        self.state = CardState(memory)
        self.security_domain_options = SecurityDomainOptions()
        self.random = randomness
        self.last_refusal = ""
        self.plain_command: CommandAPDU | None = None
        self.trace: Trace | None = None
        self._image: image.ImageFile | None = None
        self._power_on()

    @classmethod
    def blank(
        cls,
        chip: bytes,
        transport_keys: tuple[bytes, bytes, bytes],
        *,
        options: CardOptions = _DEFAULT_OPTIONS,
        seed: int | None = None,
    ) -> "SoftwareCard":
        """A card as its maker delivers it: chip serial (8 bytes) and transport ENC, MAC, DEK.

        With a seed its challenges repeat from run to run: for tests.
        """
        if len(chip) != 8:
            raise FormatError(f"a chip serial has 8 bytes, not {len(chip)}")
        memory = Memory()
        state = CardState(memory)
        state.chip = chip
        state.life_cycle = LifeCycle.BLANK
        state.blocked_directories = 0
        state.sequence_counter = 0
        keys = StoredKeySet(TRANSPORT_KEY_VERSION, *transport_keys, KEY_TRIES)
        state.key_sets = {keys.version: keys}
        state.options = options.encode()
        memory.commit()
        randomness = os.urandom if seed is None else random.Random(seed).randbytes
        return cls(memory, randomness)

    @classmethod
    def open(cls, path: Path) -> "SoftwareCard":
        """A card from its image; from here on every memory write goes to the file.

        Raises CardImageError if the file is no card image, damaged, or in use.
        """
        opened, pages = image.open_image(path)
        memory = Memory(pages)
        memory.store = opened
        card = cls(memory)
        card._image = opened
        return card

    def save(self, path: Path) -> None:
        """Write the whole card to a file, replacing it at once; later writes go there too."""
        self.close()
        self._image = image.create(path, self.memory.pages)
        self.memory.store = self._image

    def close(self) -> None:
        """Let go of the image file; the card stays usable in memory."""
        if self._image:
            self._image.close()
        self._image = self.memory.store = None

    @property
    def chip(self) -> bytes:
        """The chip serial, 8 bytes."""
        return self.state.chip

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return answer_to_reset(self.chip, self.options)

    def reset(self) -> bytes:
        """Forget selection, rights and sessions, finish an interrupted commit, give the ATR."""
        self._power_on()
        return self.atr

    def _power_on(self) -> None:
        self.memory.power_on()
        self.options = CardOptions.decode(self.state.options)
        self.refresh()
        self.channels = {0: LogicalChannel(0, MF)}

    @property
    def spec(self) -> int:
        """The card's spec, 0x10 or 0x20; FF on a blank card."""
        return self.state.profile[0]

    def child(self, directory: Directory, fid: int) -> Directory | ElementaryFile | None:
        """The file of that identifier in a directory."""
        if self.created:
            node = self.created.get(directory, {}).get(fid)
            if node:
                return node
        if self.state.life_cycle == LifeCycle.BLANK:
            return None
        return directory.children.get(fid)

    def application(self, name: bytes) -> Directory | None:
        """The DF of that name, whole (ISO/IEC 7816-4 5.2.2)."""
        if name == DDF1_AID:
            return MF if self.state.life_cycle == LifeCycle.BLANK else DDF1
        for children in self.created.values():
            for node in children.values():
                if isinstance(node, Directory) and node.aid == name:
                    return node
        return None

    def refresh(self) -> None:
        """Learn anew from memory which files were created and which directories are closed."""
        self.created = created_files.load(self.memory)
        self.closed_directories = closed_directories(self)

    def forget(self, gone: Directory | ElementaryFile) -> None:
        """No channel keeps a deleted file, or anything in a deleted DF, selected."""
        for channel in self.channels.values():
            inside = any(node is gone for node in channel.directory.ancestors())
            if inside or channel.file is gone:
                enter(channel, gone.parent or MF)

    def transmit(self, raw: bytes) -> bytes:
        """Answer one command APDU."""
        return self.answer(raw) if self.trace is None else self.trace.exchange(self, raw)

    def answer(self, raw: bytes) -> bytes:
        """Answer one command APDU, unseen by the trace."""
        self.last_refusal = ""
        self.plain_command = None
        try:
            response = self._process(CommandAPDU.parse(raw))
            self.memory.commit()
        except Refusal as refusal:
            self.last_refusal = refusal.reason
            response = refusal.sw.to_bytes(2, "big")
            self._undo()
        except FormatError as error:
            self.last_refusal = str(error)
            response = StatusWord.WRONG_LENGTH.to_bytes(2, "big")
            self._undo()
        except MemoryFailure as failure:
            self.last_refusal = str(failure)
            response = StatusWord.MEMORY_FAILURE.to_bytes(2, "big")
            self._undo()
        return response

    def _undo(self) -> None:
        """Forget what a refused command changed."""
        if self.memory.rollback():
            self.refresh()

    def _process(self, command: CommandAPDU) -> bytes:
        channel = self._channel(command)
        if command.ins == _GET_RESPONSE:
            return self._get_response(channel, command)
        channel.pending = b""
        if command.is_extended and not self.options.extended_length:
            raise Refusal(StatusWord.WRONG_LENGTH, "extended length is off")
        if channel.chain or command.cla & _CHAINING:
            joined = self._chained(channel, command)
            if joined is None:
                return b"\x90\x00"
            command = joined
        if channel.v2:
            return self._in_version_2(channel, channel.v2, command)
        if channel.scp03:
            return self._in_secure_channel(channel, channel.scp03, command)
        response = self._execute(channel, command)
        if channel.next_v2:
            channel.v2, channel.next_v2 = channel.next_v2, None
        return response

    def _in_secure_channel(
        self, channel: LogicalChannel, session: Scp03Session, command: CommandAPDU
    ) -> bytes:
        plain = session.unwrap(command)
        if plain is command:
            return self._execute(channel, command)
        self.plain_command = plain
        response = self._in_session(channel, plain)
        # What is protected leaves whole: Le is of the plain data, and some hosts send none.
        longest = MAX_EXTENDED_LE if command.extended else MAX_SHORT_LE
        return self._fit(channel, command.with_le(longest), session.wrap(response))

    def _in_version_2(
        self, channel: LogicalChannel, session: SessionV2, command: CommandAPDU
    ) -> bytes:
        """Only protected commands are processed; a session error is answered plain and ends it."""
        try:
            if command.cla & 0x80 or command.cla & _SM_BITS != _SM_ISO:
                why = "a session takes protected commands only, and has ended"
                raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, why)
            plain = session.unwrap(command)
        except Refusal:
            channel.end_v2()
            raise
        self.plain_command = plain
        response = session.wrap(self._limited(session, plain, self._in_session(channel, plain)))
        if channel.session_ends:
            channel.end_v2()
        elif channel.next_v2:
            channel.v2, channel.next_v2 = channel.next_v2, None
        longest = MAX_EXTENDED_LE if command.extended else MAX_SHORT_LE
        return self._fit(channel, command.with_le(longest), response)

    @staticmethod
    def _limited(session: SessionV2, plain: CommandAPDU, response: bytes) -> bytes:
        """The plain response, if DO97 and the protected form have room for its data."""
        available = len(response) - 2
        if available > session.room:
            return StatusWord.WRONG_LENGTH.to_bytes(2, "big")
        if plain.le is not None and available > plain.le:
            return bytes((0x6C, available & 0xFF))
        return response

    def _in_session(self, channel: LogicalChannel, plain: CommandAPDU) -> bytes:
        """Execute a command that came protected; what refuses it goes back protected too."""
        try:
            response = self._execute(channel, plain, in_session=True)
            self.memory.commit()
        except Refusal as refusal:
            self._undo()
            self.last_refusal = refusal.reason
            response = refusal.sw.to_bytes(2, "big")
        except MemoryFailure as failure:
            self._undo()
            self.last_refusal = str(failure)
            response = StatusWord.MEMORY_FAILURE.to_bytes(2, "big")
        return response

    def _execute(
        self, channel: LogicalChannel, command: CommandAPDU, in_session: bool = False
    ) -> bytes:
        if self.state.life_cycle >= LifeCycle.BLOCKED and command.ins != _GET_DATA:
            raise Refusal(StatusWord.FUNCTION_NOT_SUPPORTED, "the card is blocked")
        entry = self._entry(command)
        messaging = command.cla & _SM_BITS
        if messaging == _SM_PROPRIETARY and entry.protected and self.spec != SPEC_2_0:
            channel.used_challenge, channel.challenge = channel.challenge, None
        elif messaging == _SM_ISO and self.spec == SPEC_2_0:
            raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, "authenticate first")
        elif messaging and not (messaging == _SM_PROPRIETARY and command.ins in _GLOBALPLATFORM):
            raise Refusal(StatusWord.SECURE_MESSAGING_NOT_SUPPORTED)
        response = entry.handler(self, channel, command)
        if len(response) == 2 or in_session or entry.data_anyway:
            return response
        return self._fit(channel, command, response)

    def _chained(self, channel: LogicalChannel, command: CommandAPDU) -> CommandAPDU | None:
        """Collect a chain of commands; the whole command with its last (ISO/IEC 7816-4 5.3.3)."""
        header = bytes((command.cla & ~_CHAINING, command.ins, command.p1, command.p2))
        started, collected = channel.chain or (header, b"")
        channel.chain = None
        if header != started:
            if command.cla & _CHAINING:
                raise Refusal(StatusWord.LAST_COMMAND_EXPECTED, "another chain is not finished")
            return command
        collected += command.data
        if len(collected) > MAX_EXTENDED_DATA:
            raise Refusal(StatusWord.WRONG_LENGTH, "the chain is longer than any command")
        if command.cla & _CHAINING:
            channel.chain = header, collected
            return None
        return command._replace(data=collected)

    def _channel(self, command: CommandAPDU) -> LogicalChannel:
        cla = command.cla
        if cla & 0x60 and (cla & 0x80 or not cla & 0x40):
            raise Refusal(StatusWord.CLASS_NOT_SUPPORTED)
        if cla & 0x40:
            raise Refusal(StatusWord.LOGICAL_CHANNEL_NOT_SUPPORTED, "channels 4 to 19")
        if cla & 0x88 == 0x88:
            raise Refusal(StatusWord.CLASS_NOT_SUPPORTED)
        if cla & _CHAINING and not self.options.command_chaining:
            raise Refusal(StatusWord.COMMAND_CHAINING_NOT_SUPPORTED)
        channel = self.channels.get(cla & _CHANNEL_BITS)
        if channel is None:
            raise Refusal(StatusWord.LOGICAL_CHANNEL_NOT_SUPPORTED)
        return channel

    def _entry(self, command: CommandAPDU) -> Command:
        table = PROPRIETARY if command.cla & 0x80 else INTERINDUSTRY
        entry = table.get(command.ins)
        if entry is None:
            known = command.ins in PROPRIETARY or command.ins in INTERINDUSTRY
            raise Refusal(
                StatusWord.CLASS_NOT_SUPPORTED if known else StatusWord.INSTRUCTION_NOT_SUPPORTED
            )
        return entry

    def _fit(self, channel: LogicalChannel, command: CommandAPDU, response: bytes) -> bytes:
        """Answer as much as Le allows: 61xx without one, 6Cxx where it is too small."""
        available = len(response) - 2
        if command.le is None:
            channel.pending = response
            return self._more_available(available)
        if available <= command.le:
            return response
        if available < MAX_SHORT_LE:
            return bytes((0x6C, available))
        channel.pending = response[command.le :]
        return response[: command.le] + self._more_available(available - command.le)

    @staticmethod
    def _more_available(count: int) -> bytes:
        return bytes((0x61, count if count < MAX_SHORT_LE else 0))

    def _get_response(self, channel: LogicalChannel, command: CommandAPDU) -> bytes:
        if not channel.pending:
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "nothing to get")
        if command.p1 or command.p2:
            raise Refusal(StatusWord.INCORRECT_P1_P2)
        response, wanted = channel.pending, command.le or MAX_SHORT_LE
        available = len(response) - 2
        if wanted >= available:
            channel.pending = b""
            return response
        channel.pending = response[wanted:]
        return response[:wanted] + self._more_available(available - wanted)
