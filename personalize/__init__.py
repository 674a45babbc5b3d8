"""The bureau: it makes cards from a list of residents. `cli` is the command rhcard."""

__version__ = "0.1.0"
