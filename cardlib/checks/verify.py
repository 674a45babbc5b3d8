"""Verify an issued card: read it back, compare it, and try what it must refuse.

No wrong cryptogram and no wrong PIN is ever presented (card specification 8).
"""

from contextlib import suppress
from functools import cache

from ..card import CardIdentity, ResidentHealthCard
from ..errors import CardError, CardKeyError, KeysUnavailable, TransportError
from ..exchange import Connection
from ..facts import ChipSerial, Pin
from ..keys import KeySet
from ..layout import FILES, KEYS, FileSpec
from ..layout.load import ISSUER_FILE, Records, text_of
from . import refusals
from .announced import announced
from .content import content
from .findings import CardCheck, Finding, Gap, LeftOut, checked

_AUTHENTICATING = {1: ("RK", "UK", "LK", "BK"), 2: ("RK", "UK", "LK", "BK", "PUK")}
"""The roles that EXTERNAL AUTHENTICATE accepts, by the version of secure messaging."""
_CLINICAL = "DDF1/DF02/EF05"
_NOT_TRIED = tuple(f.path for f in refusals.CLOSED_FILES if f not in refusals.ONE_A_DIRECTORY)
_DIRECTORIES = (*dict.fromkeys(file.df_path for file in FILES), "MF")


def verify_card(
    connection: Connection,
    keys: KeySet,
    issued: Records,
    chip: ChipSerial,
    *,
    active: bool,
    pin: Pin | None = None,
    full: bool = False,
) -> CardCheck:
    """Find everything that is wrong with a personalized card, as far as the keys allow.

    `issued` are the records that the card was loaded with, including its chip serial number. Give
    `pin` only if the holder cannot have changed it. Unless `full`, blank files are not read whole,
    and one file of each directory is tried without keys. Raises TransportError when the card does
    not answer any more.
    """
    connection.reset()
    card = ResidentHealthCard(connection, keys, min_protocol=keys.protocol, strict=True)
    findings = checked("identification", card.identify)
    if findings:
        return CardCheck(tuple(findings))
    found = card.identify()
    keys = _fitting(found, keys)
    findings += _identity(found, keys, chip)
    findings += refusals.closed_files(
        card.exchange, refusals.CLOSED_FILES if full else refusals.ONE_A_DIRECTORY
    )
    findings += refusals.transport_keys(card.exchange)
    findings += refusals.update_in_clear(connection)
    card.forget()
    if not_genuine := checked("internal authentication", card.internal_authenticate):
        # Its other keys would be wrong too, and each wrong key spends one of its tries.
        return CardCheck((*findings, *not_genuine))
    check = _Check(card, issued, keys.names, active=active, full=full)
    for df_path in _DIRECTORIES:
        check.directory(df_path)
    check.session(connection, pin)
    not_held = check.not_held
    card.reset()
    not_tried = () if full else _NOT_TRIED
    left_out = LeftOut(tuple(check.gaps), not_tried, not_held)
    return CardCheck((*findings, *check.findings), left_out)


def _fitting(found: CardIdentity, keys: KeySet) -> KeySet:
    """The part of the keys that is for a card; all of them if none is, which is a finding then."""
    try:
        return found.fitting(keys)
    except CardKeyError:
        return keys


def _identity(found: CardIdentity, keys: KeySet, chip: ChipSerial) -> list[Finding]:
    with suppress(CardKeyError):  # none fit: the differences to the newest are the findings
        keys = found.fitting(keys)
    pairs = {
        "chip": (str(chip), found.chip.hex().upper()),
        "cipher": (keys.cipher.name, found.cipher.name if found.cipher else "unknown"),
        "key version": (str(keys.version), str(found.key_version)),
        "protocol": (str(keys.protocol), str(found.protocol)),
    }
    return [
        Finding("DDF1", 0, name, "differs", want, got)
        for name, (want, got) in pairs.items()
        if want != got
    ]


class _Check:
    """Goes through a card's directories, and collects what it finds and what it leaves out."""

    def __init__(
        self,
        card: ResidentHealthCard,
        issued: Records,
        held: frozenset[str],
        *,
        active: bool,
        full: bool,
    ) -> None:
        self._card, self._issued, self._active, self._full = card, issued, active, full
        self._held = held
        self.findings: list[Finding] = []
        self.gaps: list[Gap] = []

    def directory(self, path: str) -> None:
        """Check one directory: its files with its read key alone, then its other keys."""
        reading, *others = _keys_of(path, self._card.protocol)
        self._authenticate(reading)
        for file in FILES:
            if file.df_path == path:
                self._file(file)
        for name in others:
            self._authenticate(name)

    def session(self, connection: Connection, pin: Pin | None) -> None:
        """Check the PIN, and that a session refuses a command in clear, which ends it."""
        if self._card.protocol == 2 and not self._card.rights:
            return  # the card refused its last key: it is in no session, and has a finding already
        if pin is not None:
            self.findings += checked("the sealed PIN", lambda: self._card.verify_pin(pin))
        if self._card.protocol == 2:
            self.findings += refusals.command_in_clear(connection)

    @property
    def not_held(self) -> tuple[str, ...]:
        """The keys that could not be tried, because the terminal does not hold them."""
        tried = (name for path in _DIRECTORIES for name in _keys_of(path, self._card.protocol))
        return tuple(name for name in tried if name not in self._held)

    def _authenticate(self, name: str) -> None:
        if name not in self._held:
            return
        wrong = checked(name, lambda: self._card.authenticate(name))
        if wrong and self._card.protocol == 2:
            # A refused authentication ends the session and all other rights.
            self._card.reset()
        self.findings += wrong

    def _file(self, file: FileSpec) -> None:
        card = self._card
        try:
            findings = announced(file.path, card.select(file.path))
            if file.read_key and file.read_key not in self._held:
                self.findings += findings
                self.gaps.append(Gap(file.path, 0, file.size))
                return
            differing, gaps = content(card, file, self._issued, full=self._full)
            findings += differing
            if file.path == ISSUER_FILE.path and not differing:
                findings += _spec_version(card.identify(), self._issued)
            if file.path == _CLINICAL:
                in_clear = card.protocol == 1
                findings += refusals.update(
                    card.exchange, file.path, in_clear=in_clear, active=self._active
                )
        except (TransportError, KeysUnavailable):
            raise
        except CardError as error:
            findings, gaps = [Finding(file.path, 0, "", f"cannot be read: {error}")], []
        self.findings += findings
        self.gaps += gaps


@cache
def _keys_of(df_path: str, protocol: int) -> tuple[str, ...]:
    """The keys of a directory that can authenticate, its read key first."""
    roles = _AUTHENTICATING[protocol]
    keys = [key for key in KEYS if key.df_path == df_path and key.role in roles]
    return tuple(key.name for key in sorted(keys, key=lambda key: roles.index(key.role)))


def _spec_version(identity: CardIdentity, issued: Records) -> list[Finding]:
    """Check that tag 02 of the issuer's data names the specification that the FCI names."""
    path, name = ISSUER_FILE.path, "spec_version"
    record = next(field.record for field in ISSUER_FILE.fields if field.name == name)
    found = text_of(issued, path, record, name)
    if found == identity.spec_text:
        return []
    problem = "differs from the specification in the card's FCI"
    return [Finding(path, record, name, problem, identity.spec_text, found)]
