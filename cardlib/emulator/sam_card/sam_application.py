"""The SAM's application DF01: its selection, PIN and calculations (card specification 3)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hmac import compare_digest

from ...apdu import CommandAPDU
from ...crypto import BLOCK_SIZE, BlockCipher, diversify
from ...facts import MF_ID, SAM_APPLICATION, SAM_ID, SECURITY_DOMAIN, SpecVersion
from ...layout import KeySpec
from ...layout.sam_data import (
    AUTHENTICATE,
    AUTHENTICATING_IN_2_0,
    KEY_BY_SAM_ID,
    MEANINGS_OF_0,
    MESSAGING,
    NO_LIMIT,
    PIN_FORMS,
    TAG_KEY_SETS,
    TAG_USES_LEFT,
)
from ...status import OK, StatusWord
from ...tlv import ber, concatenate
from ..chip.refusal import Refusal
from ..profile.card_state import StoredPin
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from .sam_mutual import BINDING, REPLY, Mutual, binding_of
from .sam_state import RootKey, SamState

_BY_IDENTIFIER, _BY_NAME = 0x00, 0x04
_FCI, _NOTHING = 0x00, 0x0C
_CHIP = _REGION = _CHALLENGE = 8
_ENCRYPT, _MAC = 0x00, 0x05
_MAC_SIZE = 4
_PIN_SIZES = {PIN_FORMS["ASCII"]: 6, PIN_FORMS["BCD"]: 3}


@dataclass(slots=True)
class ProcessKeyState:
    """The process key of the last 80 DE: what it may still calculate."""

    key: BlockCipher
    usage: int


class SamApplication:
    """DF01 while the SAM has power: what is selected, verified and begun. A reset forgets it."""

    def __init__(self, state: SamState, random: Callable[[int], bytes]) -> None:
        self._state, self._random = state, random
        self._is_selected = self._is_open = False
        self._process_key: ProcessKeyState | None = None
        self._mutual: Mutual | None = None
        self._authenticated_version = 0

    def select(self, _card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
        """Select DF01 (by identifier or AID), the MF, or the security domain by its AID.

        DF01 answers an FCI if there is an Le: which keys it holds, and how many authentications
        are left. Leaving DF01 ends the PIN state.
        """
        if command.p2 not in (_FCI, _NOTHING):
            raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 00 or 0C")
        target = _target(command)
        if target == SAM_APPLICATION and command.p1 == _BY_IDENTIFIER:
            self._need_load(StatusWord.FILE_NOT_FOUND)
        if command.p1 == _BY_NAME:
            channel.scp03 = channel.load = None
        self._process_key = self._mutual = None
        self._authenticated_version = 0
        self._is_open = self._is_open and target == SAM_APPLICATION
        self._is_selected = target == SAM_APPLICATION
        channel.security_domain_selected = target == SECURITY_DOMAIN
        if command.p2 == _NOTHING or command.le is None:
            return OK
        return (self._fci() if self._is_selected else ber(0x6F, ber(0x84, target))) + OK

    def verify(self, card: Card, _channel: LogicalChannel, command: CommandAPDU) -> bytes:
        """Compare the PIN. Without data, answer how many tries are left and spend none."""
        self._need_selection()
        pin = self._state.pin
        if command.p1 or command.p2:
            raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00")
        if pin is None:
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the SAM is not loaded")
        if not command.data:
            if self._is_open:
                return OK
            raise Refusal(0x63C0 | pin.remaining, "the PIN is not verified")
        if not pin.remaining:
            raise Refusal(StatusWord.AUTHENTICATION_METHOD_BLOCKED, "the PIN is blocked")
        presented = self._presented(command.data)
        self._is_open = False
        self._process_key = self._mutual = None
        self._state.pin = StoredPin(pin.block, pin.limit, pin.remaining - 1)
        card.memory.commit()
        if not compare_digest(presented, pin.block):
            raise Refusal(0x63C0 | (pin.remaining - 1), "wrong PIN")
        self._state.pin = StoredPin(pin.block, pin.limit, pin.limit)
        card.memory.commit()  # before the PIN counts as verified: a 6581 must not open the SAM
        self._is_open = True
        return OK

    def diversify(self, card: Card, _channel: LogicalChannel, command: CommandAPDU) -> bytes:
        """Make the process key of a card key: chip8 [‖ region8] ‖ challenge8.

        P1 is levels << 5 | usage, as in keys.csv; P2 is version << 5 | key id. Of a version-2 set
        only the IRK has one. Usage 7 counts as an authentication.
        """
        version, key = self._named_key(command.p2)
        root = self._root(version, key)
        if command.p1 != key.sam_usage:
            why = f"P1 of {key.name} is {key.sam_usage:02X}: its own levels and usage"
            raise Refusal(StatusWord.INCORRECT_P1_P2, why)
        if root.spec == SpecVersion.V2 and key.role != "IRK":
            why = f"{key.name}, version {version}, is for specification 2.0: use 80 EA"
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
        factors, challenge = _factors(key, command.data, _CHALLENGE)
        usage = key.sam_usage & 0x1F
        self._spend(card, counts=usage == AUTHENTICATE)
        derived = diversify(_card_key(root, factors), challenge)
        self._process_key = ProcessKeyState(BlockCipher(root.cipher, derived), usage)
        if usage == AUTHENTICATE:
            self._authenticated_version = version
        return OK

    def calculate(self, _card: Card, _channel: LogicalChannel, command: CommandAPDU) -> bytes:
        """Encrypt whole blocks (P1 00), or MAC IV16 ‖ padded blocks (P1 05), by the process key.

        After usage 7 that is one block that ends in 00*8, once.
        """
        self._need_open()
        if command.p1 not in (_ENCRYPT, _MAC) or command.p2:
            raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 00 or 05, P2 must be 00")
        process_key = self._process_key
        if process_key is None:
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "send 80 DE first")
        if process_key.usage == MESSAGING:
            return _messaging(process_key.key, command) + OK
        if command.p1 == _MAC:
            why = "the key authenticates only: it makes no MAC"
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
        if len(command.data) != BLOCK_SIZE:
            raise Refusal(StatusWord.WRONG_LENGTH, "an authentication encrypts 16 bytes")
        if any(command.data[8:]):
            raise Refusal(StatusWord.INCORRECT_DATA, "the block must end in 00*8")
        self._process_key = None
        return process_key.key.encrypt_ecb(command.data) + OK

    def authenticate(self, card: Card, _channel: LogicalChannel, command: CommandAPDU) -> bytes:
        """Begin a version-2 authentication: chip8 [‖ region8] ‖ RND.IC8 ‖ B6 in, M ‖ T out.

        P1 and P2 are as in 80 DE. B must be the key's own: DF, KID, 20, cipher, version.
        """
        version, key = self._named_key(command.p2)
        root = self._root(version, key)
        if command.p1 not in (key.sam_usage, key.levels << 5 | AUTHENTICATE):
            why = f"{key.name} has {key.levels} levels, and authenticates with usage 7"
            raise Refusal(StatusWord.INCORRECT_P1_P2, why)
        if root.spec != SpecVersion.V2:
            why = f"{key.name}, version {version}, is for specification 1.0: use 80 DE"
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
        factors, rest = _factors(key, command.data, _CHALLENGE + BINDING)
        if key.name not in AUTHENTICATING_IN_2_0:
            why = f"{key.name} does not authenticate a terminal"
            raise Refusal(StatusWord.INCORRECT_DATA, why)
        rnd_ic, binding = rest[:_CHALLENGE], rest[_CHALLENGE:]
        if binding != binding_of(key, root.cipher, version):
            raise Refusal(StatusWord.INCORRECT_DATA, f"B is not that of {key.name}")
        self._spend(card, counts=True)
        self._mutual = Mutual(_card_key(root, factors), rnd_ic, binding, self._random)
        return self._mutual.cryptogram + OK

    def session_keys(self, _card: Card, _channel: LogicalChannel, command: CommandAPDU) -> bytes:
        """End a version-2 authentication: card reply40 ‖ P16 in, S_ENC16 ‖ S_MAC16 out.

        Each 80 EA allows one. A reply that is not the card's is answered 6300.
        """
        self._need_open()
        if command.p1 or command.p2:
            raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00")
        if self._mutual is None:
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "send 80 EA first")
        if len(command.data) != REPLY + BLOCK_SIZE:
            raise Refusal(StatusWord.WRONG_LENGTH, "needs the card's 40 bytes and P, 16 bytes")
        mutual, self._mutual = self._mutual, None
        return mutual.session_keys(command.data[:REPLY], command.data[REPLY:]) + OK

    def _fci(self) -> bytes:
        objects = [(TAG_KEY_SETS, described) for described in self._key_sets()]
        if self._state.is_personalized:
            objects.append((TAG_USES_LEFT, self._state.use.left.to_bytes(4, "big")))
        return ber(0x6F, ber(0x84, SAM_APPLICATION) + ber(0xA5, concatenate(objects)))

    def _key_sets(self) -> list[bytes]:
        found = []
        for version, keys in self._state.held().items():
            first = next(iter(keys.values()))
            ids = sum(1 << key_id for key_id in keys)
            found.append(bytes((first.spec, first.cipher, version)) + ids.to_bytes(4, "big"))
        return found

    def _need_load(self, sw: StatusWord) -> None:
        if not self._state.is_personalized:
            raise Refusal(sw, "the SAM is not loaded")

    def _need_selection(self) -> None:
        if not self._is_selected:
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "select DF01 first")

    def _need_open(self) -> None:
        self._need_selection()
        if not self._is_open:
            raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, "needs the PIN")

    def _presented(self, data: bytes) -> bytes:
        """Return the presented digits as a PIN block, 8 bytes. Refuses with 6700 or 6A80."""
        form = self._state.use.pin_form
        if len(data) != _PIN_SIZES[form]:
            raise Refusal(StatusWord.WRONG_LENGTH, f"the PIN has {_PIN_SIZES[form]} bytes")
        packed = form == PIN_FORMS["BCD"]
        digits = data.hex() if packed else data.decode("latin-1")
        if not (digits.isascii() and digits.isdigit()):
            raise Refusal(StatusWord.INCORRECT_DATA, "a PIN has 6 digits")
        return b"\x26" + bytes.fromhex(digits) + b"\xff" * 4

    def _named_key(self, p2: int) -> tuple[int, KeySpec]:
        """Return version and key that P2 names. Whatever was begun before is over."""
        self._need_open()
        self._process_key = self._mutual = None
        key = KEY_BY_SAM_ID.get(p2 & 0x1F)
        if key is None:
            raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no key {p2 & 0x1F:02X}")
        return p2 >> 5 or self._meant_by_0(key), key

    def _meant_by_0(self, key: KeySpec) -> int:
        """Return the version that version 0 means for a key, by the SAM's setting."""
        if self._state.use.meaning_of_0 == MEANINGS_OF_0["last authenticated"]:
            if not self._authenticated_version:
                why = "version 0 is that of the last 80 DE with usage 7, and there was none"
                raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, why)
            return self._authenticated_version
        held = [version for version, keys in self._state.held().items() if key.sam_key_id in keys]
        return max(held, default=1)

    def _root(self, version: int, key: KeySpec) -> RootKey:
        root = self._state.root(version, key.sam_key_id)
        if root is None:
            why = f"this SAM has no {key.name}, version {version}"
            raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, why)
        return root

    def _spend(self, card: Card, *, counts: bool) -> None:
        """Count an authentication in memory before it is made. Refuses with 6984 at the limit."""
        use = self._state.use
        if not use.left:
            raise Refusal(StatusWord.REFERENCE_DATA_NOT_USABLE, "the usage limit is reached")
        if counts:
            self._state.use = replace(use, used=min(use.used + 1, NO_LIMIT))
            card.memory.commit()


