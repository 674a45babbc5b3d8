"""Secure messaging version 2 on the host: authentication, then a session (card specification 5)."""

from ..apdu import MAX_SHORT_DATA, MAX_SHORT_LE, CommandAPDU, ResponseAPDU, Transmit
from ..commands import must_be_protected, name_of
from ..crypto import BLOCK_SIZE
from ..errors import CardError, ChannelError, FormatError, StatusWordError, TransportError
from ..exchange import send, send_bytes
from ..keys import CardKeys, MutualAuthentication, SessionKeys
from ..layout import KeySpec
from ..status import StatusWord, words
from ..transport.extended_length import carries
from .iso import SecureMessaging, cmac_suite, protected_length

GET_CHALLENGE = CommandAPDU(0x00, 0x84, 0x00, 0x00, le=8)
CRYPTOGRAM_SIZE = 40
C1_SIZE = 3
SHORT_REPLY_ROOM = 223
"""Data in a short protected reply: 87 81 E1 01 ‖ 224 ‖ DO99 ‖ DO8E is 242 of 256 bytes."""
SHORT_COMMAND_ROOM = 239
"""Data in a short protected command without Le: 87 81 F1 01 ‖ 240 ‖ DO8E is 254 of 255 bytes."""
EXTENDED_ROOM = 65503
"""Data either way in the extended form: 65,504 bytes of ciphertext and 19 around them."""
_CHAINING = b"RHC2-CHAIN"
_MORE_FOLLOWS = 0x10
_SWITCH = (
    "the command was in extended length: if the reader cannot carry that, open the card with"
    " short_only"
)


def binding(key: KeySpec, c1: bytes) -> bytes:
    """Return B, 6 bytes: file id of the DF that holds the key (2) ‖ KID (1) ‖ value of C1 (3).

    `c1` is from the card's FCI: spec, cipher, key version. Raises FormatError when its length is
    not 3.
    """
    if len(c1) != C1_SIZE:
        raise FormatError(f"C1 must have {C1_SIZE} bytes, not {len(c1)}")
    return key.df_id + bytes((key.reference,)) + c1


def external_authenticate(attempt: MutualAuthentication, key: KeySpec) -> CommandAPDU:
    """Return EXTERNAL AUTHENTICATE, 00 82 00 KID 28 M ‖ T 28: 40 bytes in both directions."""
    return CommandAPDU(0x00, 0x82, 0x00, key.reference, attempt.cryptogram, le=CRYPTOGRAM_SIZE)


class V2Host:
    """The keys of one session, without I/O. Each authentication replaces them.

    The session is over after any exception from this object or its `messaging`.
    """

    __slots__ = ("_keys", "messaging")

    def __init__(self) -> None:
        self.messaging: SecureMessaging | None = None
        self._keys: SessionKeys | None = None

    def authenticated(self, attempt: MutualAuthentication, reply: bytes) -> None:
        """Check the card's 40 bytes; the new keys are used from the next command on.

        P binds them to the session in which they were agreed. Raises ChannelError when the answer
        is wrong.
        """
        try:
            chaining = self._keys.mac.cmac(_CHAINING) if self._keys else bytes(BLOCK_SIZE)
            self._keys = attempt.session_keys(reply, chaining)
        except BaseException:
            if self.messaging:
                self.messaging.close()
            raise
        suite = cmac_suite(self._keys.enc, self._keys.mac)
        if self.messaging is None:
            self.messaging = SecureMessaging(suite)
        else:
            self.messaging.renew(suite)


