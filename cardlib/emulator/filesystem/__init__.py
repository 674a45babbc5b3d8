"""The card's files as nodes over the memory: tree, records, created files, access rules."""
