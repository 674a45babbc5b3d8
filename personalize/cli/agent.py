"""rhcard agent: run the key agent, and lock or unlock it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .agent_socket import socket_option
from .context import Context
from .exits import Exit
from .keys_token import pin_option, token_pin
from .operator_files import Signers, operator_options, token_unlocked, unlocked_together
from .options import json_option, passphrase_option
from .output import print_line, say

if TYPE_CHECKING:
    from ..custody.vault import KeySource


@click.group(name="agent")
def command() -> None:
    """Run the key agent, which holds the root keys.

    The key agent is a process with a user of its own. Stations and terminals ask it. It makes
    commands for one card, and gives out no root key.

    \b
    Examples:
      rhcard agent run --policy policy.toml --store keys.json --state state
      rhcard agent unlock
      rhcard agent status
    """


@command.command()
@click.option(
    "--policy",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The TOML file that says who may ask for what.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The key store. It stays closed until `rhcard agent unlock`.",
)
@click.option("--token", metavar="LABEL", help="The token with the root keys, in place of --store.")
@click.option(
    "--module",
    metavar="FILE",
    help="With --token: its PKCS#11 library. Default: that of the configuration.",
)
@click.option(
    "--token-store",
    default="main",
    show_default=True,
    metavar="NAME",
    help="With --token: the name of the root keys in it.",
)
@click.option(
    "--state",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The agent's own folder: its log and its counters.",
)
@click.option(
    "--head",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file for the head of the log, its newest entry: best on another disk. Default:"
    " agent.head in --state.",
)
@click.option(
    "--test-keys",
    is_flag=True,
    help="Take published test keys, and callers of the agent's own user. For trials only.",
)
@socket_option
@json_option
@click.pass_obj
def run(context: Context, /, *, policy: Path, test_keys: bool, **where: Any) -> int:
    """Run the key agent until it is stopped by Ctrl-C or SIGTERM.

    Run it as a user of its own, which is no caller. It starts locked: `rhcard agent unlock` opens
    its keys.

    \b
    Examples:
      rhcard agent run --policy policy.toml --store keys.json --state state
      rhcard agent run --policy policy.toml --token bureau --state state
    """
    from ..custody.policy import read_policy
    from ..custody.process import check_user, harden
    from ..custody.running import AgentFiles, agent
    from .signals import handled

    source = _source(context, **where)
    harden()
    rules = read_policy(policy)
    check_user(rules, test_keys=test_keys)
    head = where["head"]
    files = AgentFiles(
        where["socket_path"].absolute(), where["state"].absolute(), head and head.absolute()
    )
    with (
        agent(source, rules, files, test_keys=test_keys) as server,
        handled(lambda *_: server.stop()),
    ):
        say(f"The key agent listens at {server.path}. It is locked: run `rhcard agent unlock`")
        server.run()
    if context.as_json:
        return context.answer({"socket": str(files.socket), "state": str(files.state)})
    say("The key agent has stopped.")
    return Exit.GOOD


def _source(
    context: Context,
    *,
    store: Path | None,
    token: str | None,
    module: str | None,
    token_store: str,
    **_: Any,
) -> "KeySource":
    from ..custody.token_source import TokenSource
    from ..custody.vault import StoreSource
    from .keys_token import module_path

    if store is not None and token is None:
        if module is not None:
            raise click.UsageError("--module is for a token: it has no effect with --store")
        source = StoreSource(store.absolute())
        source.header()  # a wrong path is said now, and not when two people came to unlock it
        return source
    if token is None or store is not None:
        raise click.UsageError("give one of --store FILE and --token LABEL")
    return TokenSource(module_path(context, module), token, token_store)


@command.command()
@socket_option
@json_option
@click.pass_obj
def status(context: Context, socket_path: Path) -> int:
    """Show whether the agent is locked, and its counts.

    \b
    Examples:
      rhcard agent status
    """
    from cardlib.keys.agent.agent_connection import AgentConnection

    found = AgentConnection(socket_path).call("status")
    if context.as_json:
        return context.answer(found)
    print_line(f"{found['store']}  {'locked' if found['locked'] else found['identity']}")
    print_line(f"newest entry of the log: {found['entries']}, {found['head']}")
    print_line(f"you are {found['caller']}, with the role {found['role']}")
    for each in found["callers"]:
        most = "no limit" if each["most"] is None else f"{each['most']} at most"
        print_line(f"cards of {each['name']}: {each['cards']} ({most})")
    return Exit.GOOD


@command.command()
@passphrase_option
@pin_option
@json_option
@click.pass_obj
@operator_options
def unlock(context: Context, signers: Signers, pin_file: Path | None) -> int:
    """Let the agent open its keys.

    Two custodians open a store of theirs. For a token two custodians sign, and one of them types
    its PIN. In a trial the passphrase, or the PIN, is enough.

    \b
    Examples:
      rhcard agent unlock --operator ann.op --operator bob.op
      rhcard agent unlock
    """
    found = _unlocked(context, signers, pin_file)
    if context.as_json:
        return context.answer(found)
    say(f"Unlocked: {found['identity']}")
    if found["test_keys"]:
        say("These keys are published: everybody can read and change cards made with them.")
    return Exit.GOOD


def _unlocked(context: Context, signers: Signers, pin_file: Path | None) -> dict[str, Any]:
    from ..custody.token_source import TOKEN

    connection = signers.connection()
    about = connection.call("status")
    if about["store"].startswith(TOKEN):
        if context.passphrase_file is not None:
            raise click.UsageError("the keys are in a token: give its PIN with --pin-file FILE")
        token = about["store"].removeprefix(TOKEN)
        if not signers.files and about["test_keys"]:
            return connection.call("unlock", passphrase=token_pin(pin_file, token))
        keys = signers.opened("unlock")
        return token_unlocked(connection, keys, token_pin(pin_file, token))
    if pin_file is not None:
        raise click.UsageError("--pin-file is for a token: the keys are in a key store")
    if signers.files:
        return unlocked_together(connection, signers.opened("unlock"))
    return connection.call("unlock", passphrase=context.passphrase())


@command.command()
@socket_option
@json_option
@click.pass_obj
def lock(context: Context, socket_path: Path) -> int:
    """Let the agent forget the keys, until somebody unlocks it.

    Anybody in its policy may do this. What is in hand stops; it continues with the same command.

    \b
    Examples:
      rhcard agent lock
    """
    from cardlib.keys.agent.agent_connection import AgentConnection

    AgentConnection(socket_path).call("lock")
    if context.as_json:
        return context.answer({"locked": True})
    say("Locked.")
    return Exit.GOOD
