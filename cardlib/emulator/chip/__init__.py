"""The chip: memory in pages, its image file, what it keeps, its switches and ATR."""
