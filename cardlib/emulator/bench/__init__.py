"""Round the card: faults, trace, virtual reader, ready-made cards, a look inside."""