def _target(command: CommandAPDU) -> bytes:
    """Return the AID that is selected, or b"" for the MF."""
    if command.p1 == _BY_NAME:
        if command.data in (SAM_APPLICATION, SECURITY_DOMAIN):
            return command.data
        if not command.data:
            return SECURITY_DOMAIN
        raise Refusal(StatusWord.FILE_NOT_FOUND, "no application of this name")
    if command.p1 != _BY_IDENTIFIER:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 00 or 04")
    if command.data == SAM_ID.to_bytes(2, "big"):
        return SAM_APPLICATION
    if command.data in (b"", MF_ID.to_bytes(2, "big")):
        return b""
    raise Refusal(StatusWord.FILE_NOT_FOUND, "a SAM has the MF and DF01")


def _factors(key: KeySpec, data: bytes, rest: int) -> tuple[tuple[bytes, ...], bytes]:
    """Return the factors in the order in which they derive, and the rest of the data."""
    if len(data) != 8 * key.levels + rest:
        why = f"{key.name} needs {8 * key.levels + rest} bytes of data"
        raise Refusal(StatusWord.WRONG_LENGTH, why)
    chip, after = data[:_CHIP], data[_CHIP:]
    if key.levels == 1:
        return (chip,), after
    return (after[:_REGION], chip), after[_REGION:]


def _card_key(root: RootKey, factors: tuple[bytes, ...]) -> BlockCipher:
    key = root.block_cipher()
    for factor in factors:
        key = BlockCipher(root.cipher, diversify(key, factor))
    return key


def _messaging(key: BlockCipher, command: CommandAPDU) -> bytes:
    """Encrypt whole blocks, or MAC them after an IV, by the process key of an STK."""
    blocks = command.data if command.p1 == _ENCRYPT else command.data[BLOCK_SIZE:]
    if not blocks or len(command.data) % BLOCK_SIZE:
        raise Refusal(StatusWord.WRONG_LENGTH, "needs whole blocks of 16 bytes")
    if command.p1 == _ENCRYPT:
        return key.encrypt_ecb(blocks)
    return key.cbc_mac(blocks, command.data[:BLOCK_SIZE])[:_MAC_SIZE]
