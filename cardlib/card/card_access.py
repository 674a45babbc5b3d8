"""Who a card is, what is selected on it, and which rights are held there."""

from dataclasses import replace
from functools import partial

from .. import commands
from ..apdu import CommandAPDU, ResponseAPDU
from ..errors import (
    CardKeyError,
    ChannelError,
    NotGenuine,
    NotPersonalized,
    ProfileNeeded,
    StatusWordError,
)
from ..exchange import Connection, send
from ..facts import Pin
from ..keys import CardKeys, KeySet
from ..layout import KEY_BY_NAME, KeySpec
from ..layout.card_profile import FIELD, RHCARD, CardProfile
from ..layout.load import ISSUER_FILE
from ..messaging import Messaging, v1
from ..messaging.v1 import V1Channel
from ..messaging.v2 import V2Channel
from ..status import StatusWord
from ..transport import forms
from . import file_access
from .addressing import Selection, contains
from .field_card import BY_THE_KEYS, UNSAID, FieldCard, has_issuer_file, region_of
from .file_access import AccessStyle
from .identity import CardIdentity
from .serial_place import INTERNAL_KEY, PLACES, Question, SerialTrial

_SELECTED = (0x9000, StatusWord.SELECTED_FILE_DEACTIVATED)
_DENIED = StatusWord.SECURITY_STATUS_NOT_SATISFIED


