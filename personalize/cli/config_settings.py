"""The settings of the configuration file as a table: what each may be, and what it is for."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cardlib.errors import FormatError

from .config_file import short

Value = Path | str | tuple[str, ...]
Reading = Callable[[object, Path | None], Value]
"""Reads a value; a relative path starts from the folder, or where rhcard runs without one."""

_SOCKET_BYTES = 107
_LABEL_BYTES = 32
_CITY_DIGITS, _MOST_CODE_DIGITS = 6, 22
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class ConfigSetting:
    """One row of the table. FormatError of `read` says what is wrong, `example` what to write."""

    name: str
    read: Reading
    example: str
    meaning: str
    used_by: tuple[str, ...] = ()
    environment: str = ""
    default: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Its table, if it has one, and its own key."""
        return tuple(self.name.split("."))

    def value(self, given: object, folder: Path | None = None) -> Value:
        """Read a value. Raises FormatError, which names the setting and what to write."""
        try:
            return self.read(given, folder)
        except FormatError as error:
            raise FormatError(f"{self.name} {error}: write {self.example}") from None


def _text(given: object, _: Path | None = None) -> str:
    if not isinstance(given, str):
        raise FormatError("must be a text in quotes")
    if not given.strip():
        raise FormatError("is empty")
    if len(given) > _LONGEST or not given.isprintable():
        raise FormatError(f"is {short(given)}, which has a character that nobody sees, or too many")
    return given


def _path(given: object, folder: Path | None) -> Path:
    """A path; `~` is your home folder in the file, as it is in a shell."""
    text = _text(given)
    path = Path(os.path.expanduser(text) if folder else text)
    if text.startswith("~") and folder and not path.is_absolute():
        raise FormatError(f"is {short(text)}, and there is no such user")
    return Path(os.path.abspath(folder / path)) if folder else path


def _socket(given: object, folder: Path | None) -> Path:
    path = _path(given, folder)
    if len(os.fsencode(path)) > _SOCKET_BYTES:
        raise FormatError(f"is too long: the path of a socket has {_SOCKET_BYTES} bytes at most")
    return path


def _label(given: object, _: Path | None) -> str:
    label = _text(given)
    if len(label.encode()) > _LABEL_BYTES:
        raise FormatError(f"is {short(label)}: a token's label has {_LABEL_BYTES} bytes at most")
    return label


def _digits(least: int, most: int) -> Reading:
    def read(given: object, _: Path | None) -> str:
        text = _text(given)
        if not re.fullmatch(f"[0-9]{{{least},{most}}}", text):
            count = f"{most} digits" if least == most else f"{most} digits at most"
            raise FormatError(f"is {short(given)}, not {count}")
        return text

    return read


def _database(given: object, folder: Path | None) -> Value:
    """A path, or a URL without a password: that would be read by everybody who reads the file."""
    text = _text(given)
    if "://" not in text:
        return _path(given, folder)
    address = text.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if ":" in address or "password=" in text:
        raise FormatError(
            "has a password: take it out, and put it into the file ~/.pgpass, or PGPASSWORD"
        )
    return text


def _station(given: object, _: Path | None = None) -> str:
    text = _text(given)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise FormatError(f"is {short(text)}")
    return text


def _readers(given: object, _: Path | None) -> tuple[str, ...]:
    """Names, or parts of them. A number is another reader when one is plugged in or out."""
    if not isinstance(given, list) or not given:
        raise FormatError("must be a list of reader names")
    names = tuple(_text(each) for each in given)
    for name in names:
        if name.strip().isdigit():
            problem = "a number, which is another reader when one is plugged in or out"
            raise FormatError(f"has {short(name)}, {problem}")
        if [each.casefold() for each in names].count(name.casefold()) > 1:
            raise FormatError(f"has {short(name)} twice")
    return names


def _language(given: object, _: Path | None) -> str:
    text = _text(given)
    if text == "zh":
        labels = "`rhcard read --lang zh` shows a card with Chinese labels"
        raise FormatError(f'is "zh", and rhcard speaks English only as yet ({labels})')
    if text != "en":
        raise FormatError(f"is {short(text)}")
    return text


_KEY_COMMANDS = ("prepare", "proofs", "issue", "verify", "pins", "read")

SETTINGS = (
    ConfigSetting(
        "keys", _path, 'keys = "FILE"',
        "the key store, as `--keys`. It stands over the place that a batch remembers",
        _KEY_COMMANDS, "RHCARD_KEYS",
    ),
    ConfigSetting(
        "agent", _socket, 'agent = "SOCKET"',
        "the socket of the key agent, which holds the keys in place of a key store",
        _KEY_COMMANDS, "RHCARD_AGENT",
    ),
    ConfigSetting(
        "token.module", _path, 'module = "/usr/lib/softhsm/libsofthsm2.so" below [token]',
        "the PKCS#11 library of the token that holds the keys, as `--module`",
        (*_KEY_COMMANDS, "keys new", "keys token"), "RHCARD_TOKEN_MODULE",
    ),
    ConfigSetting(
        "token.label", _label, 'label = "NAME" below [token]',
        "the label of that token, 32 bytes at most",
        _KEY_COMMANDS,
    ),
    ConfigSetting(
        "profile", _text, 'profile = "NAME"',
        "the card profile without `--profile`: `rhcard`, or one of your own with"
        ' `base = "rhcard"`',
        ("read", "apdu run"), "RHCARD_PROFILE", "rhcard",
    ),
    ConfigSetting(
        "issuer.name", _text, 'name = "示例市卫生健康委员会" below [issuer]',
        "`issuer_name` of a list that has neither `issuer_name` nor `issuer_code`",
        ("prepare",),
    ),
    ConfigSetting(
        "issuer.code", _digits(1, _MOST_CODE_DIGITS), 'code = "99010001234" below [issuer]',
        "`issuer_code` of such a list, 22 digits at most",
        ("prepare",),
    ),
    ConfigSetting(
        "region", _digits(_CITY_DIGITS, _CITY_DIGITS), 'region = "990100"',
        "`city_code` of a list that has no `city_code` and only residents of `issuer.code`,"
        " 6 digits",
        ("prepare",),
    ),
    ConfigSetting(
        "readers", _readers, 'readers = ["NAME", "NAME"]',
        "the readers without `--reader`, `--card` and `--cards`: names or parts of names,"
        " no numbers",
        ("issue", "verify", "read"),
    ),
    ConfigSetting(
        "database", _database, 'database = "FILE" or "postgresql://USER@HOST/NAME"',
        "the bureau's register, as `--database`",
        ("issue", "verify", "pins", "status", "journal"), "RHCARD_DATABASE",
    ),
    ConfigSetting(
        "station", _station, 'station = "NAME"',
        "the name of this station in the register, as `--station`: letters, digits, `-`, `_` and"
        " `.`, 64 at most",
        ("issue", "journal"), "RHCARD_STATION",
    ),
    ConfigSetting(
        "language", _language, 'language = "en"',
        "the language of messages: only `en`, English",
        ("config show",), "", "en",
    ),
)  # fmt: skip
"""Every setting. Where two name who holds the keys, only one may stand in the file."""

SETTING_BY_NAME: Mapping[str, ConfigSetting] = MappingProxyType(
    {each.name: each for each in SETTINGS}
)
VARIABLES = ("RHCARD_CONFIG", "RHCARD_PASSPHRASE", *filter(None, (e.environment for e in SETTINGS)))
"""The environment variables of rhcard."""
