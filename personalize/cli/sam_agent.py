"""rhcard sam issue with the key agent: two custodians sign, and the agent loads the SAM."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from .context import Context
from .operator_files import Signers, signed
from .output import say

if TYPE_CHECKING:
    from cardlib.facts import ChipSerial
    from cardlib.issuance.agent_issuer import AgentIssuer
    from cardlib.keys.sam.sam_groupings import SamPlan

    from ..production.sam_issue import SamMaker

LOAD_SAM = "load-sam"
"""The action that two custodians sign."""


def signers_of_agent(context: Context, given: Signers) -> Signers | None:
    """Who signs, and at which agent; None when a key store is used.

    UsageError when operators are given and the keys are in a key store.
    """
    source = click.get_current_context().get_parameter_source("socket_path")
    is_named = source is ParameterSource.COMMANDLINE
    if context.keys is not None:
        if given.files or given.passphrase_files or is_named:
            raise click.UsageError(
                "--operator and --socket are for the key agent: they have no effect with a key"
                " store. Leave out one of both"
            )
        return None
    if is_named or (given.files and context.agent is None):
        return given
    return None if context.agent is None else replace(given, socket=context.agent)


def sam_maker(signers: Signers) -> "tuple[AgentIssuer, SamMaker]":
    """The agent's newest keys, and how a SAM is loaded with all its keys.

    CardKeyError for one person alone. Nobody is asked for a passphrase before the SAM is there and
    its chip is shown.
    """
    from cardlib.issuance.agent_issuer import AGENT_ERRORS, AgentIssuer
    from cardlib.keys.agent.agent_connection import AgentConnection
    from cardlib.keys.agent.agent_keys import versions

    from ..production.sam_issue import AgentSamMaker

    signers.checked(LOAD_SAM)
    connection = AgentConnection(signers.socket, AGENT_ERRORS)
    known = versions(connection)

    def begun(chip: "ChipSerial", plan: "SamPlan") -> int:
        say(f"To sign: SAM {chip}, roles {' '.join(plan.roles)}, limit {plan.limit or 'none'}")
        about = {"chip": str(chip), "roles": list(plan.roles), "limit": plan.limit or 0}
        statement = signed(connection, LOAD_SAM, about, signers.opened(LOAD_SAM))
        return int(connection.call("sam-begin", **statement)["sam"])

    return AgentIssuer(connection, known[0]), AgentSamMaker(connection, known, begun)
