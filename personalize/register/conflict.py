"""What the register and the journals of batches raise."""

from cardlib.errors import CardError


class JournalConflict(CardError):
    """Journal, batch and cards do not agree, or another program is working on them."""


class ChipNotFree(JournalConflict):
    """A chip has another card, or was given up. It is not used; other chips may be."""


class LeaseEnded(CardError):
    """A station worked too long on a card, or another station has the card now."""


LOST = "An active card cannot be replaced yet, also if it is lost (docs/how-to/replace-a-card.md)"
