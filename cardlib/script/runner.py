"""Run a script on a card and compare each answer with what the script expects."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..apdu import CommandAPDU, ResponseAPDU
from ..errors import CardKeyError, ChannelError, FormatError, StatusWordError, TransportError
from ..exchange import Connection
from ..keys import CardKeys, KeySet
from ..layout import FieldValue
from ..messaging import v1
from ..messaging.v2 import V2Channel
from ..status import words
from ..transport import capabilities, chip_serial, forms
from .decoder import Fact, Profile, facts_of, facts_of_reset, fields_of, profile_in
from .in_clear import NotProtected, would_bare
from .language import Authenticate, Command, Expectation, Reset, Script, Step

NO_KEYS = "no keys given"
"""The reason why authentications are skipped in a run without keys."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What was not as expected. `in_data`: the status word was right, only the data was not."""

    text: str
    in_data: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one step: the answer and what it says. A reset has `sw` None and ATR as data.

    `skipped` says why an authentication was not tried.
    """

    step: Step
    sw: int | None
    data: bytes = b""
    fields: tuple[FieldValue, ...] = ()
    facts: tuple[Fact, ...] = ()
    difference: Difference | None = None
    skipped: str = ""


def difference(
    expectations: tuple[Expectation, ...],
    sw: int | None,
    data: bytes,
    authenticated: frozenset[str] = frozenset(),
) -> Difference | None:
    """Compare an answer with the expectations that apply; None if one is met, or none applies."""
    applying = [each for each in expectations if each.applies(authenticated)]
    if not applying:
        return None
    right = [each for each in applying if sw is None or each.accepts(sw)]
    if not right:
        return Difference("expected " + " or ".join(map(str, applying)))
    reasons = [each.data.difference(data) if each.data else "" for each in right]
    if not all(reasons):
        return None
    return Difference("; or ".join(dict.fromkeys(reasons)), in_data=True)


class Runner:
    """Runs scripts on one connection. With keys it authenticates where a script says so.

    On a card of spec 2.0 the first authentication opens a session, and all further commands are
    sent protected. The plain answers are shown and compared. Outside a session no PIN, personal
    data or change is sent, unless `unprotected` is set or the card has said that it is of spec 1.0.
    `short_only`: the session uses no command of more than 255 bytes, for a reader that cannot
    carry extended length.
    """

    def __init__(
        self,
        connection: Connection,
        keys: KeySet | None = None,
        randomness: Callable[[int], bytes] = os.urandom,
        *,
        short_only: bool = False,
        unprotected: bool = False,
    ) -> None:
        self._connection, self._keys, self._random = connection, keys, randomness
        self._short_only, self._unprotected = short_only, unprotected
        self._profile: Profile | None = None
        self._authenticated: frozenset[str] = frozenset()
        self._wrong_cryptogram = False
        self._session: V2Channel | None = None

    def run(self, script: Script) -> Iterator[Outcome]:
        """Do all steps in order, whatever the card answers; yield the result of each.

        Raises TransportError when the card does not answer, CardKeyError when the keys are for
        other cards, NotProtected before a command that must not be sent in clear.
        """
        for step in script.steps:
            if isinstance(step, Reset):
                yield self._reset(step)
            elif isinstance(step, Command):
                self._check_protection(script.name, step)
                yield self._command(step)
            else:
                yield self._authenticate(step)

    def _reset(self, step: Reset) -> Outcome:
        atr = self._connection.reset()
        self._profile, self._authenticated, self._session = None, frozenset(), None
        differs = difference(step.expectations, None, atr)
        return Outcome(step, None, atr, facts=facts_of_reset(atr), difference=differs)

    def _send(self, command: bytes) -> ResponseAPDU:
        try:
            return ResponseAPDU.parse(self._connection.transmit(command))
        except FormatError as error:
            raise TransportError(str(error)) from None

    @property
    def _has_session(self) -> bool:
        """Whether a session was opened since the last reset; it may be over."""
        session = self._session
        return session is not None and (session.is_protected or session.is_over)

    def _check_protection(self, name: str, step: Command) -> None:
        if self._has_session or self._unprotected or not would_bare(step.apdu):
            return
        spec = self._profile.spec >> 4 if self._profile else None
        may_be_2 = spec != 1 or (self._keys is not None and self._keys.protocol != 1)
        if may_be_2:
            raise NotProtected(name, step, spec_known=spec is not None)

    def _in_session(self, command: bytes) -> ResponseAPDU:
        if self._session is None or not self._has_session:
            return self._send(command)
        return self._session.send(CommandAPDU.parse(command))

    def _command(self, step: Command) -> Outcome:
        try:
            response = self._in_session(step.apdu)
        except (ChannelError, FormatError) as error:
            return Outcome(step, None, difference=Difference(str(error)))
        self._profile = profile_in(step.apdu, response) or self._profile
        fields = fields_of(step.file, step.apdu, response) if step.file else ()
        facts = facts_of(step.apdu, response)
        differs = difference(step.expectations, response.sw, response.data, self._authenticated)
        return Outcome(step, response.sw, response.data, fields, facts, differs)

    def _authenticate(self, step: Authenticate) -> Outcome:
        name = step.key.name
        self._authenticated -= {name}
        if self._keys is None:
            return Outcome(step, None, skipped=NO_KEYS)
        if self._wrong_cryptogram:
            return Outcome(step, None, skipped="the card refused these keys before")
        if self._profile is None:
            hint = "the region factor is not known: SELECT the application with Le first"
            return Outcome(step, None, difference=Difference(hint))
        keys = self._card_keys(self._keys, self._profile)
        is_first = self._session is None
        try:
            response = self._prove(step, keys, self._profile.c1)
        except (ChannelError, FormatError) as error:
            return Outcome(step, None, difference=Difference(str(error)))
        if response.ok:
            self._authenticated |= {name}
            facts = self._facts_of_length() if is_first else ()
            return Outcome(step, response.sw, facts=facts)
        # Each further try with wrong keys would spend one of a key's 15 tries.
        self._wrong_cryptogram = response.sw & 0xFFF0 == 0x63C0
        differs = Difference(f"{name} refused: {words(response.sw)}")
        return Outcome(step, response.sw, difference=differs)

    def _card_keys(self, keys: KeySet, profile: Profile) -> CardKeys:
        """Return the card's keys. Raises CardKeyError, before a try is spent, if they don't fit."""
        if keys.protocol != profile.spec >> 4:
            raise CardKeyError(
                f"the keys are for version {keys.protocol} of secure messaging, but the card"
                f" is of spec {profile.spec >> 4}.{profile.spec & 15}"
            )
        if (keys.cipher, keys.version) != (profile.cipher, profile.key_version):
            raise CardKeyError(
                f"the keys are {keys.cipher.name} version {keys.version}, but the card's are"
                f" of cipher {profile.cipher:02X} version {profile.key_version}"
            )
        try:
            chip = chip_serial(self._connection.atr)
        except FormatError as error:
            raise TransportError(str(error)) from None
        return keys.for_card(chip, profile.region)

    def _prove(self, step: Authenticate, keys: CardKeys, c1: bytes) -> ResponseAPDU:
        """Send GET CHALLENGE and EXTERNAL AUTHENTICATE (card specification 4 and 5)."""
        if keys.protocol == 2:
            return self._prove_2(step, keys, c1)
        challenge = self._send(bytes(v1.GET_CHALLENGE))
        if not challenge.ok:
            return challenge
        if len(challenge.data) != 8:
            given = len(challenge.data)
            raise TransportError(f"GET CHALLENGE: the card's challenge has {given} bytes, not 8")
        process_key = keys.process_key(step.key.name, challenge.data)
        command = v1.external_authenticate(
            process_key, self._random(8), step.key.reference, keys.version
        )
        return self._send(bytes(command))

    def _prove_2(self, step: Authenticate, keys: CardKeys, c1: bytes) -> ResponseAPDU:
        if self._session is None:
            chaining, extended = forms(self._connection, short_only=self._short_only)
            transmit = self._connection.transmit
            self._session = V2Channel(transmit, c1, extended=extended, chaining=chaining)
        try:
            return self._session.authenticate(keys, step.key)
        except StatusWordError as error:
            return ResponseAPDU(b"", error.sw)

    def _facts_of_length(self) -> tuple[Fact, ...]:
        """Say so if the card announces extended length and the reader cannot carry it."""
        if self._session is None or self._session.extended or self._short_only:
            return ()
        if not capabilities(self._connection.atr).extended_length:
            return ()
        return (Fact("command length", "short, because the reader cannot carry extended length"),)
