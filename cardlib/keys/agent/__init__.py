"""The client of the key agent: its frames, its verbs as a table, its keys of a card."""
