"""What the card does at each command: one module a group of commands."""
