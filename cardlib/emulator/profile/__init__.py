"""What makes a chip a resident health card: its options, its ATR, and its persistent state."""
