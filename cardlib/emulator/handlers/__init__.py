"""What the card does for each command: one module for each group of commands."""
