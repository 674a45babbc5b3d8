"""What field engineers and hospitals do with one card: read it, show it, run scripts on it."""
