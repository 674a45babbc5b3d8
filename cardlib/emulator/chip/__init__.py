"""The chip: memory in pages, its image file, and a card that answers from them."""
