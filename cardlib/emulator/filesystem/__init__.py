"""The card's files: tree, records, created files, access rules."""
