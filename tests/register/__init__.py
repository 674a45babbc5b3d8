"""The bureau's register."""
