"""The resident health card as a library: layout, APDUs, keys, channels, card and emulator."""
