"""Options and arguments that several commands have; the shared ones fill the Context."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cardlib.errors import StorageError
from cardlib.unfinished import LONGEST_NAME

from .context import ENVIRONMENT, Context

FC = TypeVar("FC", bound="Callable[..., Any] | click.Command")


def keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Put an option into the Context, under its own name."""
    setattr(context.ensure_object(Context), str(option.name), value)


class NewPath(click.Path):
    """The path of a file or folder that the command makes: an error if there is one already."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; BadParameter, before anything else is done, when something is there."""
        path = Path(str(super().convert(value, param, ctx)))
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            self.fail(f"{path}: a new name has {LONGEST_NAME} bytes at most", param, ctx)
        if path.exists() or path.is_symlink():
            self.fail(f"{path} exists already and is not overwritten. Give a new name.", param, ctx)
        if not path.absolute().parent.is_dir():
            self.fail(f"{path}: there is no folder {path.parent}. Make it first.", param, ctx)
        check_may_write(path.absolute().parent)
        return path


def check_may_write(folder: Path) -> None:
    """Raise StorageError, before any work, when no file can be made in a folder."""
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        why = errno.EROFS if read_only else errno.EACCES
        raise StorageError(why, os.strerror(why), str(folder))


def check_output_folder(folder: Path, option: str) -> None:
    """Check, before any work, that files can be made in a folder, which may have to be made.

    BadParameter when something else is there, StorageError when it cannot be written.
    """
    there = folder.absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise click.BadParameter(f"{there} is not a folder", param_hint=f"'{option}'")
    check_may_write(there)


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    expose_value=False,
    callback=keep,
    help="Print one JSON document.",
)


def _keys_option(help_text: str) -> Callable[[FC], FC]:
    return click.option(
        "--keys",
        type=click.Path(path_type=Path),
        metavar="FILE",
        expose_value=False,
        callback=keep,
        help=help_text,
    )


keys_option = _keys_option("The key store.")
batch_keys_option = _keys_option(
    "The key store. Default: that of the configuration, then where it was at `rhcard prepare`."
)
configured_keys_option = _keys_option("The key store. Default: that of the configuration.")
no_keys_option = click.option(
    "--no-keys",
    is_flag=True,
    expose_value=False,
    callback=keep,
    help="Use no keys, though the configuration names some.",
)
passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    expose_value=False,
    callback=keep,
    help=(
        "Read the key store passphrase from the first line of FILE."
        f" Default: ${ENVIRONMENT}, then ask."
    ),
)
_SAM_OPTIONS = (
    click.option(
        "--sam",
        metavar="READER|FILE",
        expose_value=False,
        callback=keep,
        help="Take the keys of the SAM in this reader or file, in the place of --keys.",
    ),
    click.option(
        "--sam-pin-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        expose_value=False,
        callback=keep,
        help=(
            "Read the PIN of the SAM from the first line of FILE."
            " Default: $RHCARD_SAM_PIN, then ask."
        ),
    ),
)


sam_profile_option = click.option(
    "--profile",
    metavar="NAME",
    expose_value=False,
    callback=keep,
    help="How the SAM takes its PIN, and what key version 0 means: rhcard, field, or your own."
    " Default: that of the configuration, else rhcard.",
)


def sam_options(command: FC) -> FC:
    """The SAM of a terminal; `Context.terminal_keys` takes the options."""
    for option in reversed(_SAM_OPTIONS):
        command = option(command)
    return command


trial_option = click.option(
    "--trial",
    is_flag=True,
    expose_value=False,
    callback=keep,
    help="With --reader: allow a key store that one passphrase opens. Not for real residents.",
)
_PROFILE_OPTIONS = (
    click.option(
        "--profile",
        metavar="NAME",
        expose_value=False,
        callback=keep,
        help="How the card behaves: rhcard, or field for a deployed card that does not say what it"
        " is, or a profile of your own. See `rhcard card-profile explain`. Default: that of the"
        " configuration, then rhcard.",
    ),
    click.option(
        "--set",
        "settings",
        metavar="NAME=VALUE",
        multiple=True,
        expose_value=False,
        callback=keep,
        help="Change one setting of the profile. May be repeated.",
    ),
    click.option(
        "--cipher",
        type=click.Choice(["sm4", "aes"]),
        expose_value=False,
        callback=keep,
        help="With --profile field: the cipher of the card's keys. Default: that of --keys.",
    ),
    click.option(
        "--key-version",
        type=click.IntRange(1, 7),
        metavar="NUMBER",
        expose_value=False,
        callback=keep,
        help="With --profile field: the version of the card's keys. Default: that of --keys.",
    ),
    click.option(
        "--chip",
        metavar="SERIAL",
        expose_value=False,
        callback=keep,
        help="The chip serial, 16 hex digits, if it is not where the profile says.",
    ),
)


def profile_options(command: FC) -> FC:
    """How the one card behaves that a command meets; `profile_choice.chosen` takes the options."""
    for option in reversed(_PROFILE_OPTIONS):
        command = option(command)
    return command


reader_option = click.option(
    "--reader",
    metavar="NAME|NUMBER",
    help="The card in this PC/SC reader. A part of the name is enough. See `rhcard readers`.",
)
card_option = click.option(
    "--card", "card_file", metavar="FILE", help="The software card in this file."
)


def one_card_options(command: FC) -> FC:
    """The two ways to name the one card that a command meets; `cards.open_card` takes them."""
    return reader_option(card_option(command))


trusted_option = click.option(
    "--trusted",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    expose_value=False,
    callback=keep,
    help="Folder of certificates whose signatures are taken too, besides that of the keys.",
)
batch_argument = click.argument(
    "folder", metavar="BATCH", type=click.Path(path_type=Path, exists=True, file_okay=False)
)