class V2Channel:
    """Version 2 with a card: in clear until the first authentication, then all is protected.

    An unprotected or changed reply, a failed further authentication and a failed transport end the
    session. Every method then raises ChannelError: reset the card and make a new object.
    """

    def __init__(
        self,
        transmit: Transmit,
        c1: bytes,
        *,
        extended: bool | None = False,
        chaining: bool = False,
    ) -> None:
        """Take C1 of the FCI in `c1`. Authentication fails if the card itself has another one.

        `extended` and `chaining` say which command forms may be used beside short ones. If
        `extended` is None, the first authentication sends a harmless long command to find out.
        """
        self._transmit, self._c1 = transmit, c1
        self._extended, self._chaining = extended, chaining
        self._host = V2Host()
        self._is_over = False

    def __repr__(self) -> str:
        state = "over" if self._is_over else "protected" if self.is_protected else "plain"
        return f"<version 2 {state}>"

    @property
    def is_protected(self) -> bool:
        """Whether a session is open, in which every command and reply is protected."""
        return self._host.messaging is not None and not self._is_over

    @property
    def is_over(self) -> bool:
        """Whether the session has ended: nothing may be sent until the card is reset."""
        return self._is_over

    @property
    def extended(self) -> bool | None:
        """Whether extended length is used; None if that will be found out."""
        return self._extended

    @property
    def reply_room(self) -> int:
        """The most plain bytes in a reply: 223 in a session, 65503 with extended length."""
        if not self.is_protected:
            return MAX_SHORT_LE
        return EXTENDED_ROOM if self._extended else SHORT_REPLY_ROOM

    @property
    def command_room(self) -> int:
        """The most plain bytes in a command without Le that is sent in one piece."""
        return EXTENDED_ROOM if self._extended else SHORT_COMMAND_ROOM

    def close(self) -> None:
        """End the session, if there is one. The card ends it at reset or the next plain command."""
        self._is_over = self._is_over or self._host.messaging is not None

    def authenticate(self, keys: CardKeys, key: KeySpec) -> ResponseAPDU:
        """Send GET CHALLENGE and EXTERNAL AUTHENTICATE with a key of the current DF, or above it.

        Return the card's answer: 9000 if both sides are authenticated. A refusal ends an open
        session. Raises ChannelError when the card's cryptogram is wrong.
        """
        if self._extended is None:
            self._extended = carries(self._transmit)
        challenge = self.send(GET_CHALLENGE)
        if challenge.sw != 0x9000:
            raise StatusWordError("GET CHALLENGE", challenge.sw)
        if len(challenge.data) != 8:
            self.close()
            given = len(challenge.data)
            raise ChannelError(f"GET CHALLENGE: the card's challenge has {given} bytes, not 8")
        attempt = keys.authentication(key.name, challenge.data, binding(key, self._c1))
        response = self._once(external_authenticate(attempt, key))
        if response.sw != 0x9000:
            self.close()
            return ResponseAPDU(b"", response.sw)
        try:
            self._host.authenticated(attempt, response.data)
        except CardError:
            self._is_over = True
            raise
        return response

    def send(self, command: CommandAPDU) -> ResponseAPDU:
        """Send a command: in clear before the first authentication, protected after it.

        Raises ChannelError for a command that changes the card, or has a PIN or personal data in
        it, in clear: the card would refuse it, but somebody on the line could read or use it.
        """
        if self._host.messaging is not None or self._is_over:
            return self._once(command)
        if must_be_protected(command):
            raise _needs_session(command)
        return send(self._transmit, command)

    def change(self, command: CommandAPDU, keys: CardKeys, stk: str) -> ResponseAPDU:
        """Send a command that changes the card. Raises ChannelError when no session is open."""
        del keys, stk
        if not self.is_protected:
            raise _needs_session(command)
        return self._once(command)

    def _once(self, command: CommandAPDU) -> ResponseAPDU:
        """Send a command that must not be repeated."""
        if self._is_over:
            raise ChannelError("the session with the card is over: reset the card")
        messaging = self._host.messaging
        if messaging is None:
            return send(self._transmit, command, may_repeat=False)
        fits = self._fits(command)
        try:
            response = self._protected(messaging, command, fits)
            return ResponseAPDU(messaging.unprotect(response.data, response.sw), response.sw)
        except BaseException:
            self._is_over = True
            raise

    def _fits(self, command: CommandAPDU) -> bool:
        """Whether a command is sent in one piece. Raises FormatError if it cannot be sent."""
        if self._extended:
            return True
        length = protected_length(command.ins, len(command.data), command.le is not None)
        fits = length <= MAX_SHORT_DATA
        if (command.le or 0) > MAX_SHORT_LE or not (fits or self._chaining):
            raise FormatError(
                f"{name_of(command.cla, command.ins)} is too long: the card's ATR announces no"
                " extended length, or the reader cannot carry it; a chain is not possible"
            )
        return fits

    def _protected(
        self, messaging: SecureMessaging, command: CommandAPDU, fits: bool
    ) -> ResponseAPDU:
        raw = messaging.protect(
            command.cla, command.ins, command.p1, command.p2, command.data, command.le,
            extended=bool(self._extended) and command.extended,
        )  # fmt: skip
        if not fits:
            return self._chained(CommandAPDU.parse(raw))
        if raw[4]:
            return send_bytes(self._transmit, raw)
        return self._sent_extended(raw)

    def _sent_extended(self, raw: bytes) -> ResponseAPDU:
        """Send a command of extended length, never twice: the card may have executed it."""
        try:
            response = send_bytes(self._transmit, raw)
        except TransportError as error:
            if type(error) is not TransportError:
                raise  # its class says more: pulled out, reset by another program
            raise TransportError(f"{error} ({_SWITCH})") from error
        if response.sw == StatusWord.WRONG_LENGTH and not response.data:
            raise ChannelError(f"the reply is not protected: 6700 wrong length ({_SWITCH})")
        return response

    def _chained(self, command: CommandAPDU) -> ResponseAPDU:
        """Send one protected data field in segments (ISO/IEC 7816-4 5.3.3).

        The card's 9000 to each segment is plain and proves nothing; only its last answer does.
        """
        parts = [command.data[i : i + 255] for i in range(0, len(command.data), 255)]
        head = bytes((command.cla | _MORE_FOLLOWS, command.ins, command.p1, command.p2))
        for part in parts[:-1]:
            reply = send_bytes(self._transmit, head + bytes((len(part),)) + part)
            if reply.data or reply.sw != 0x9000:
                raise ChannelError(
                    f"a segment of a chain was refused: {reply.sw:04X} {words(reply.sw)}"
                )
        return send_bytes(
            self._transmit, command.header + bytes((len(parts[-1]),)) + parts[-1] + b"\0"
        )


def _needs_session(command: CommandAPDU) -> ChannelError:
    name = name_of(command.cla, command.ins)
    return ChannelError(f"{name} is never sent in clear to this card: authenticate first")