class CardAccess:
    """One card on a connection that nothing else uses: identification, keys, selection, rights.

    `ResidentHealthCard` adds reading and writing, and describes the parameters.
    """

    def __init__(
        self,
        connection: Connection,
        keys: KeySet | None = None,
        min_protocol: int | None = None,
        *,
        profile: CardProfile = RHCARD,
        field_card: FieldCard = BY_THE_KEYS,
        short_only: bool = False,
        strict: bool = False,
    ) -> None:
        self._connection, self._key_set, self._profile = connection, keys, profile
        self._min_protocol = min_protocol or (1 if profile.name == FIELD.name else 2)
        self._field_card, self._short_only, self._strict = field_card, short_only, strict
        self._style = AccessStyle.of(profile, strict=strict)
        self._serial = SerialTrial(profile, field_card.chip, strict=strict)
        self._identity: CardIdentity | None = None
        self._card_keys: CardKeys | None = None
        self._channel: Messaging | None = None
        self._selection, self._rights = Selection(profile, strict=strict), frozenset[str]()
        self._is_genuine = False

    @property
    def rights(self) -> frozenset[str]:
        """The names of the authenticated keys whose rights are still held."""
        over = self._channel is not None and self._channel.is_over
        return frozenset() if over else self._rights

    @property
    def reply_room(self) -> int:
        """The most bytes of data in a reply: 256, and in a session what its protection leaves."""
        return self._messaging().reply_room

    @property
    def identity(self) -> CardIdentity:
        """What is known about the card. Raises ChannelError when its protocol is not accepted."""
        return self._accepted()

    @property
    def protocol(self) -> int:
        """The card's version of secure messaging. Raises ChannelError when it is not accepted."""
        return self._accepted().protocol

    @property
    def serial_place(self) -> str:
        """Where the chip serial was taken from: a value of the setting `serial_place`."""
        return self._serial.place

    @property
    def serial_is_sure(self) -> bool:
        """Whether the card describes itself, or has proved that the chip serial is right."""
        return self._serial.is_sure

    @property
    def internal_refusal(self) -> int | None:
        """The status word with which the card refused to tell its chip serial by the IRK, if so."""
        return self._serial.refusal

    @property
    def selection(self) -> str:
        """How files are selected now, whatever the profile: a value of the setting `selection`."""
        return "file identifier" if self._selection.by_identifier else "name and path"

    def forget(self) -> None:
        """Forget what is selected and which rights are held; an open session ends until `reset`."""
        if self._channel is not None:
            self._channel.close()
            if self._channel.is_over:
                return
        self._forget()

    def reset(self) -> None:
        """Reset the card: it ends the session and all rights."""
        self._connection.reset()
        self._forget()

    def identify(self) -> CardIdentity:
        """Select DDF1 and read what the card says about itself.

        Outside a session nothing protects it. The first authentication confirms spec, cipher and
        key version; a level-2 key also confirms the region. Under a profile whose FCI says nothing,
        the region is read from DDF1/EF05 and the rest is the operator's. Raises StatusWordError or
        CardError when it is not a personalized health card, ProfileNeeded when it does not say
        what it is and the profile was not chosen.
        """
        try:
            fci = self.select("DDF1")
        except StatusWordError as error:
            if error.sw != _DENIED or self._channel is not None:
                raise
            # Another program left the card in a session; that command has ended it.
            fci = self.select("DDF1")
        identity = self._described(fci) if self._is_described else self._undescribed()
        if not self._in_session:
            channel = self._new_channel(identity)
            self._identity, self._card_keys, self._channel = identity, None, channel
        elif identity != self._identity:
            self._messaging().close()
            raise ChannelError(f"the card said {self._identity} in clear, {identity} protected")
        return identity

    def select(self, path: str) -> bytes:
        """Select "MF", "DDF1", a DF or an EF; return its FCI, if the profile has one."""
        return self._select(path, fci=self._is_described)

    def authenticate(self, key_name: str) -> None:
        """EXTERNAL AUTHENTICATE with a role key, in its DF, which is selected if necessary.

        Raises StatusWordError, which names the key, when the card refuses; it also refuses if the
        FCI was changed on the line. Raises ChannelError when the card's cryptogram is wrong. While
        the chip serial is not sure, the internal key settles it first, if it is at hand and the
        card answers; else a second authentication after a refused one raises CardKeyError, and
        nothing is sent.
        """
        key, keys, channel = _key(key_name), self._sure_keys(), self._messaging()
        self._enter(key.df_path)
        self._serial.begin()
        response = channel.authenticate(keys, key)
        if response.sw != 0x9000:
            self._rights -= {key_name}
            target = f"EXTERNAL AUTHENTICATE with {key_name} in {key.df_path}"
            tried = f"tried {_shown(keys, key_name)} for {self._identity}{self._serial.aside}"
            raise StatusWordError(target, response.sw, tried)
        self._serial.succeeded()
        self._rights |= {key_name}

    def internal_authenticate(self) -> None:
        """INTERNAL AUTHENTICATE. Raises NotGenuine when the card does not hold the IRK.

        It spends no try. While the place of the chip serial is not sure, the answer tells it.
        """
        keys, identity, question = self._keys(), self._accepted(), Question.new()
        self._enter("DDF1")
        reply = self._sent(question.command(keys.version), "INTERNAL AUTHENTICATE").data
        if question.is_answered(keys, reply):
            self._proved(self._serial.place)
            return
        others = self._serial.others(self._connection.atr)
        for chip, place in others.items():
            moved = replace(identity, chip=chip)
            if question.is_answered(self._keys_of(moved), reply):
                self._identity, self._card_keys = moved, None
                self._proved(place)
                return
        shown = _shown(keys, INTERNAL_KEY).removeprefix("check value ")
        places = ", ".join(PLACES[place] for place in others.values())
        elsewhere = f"; no chip serial fits that may be in {places}" if others else ""
        raise NotGenuine(f"{INTERNAL_KEY} {shown}, {identity}{elsewhere}")

    def settle_serial(self) -> SerialTrial:
        """Have the card tell its chip serial by the internal key; return what is known of it then.

        Nothing is sent if it is sure, or the internal key is not at hand. If the card refuses that,
        one authentication may be tried, as without the internal key. Raises NotGenuine when the
        card does not hold the internal key.
        """
        self._accepted()
        serial = self._serial
        if serial.is_sure or serial.refusal is not None or not self._has_internal_key:
            return serial
        self._enter("DDF1")
        try:
            self.internal_authenticate()
        except StatusWordError as error:
            serial.refusal = error.sw
        return serial

    def verify_pin(self, pin: str) -> None:
        """VERIFY the holder's PIN, 6 digits.

        Raises StatusWordError, which says how many tries are left, when the PIN is wrong, and
        ChannelError on a card of spec 2.0 outside a session: a PIN is never sent in clear there.
        A card that does not describe itself proves the internal key first, if that is at hand.
        """
        command = commands.verify(Pin(pin))
        self._accepted()
        self._enter("DDF1")
        self.send(command, "VERIFY")

    def send(self, command: CommandAPDU, name: str) -> ResponseAPDU:
        """Send a command, protected in a session. Raises StatusWordError when it is refused.

        A PIN is sent as `verify_pin` says.
        """
        self._accepted()
        if commands.sends_pin(command):
            self._prove_before_pin()
        return self._sent(command, name)

    def exchange(self, command: CommandAPDU) -> ResponseAPDU:
        """Send a command, protected in a session; return the answer, also if it is a refusal."""
        self._accepted()
        return self._send(command)

    def change(self, command: CommandAPDU, key_name: str) -> ResponseAPDU:
        """Send a command that changes the card; under version 1 with the MAC of `key_name`."""
        channel, keys = self._messaging(), self._sure_keys()
        if self._goes_in_clear(command):
            return channel.change(command, keys, key_name)
        self._serial.begin()
        response = channel.change(command, keys, key_name)
        if response.sw == 0x9000:
            self._serial.succeeded()
        return response

    def _proved(self, place: str) -> None:
        self._serial.succeeded(place)
        self._is_genuine = True

    def _forget(self) -> None:
        self._identity = self._card_keys = self._channel = None
        self._selection = Selection(self._profile, strict=self._strict)
        self._rights, self._is_genuine = frozenset(), False

    def _new_channel(self, identity: CardIdentity) -> Messaging:
        transmit = self._connection.transmit
        if identity.protocol == 1:
            return V1Channel(transmit, clear_updates=self._profile.clear_updates == "yes")
        chaining, extended = forms(self._connection, short_only=self._short_only)
        return V2Channel(transmit, identity.c1, extended=extended, chaining=chaining)

    def _prove_before_pin(self) -> None:
        """Have a card that does not describe itself prove the internal key, if it is at hand."""
        if not self._is_described and not self._is_genuine and self._has_internal_key:
            self.internal_authenticate()

    def _goes_in_clear(self, command: CommandAPDU) -> bool:
        clear_updates = self._profile.clear_updates == "yes" and self.protocol == 1
        return clear_updates and v1.in_clear(command) is not None

    def _messaging(self) -> Messaging:
        self._accepted()
        assert self._channel is not None
        return self._channel

    def _send(self, command: CommandAPDU) -> ResponseAPDU:
        if self._channel is None:
            return send(self._connection.transmit, command)
        return self._channel.send(command)

    def _sent(self, command: CommandAPDU, name: str) -> ResponseAPDU:
        response = self._send(command)
        if response.sw not in _SELECTED:
            raise StatusWordError(name, response.sw, file_access.why_refused(response.sw))
        return response

    def _accepted(self) -> CardIdentity:
        """Return the card's identity. Raises ChannelError when its protocol is not accepted."""
        identity = self._identity or self.identify()
        if identity.protocol < self._min_protocol:
            raise ChannelError(
                f"the card uses version {identity.protocol} of secure messaging; "
                f"this terminal accepts version {self._min_protocol} and later"
            )
        return identity

    @property
    def _is_described(self) -> bool:
        return self._profile.fci == "C1 and C2"

    @property
    def _in_session(self) -> bool:
        return self._channel is not None and self._channel.is_protected

    def _described(self, fci: bytes) -> CardIdentity:
        """What the FCI says. Raises ProfileNeeded when it says nothing, but there is data."""
        try:
            return CardIdentity.parse(fci, partial(self._serial.chip, self._connection.atr))
        except NotPersonalized:
            if not self._strict and not self._in_session and has_issuer_file(self._connection):
                raise ProfileNeeded(UNSAID) from None
            raise

    def _undescribed(self) -> CardIdentity:
        self._select(ISSUER_FILE.path)
        region = region_of(self._send, self._profile)
        chip = self._serial.chip(self._connection.atr)
        return self._field_card.identity(chip, region, self._key_set)

    def _keys(self) -> CardKeys:
        if self._card_keys is None:
            self._card_keys = self._keys_of(self._accepted())
        return self._card_keys

    def _keys_of(self, identity: CardIdentity) -> CardKeys:
        if self._key_set is None:
            raise CardKeyError("no keys were given: only free files can be read")
        return identity.keys_of(self._key_set)

    @property
    def _has_internal_key(self) -> bool:
        return self._key_set is not None and INTERNAL_KEY in self._key_set.names

    def _sure_keys(self) -> CardKeys:
        """The card's keys. If its chip serial is not sure, the internal key settles it first."""
        self._keys()  # keys that do not fit are refused before anything is sent
        self.settle_serial()
        return self._keys()

    def _select(self, path: str, *, fci: bool = False) -> bytes:
        selection = self._selection
        before = selection.df
        try:
            return selection.select(self._sent, path, fci=fci, in_session=self._in_session)
        finally:
            if selection.df != before:
                self._left_for(selection.df)

    def _left_for(self, df: str) -> None:
        """Give up the rights of the DFs that are neither `df` nor contain it."""
        kept = {name for name in self._rights if contains(KEY_BY_NAME[name].df_path, df)}
        self._rights = frozenset(kept)

    def _enter(self, df_path: str) -> None:
        """Select a DF unless it is current; keys of DDF1 are also found from the DFs below it."""
        df = self._selection.df
        if df != df_path and not (df_path == "DDF1" and df.startswith("DDF1/")):
            self._select(df_path)


def _key(name: str) -> KeySpec:
    try:
        return KEY_BY_NAME[name]
    except KeyError:
        raise CardKeyError(f"{name} is not a key of the card") from None


def _shown(keys: CardKeys, name: str) -> str:
    """How a message tells which key was tried: by its check value, which a SAM does not tell."""
    try:
        return f"check value {keys.key_check_value(name).hex().upper()}"
    except CardKeyError:
        return "the key in the SAM"
