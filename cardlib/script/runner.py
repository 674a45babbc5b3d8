"""Run a script on a card and compare each answer with what the script expects."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..apdu import CommandAPDU, ResponseAPDU
from ..card import CardIdentity, FieldCard, ResidentHealthCard
from ..card.field_card import BY_THE_KEYS
from ..card.serial_place import INTERNAL_KEY, PLACES, SerialTrial
from ..errors import ChannelError, FormatError, StatusWordError, TransportError
from ..exchange import Connection
from ..keys import CardKeys, KeySet
from ..layout import FieldValue
from ..layout.card_profile import RHCARD, CardProfile
from ..messaging import v1
from ..messaging.v2 import V2Channel
from ..status import words
from ..transport import capabilities, forms
from .decoder import Fact, Profile, facts_of, facts_of_reset, fields_of, profile_in
from .in_clear import NotProtected, would_bare
from .language import Authenticate, Command, Expectation, Reset, Script, Step

NO_KEYS = "no keys given"
"""The reason why authentications are skipped in a run without keys."""
_UNKNOWN_CARD = (
    "the region factor is not known: SELECT the application with Le first. If it is a deployed"
    " card, which does not say it, add --profile field"
)


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

    `profile` and `field_card` are what the operator says about the card, as for
    `ResidentHealthCard`. With another profile than RHCARD, a card is asked who it is and reset
    before the first step, if the script authenticates or would show something to a listener. With
    profile FIELD it is of spec 1.0 then, because the operator says so.
    """

    def __init__(
        self,
        connection: Connection,
        keys: KeySet | None = None,
        randomness: Callable[[int], bytes] = os.urandom,
        *,
        short_only: bool = False,
        unprotected: bool = False,
        profile: CardProfile = RHCARD,
        field_card: FieldCard = BY_THE_KEYS,
    ) -> None:
        self._connection, self._keys, self._random = connection, keys, randomness
        self._short_only, self._unprotected = short_only, unprotected
        self._card_profile, self._field_card = profile, field_card
        self._serial = SerialTrial(profile, field_card.chip)
        self._identity: CardIdentity | None = None
        self._asked_with_keys = False
        self._said_spec_2 = False
        self._profile: Profile | None = None
        self._authenticated: frozenset[str] = frozenset()
        self._wrong_cryptogram = False
        self._session: V2Channel | None = None

    def run(self, script: Script) -> Iterator[Outcome]:
        """Do all steps in order, whatever the card answers; yield the result of each.

        Raises TransportError when the card does not answer, CardKeyError when the keys are for
        other cards, ProfileNeeded when the ATR has no chip serial and the profile was not chosen,
        NotProtected before a command that must not be sent in clear. With another profile also the
        errors of `ResidentHealthCard.identify` and `internal_authenticate`, before the first step.
        """
        self._ask_who_it_is(script)
        for step in script.steps:
            if isinstance(step, Reset):
                yield self._reset(step)
            elif isinstance(step, Command):
                self._check_protection(script.name, step)
                yield self._command(step)
            else:
                yield self._authenticate(step)

    def _ask_who_it_is(self, script: Script) -> None:
        """Identify a card of another profile if the script needs that, and reset it.

        No try is spent: if the script authenticates, the internal key tells the serial's place. If
        the card refuses that, one key may be tried (`ResidentHealthCard.settle_serial`).
        """
        is_as_specified = (self._card_profile, self._field_card) == (RHCARD, BY_THE_KEYS)
        keys = self._keys if any(isinstance(s, Authenticate) for s in script.steps) else None
        is_known = self._identity is not None and (keys is None or self._asked_with_keys)
        if is_as_specified or is_known or not (keys or self._must_know_spec(script)):
            return
        profile = self._card_profile
        least = 1 if profile.fci == RHCARD.fci else None  # a card that is silent: FIELD's alone
        card = ResidentHealthCard(
            self._connection, keys, least, profile=profile, field_card=self._field_card
        )
        if keys and card.serial_is_sure and INTERNAL_KEY in keys.names:
            card.internal_authenticate()
        elif keys:
            self._serial = card.settle_serial()
        self._identity, self._asked_with_keys = card.identity, keys is not None
        self._connection.reset()

    def _must_know_spec(self, script: Script) -> bool:
        commands = (step.apdu for step in script.steps if isinstance(step, Command))
        return not self._unprotected and any(map(would_bare, commands))

    def _reset(self, step: Reset) -> Outcome:
        atr = self._connection.reset()
        self._profile, self._authenticated, self._session = None, frozenset(), None
        differs = difference(step.expectations, None, atr)
        return Outcome(step, None, atr, facts=self._facts_of_reset(atr), difference=differs)

    def _facts_of_reset(self, atr: bytes) -> tuple[Fact, ...]:
        if self._identity is None:
            return facts_of_reset(atr)
        place = f"{PLACES[self._serial.place]}{'' if self._serial.is_sure else ', not sure'}"
        return (Fact("chip serial", f"{self._identity.chip.hex().upper()} ({place})"),)

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
        of_keys = self._keys is not None and self._keys.protocol != 1
        if self._spec != 1 or of_keys:
            raise NotProtected(name, step, spec_known=self._spec is not None)

    @property
    def _spec(self) -> int | None:
        """The card's spec, 1 or 2: as it says itself, else as the operator says; None if unknown.

        What the operator says never makes a card old that said in this run that it is of spec 2.0.
        """
        if self._profile is not None:
            return self._profile.spec >> 4
        if self._identity is None or self._card_profile.fci == RHCARD.fci:
            return None
        return 2 if self._said_spec_2 else self._identity.protocol

    def _in_session(self, command: bytes) -> ResponseAPDU:
        if self._session is None or not self._has_session:
            return self._send(command)
        return self._session.send(CommandAPDU.parse(command))

    def _command(self, step: Command) -> Outcome:
        try:
            response = self._in_session(step.apdu)
        except (ChannelError, FormatError) as error:
            return Outcome(step, None, difference=Difference(str(error)))
        if said := profile_in(step.apdu, response):
            self._profile = said
            self._said_spec_2 |= said.spec >> 4 != 1
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
        identity = self._identity or self._as_it_says()
        if identity is None:
            return Outcome(step, None, difference=Difference(_UNKNOWN_CARD))
        keys = identity.keys_of(self._keys)
        is_first = self._session is None
        self._serial.begin()
        try:
            response = self._prove(step, keys, identity.c1)
        except (ChannelError, FormatError) as error:
            return Outcome(step, None, difference=Difference(str(error)))
        if response.ok:
            self._serial.succeeded()
            self._authenticated |= {name}
            facts = self._facts_of_length() if is_first else ()
            return Outcome(step, response.sw, facts=facts)
        # Each further try with wrong keys would spend one of a key's 15 tries.
        self._wrong_cryptogram = response.sw & 0xFFF0 == 0x63C0 or not self._serial.is_sure
        differs = Difference(f"{name} refused: {words(response.sw)}{self._serial.aside}")
        return Outcome(step, response.sw, difference=differs)

    def _as_it_says(self) -> CardIdentity | None:
        """The card as it described itself to the script, if it did."""
        said = self._profile
        if said is None:
            return None
        return CardIdentity.of(
            said.c1, said.region, lambda: self._serial.chip(self._connection.atr)
        )

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
