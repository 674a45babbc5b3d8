"""Tools for a software card: faults, trace, virtual reader, ready-made cards, inspection."""
