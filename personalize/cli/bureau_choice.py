"""Which register the bureau has, and which station this is."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cardlib.errors import CardKeyError, FormatError

from .context import Context
from .options import keep

if TYPE_CHECKING:
    from cardlib.keys.issuer import Issuer

    from ..production.bookkeeping import Bureau

FC = TypeVar("FC", bound="Callable[..., Any] | click.Command")

_NEEDED = (
    "cards for residents are recorded in the bureau's register, so that nobody gets two. Give"
    " --database FILE or --database postgresql://USER@HOST/NAME, or set database in the"
    " configuration. For a trial add --trial"
)

database_option = click.option(
    "--database",
    metavar="FILE|URL",
    expose_value=False,
    callback=keep,
    help="The bureau's register: an SQLite file, or postgresql://USER@HOST/NAME. Default: that of"
    " the configuration, else the journal in the folder of the batch.",
)
station_option = click.option(
    "--station",
    metavar="NAME",
    expose_value=False,
    callback=keep,
    help="The name of this station in the register. Default: that of the configuration, else this"
    " computer's name.",
)


def database_of(context: Context) -> str | None:
    """The path or URL of the register; None when none was named. UsageError for a wrong one."""
    given = context.database
    if given is None:
        found = context.configuration.setting("database").value
        return None if found is None else str(found)
    return _value(context, "database", given, "--database")


def station_of(context: Context) -> str:
    """The name of this station. UsageError for a wrong one."""
    given = context.station
    if given is None:
        found = context.configuration.setting("station").value
        given = str(found) if found else socket.gethostname()
    return _value(context, "station", given, "--station")


def _value(context: Context, name: str, given: str, hint: str) -> str:
    from .config_settings import SETTING_BY_NAME

    try:
        return str(SETTING_BY_NAME[name].value(given))
    except FormatError as error:
        raise click.BadParameter(str(error), param_hint=hint) from None


def needed_database(context: Context) -> str:
    """The path or URL of the register. UsageError when none was named."""
    where = database_of(context)
    if where is None:
        raise click.UsageError(
            "which register? Give --database FILE|URL, or set database in the configuration"
        )
    return where


def stations_folder() -> Path:
    """The folder of the stations' own files (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "rhcard" / "stations"


def chosen_bureau(
    context: Context, issuer: "Issuer", *, for_residents: bool = False
) -> "Bureau | None":
    """The bureau's register as this command uses it; None when none was named.

    CardKeyError when none was named and real cards are made `for_residents`.
    """
    where = database_of(context)
    if where is None:
        if for_residents and not issuer.is_test:
            raise CardKeyError(_NEEDED)
        return None
    from ..production.bookkeeping import Bureau

    return Bureau(where, station_of(context), stations_folder(), issuer_of(context))


def issuer_of(context: Context) -> "Callable[[str], Issuer]":
    """A function that gives the issuer with the keys of an identity."""

    def of(identity: str) -> "Issuer":
        if context.agent is not None:
            from cardlib.issuance.agent_issuer import AgentIssuer

            return AgentIssuer.at(context.agent, identity)
        from cardlib.issuance.local import LocalIssuer

        store = context.batch_store or context.open_store()
        known = [each.identity for each in store.header.versions]
        if identity not in known:
            raise CardKeyError(
                f"the register is of another issuer: its tags are made with keys {identity}, the"
                f" key store has {', '.join(known)}. Give the register of this issuer"
            )
        return LocalIssuer(store.of(identity))

    return of
