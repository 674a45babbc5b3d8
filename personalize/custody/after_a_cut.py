"""What the agent does at an unlock, because it may have been killed in the middle of a ceremony.

A change of the keys is one step, and so the keys are those of before or after. The receipt gets its
name after that step, so that a receipt could be lost whose change was made.
"""

from contextlib import suppress

from cardlib.keys import KeyHolder
from cardlib.keys.store.store_file import OpenStore
from cardlib.unfinished import remove_unfinished_files

from .receipts import Receipt
from .service import AgentService
from .vault import StoreSource, is_retired


def finish_what_was_cut(service: AgentService) -> None:
    """Keep the receipt of a change that was made, with a line in the log; remove all other remains.

    The agent must be unlocked: only the open keys prove what was made. Raises StorageError.
    """
    holder, source = service.vault.holder, service.vault.source
    for receipt in service.receipts.finish(lambda receipt: _was_done(receipt, holder)):
        service.note(f"receipt {receipt.number} was finished: the agent was killed before")
    if isinstance(source, StoreSource):
        with suppress(OSError):
            remove_unfinished_files(source.path.resolve().parent)


def _was_done(receipt: Receipt, holder: KeyHolder) -> bool:
    """Whether the keys are as they are after what a receipt says. An export never got out."""
    action, identity = receipt.statement.get("action"), receipt.identity
    is_there = identity in {each.identity for each in holder.versions.values()}
    if action == "retire":
        return is_there and is_retired(holder, identity)
    if action == "exchange-custodians" and isinstance(holder, OpenStore):
        return set(holder.header.custodians) == set(receipt.statement["parameters"]["custodians"])
    return is_there and action in ("import", "rotate")
