"""rhcard keys custodians: who opens a key store together, and others in their place."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .context import Context
from .custodian_files import Custodians, custodian_arguments
from .exits import Exit
from .keys_ceremony import to_its_end
from .operator_files import Signers, operator_options, signed
from .options import json_option, keys_option
from .output import print_line, print_table, say

if TYPE_CHECKING:
    from ..custody.operators import Operator

_ACTION = "exchange-custodians"


@click.command()
@keys_option
@custodian_arguments
@json_option
@click.pass_obj
@operator_options
def custodians(context: Context, custodians: Custodians, signers: Signers) -> int:
    """Show the custodians of a key store, or exchange them.

    To exchange them in the key agent, give the public files of all who are to open the store from
    then on, also of those who stay, and --operator for two of today's custodians, who sign. The
    root keys stay the same.

    The file of before is kept as FILE.old. Two of the custodians of before still open it, and each
    copy of it: delete them when two of the new ones have opened the new file.

    Without files, show who the custodians are: those of the key agent, or with --keys those of a
    file.

    \b
    Examples:
      rhcard keys custodians --keys keys.json
      rhcard keys custodians ann.json eve.json --operator ann.op --operator bob.op
    """
    if custodians.words or signers.files:
        if context.keys:
            raise click.UsageError(
                "custodians are exchanged in the key agent, which has the key store: leave out"
                " --keys"
            )
        return _exchanged(context, custodians, signers)
    if custodians.register and not context.keys:
        raise click.UsageError(
            "--register is for names, or for a file of --keys: the key agent has a register of its"
            " own"
        )
    found = _of_file(context, custodians) if context.keys else _of_agent(signers)
    if context.as_json:
        return context.answer({"custodians": found})
    if not found:
        print_line("No custodians: one passphrase opens this key store.")
        return Exit.GOOD
    rows = [(each["name"], each["fingerprint"] or "unknown", each["state"] or "") for each in found]
    print_table("Two of them open it", ("custodian", "fingerprint", "state"), rows)
    return Exit.GOOD


def _of_agent(signers: Signers) -> list[dict[str, Any]]:
    return list(signers.connection().call("custodians")["custodians"])


def _of_file(context: Context, given: Custodians) -> list[dict[str, Any]]:
    """The custodians that a file names; with a register also what that says of them."""
    from cardlib.keys.store.store_file import read_header

    from ..custody.custodianship import fingerprint, standing

    registry = given.registry()
    known = sorted(read_header(context.key_file()).custodian_keys.items())
    return [
        {
            "name": name,
            "fingerprint": None if registry is None else fingerprint(name, key, registry),
            "state": None if registry is None else standing(name, key, registry),
        }
        for name, key in known
    ]


def _exchanged(context: Context, given: Custodians, signers: Signers) -> int:
    signers.checked(_ACTION)
    if not given.words:
        raise click.UsageError(
            "give the public files of all who are to open the store from now on, also of those who"
            " stay"
        )
    people = sorted(given.operators(), key=lambda each: each.name)
    connection = signers.connection()
    connection.call("versions")  # a locked agent says so before anybody types
    before = [each["name"] for each in connection.call("custodians")["custodians"]]
    _say_what_is_signed(before, people)
    keys = signers.opened(_ACTION)
    parameters = {
        "before": before,
        "custodians": {each.name: each.fingerprint for each in people},
    }
    done = to_its_end(
        lambda: connection.call(_ACTION, **signed(connection, _ACTION, parameters, keys))
    )
    return _told(context, done)


def _say_what_is_signed(before: Sequence[str], people: "Sequence[Operator]") -> None:
    say(f"Custodians now: {', '.join(before) or 'none'}")
    say("Custodians from then on, with the fingerprint that each has read out:")
    for each in people:
        say(f"  {each.name:<32}  {each.fingerprint}{'' if each.name in before else '  new'}")
    gone = [name for name in before if name not in {each.name for each in people}]
    say(f"No custodian any more: {', '.join(gone) or 'nobody'}")


def _told(context: Context, done: Mapping[str, Any]) -> int:
    if context.as_json:
        return context.answer(done)
    print_line(f"{done['keys']}: two of {', '.join(done['custodians'])} open it now")
    say(f"The file of before is {done['kept']}: two of the custodians of before still open it.")
    say("Let two of the new ones unlock the agent, and copy the new file. Then delete that file")
    say("and all other copies of before.")
    say(f"Print the receipt: rhcard keys receipt {done['receipt']}")
    return Exit.GOOD
