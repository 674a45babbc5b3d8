"""The bureau floor: cards from blank to active, with journal, PINs and reports."""
