"""The bureau's register: who has which card, where each chip is, and the journal of all changes."""
