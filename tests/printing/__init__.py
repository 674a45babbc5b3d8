"""What the bureau prints, read back by other people's programs."""
