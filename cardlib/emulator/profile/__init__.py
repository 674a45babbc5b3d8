"""What makes a chip a resident health card: its switches, its ATR, and what it keeps by name."""
