"""The keys with which a terminal reads cards: of a SAM, a key store or the key agent."""

from typing import TYPE_CHECKING

import click

from .context import Context

if TYPE_CHECKING:
    from cardlib.keys import KeySet


def terminal_keys(context: Context) -> "KeySet | None":
    """The keys of --sam, --keys or the key agent as a terminal uses them; None without any."""
    if context.sam:
        from .sam_choice import sam_keys

        if context.keys:
            raise click.UsageError("give one of --sam and --keys")
        return sam_keys(context)
    if context.agent is not None:
        from cardlib.keys.agent.agent_keys import agent_key_set

        return agent_key_set(context.agent)
    return context.open_store().terminal_keys if context.keys else None
