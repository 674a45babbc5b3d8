"""The bureau: records to prepared cards, stations, a journal, reports; `cli` is rhcard."""

__version__ = "0.1.0"
