"""The library of the resident health card: layout, commands, keys, messaging, card, emulator."""
