"""Kinds of deployed cards: each is told from a card of ours by something else."""

from cardlib.layout.card_profile import FIELD

DEPLOYED = {
    "field": FIELD,
    "with our AID and chip serial": FIELD.having(
        {"selection": "name and path", "serial_place": "historical tag"}
    ),
    "without our AID, describing itself": FIELD.having(
        {"fci": "C1 and C2", "serial_place": "historical tag"}
    ),
    "describing itself, with its chip serial elsewhere": FIELD.having(
        {"selection": "name and path", "fci": "C1 and C2"}
    ),
}
"""The profile of each kind."""
