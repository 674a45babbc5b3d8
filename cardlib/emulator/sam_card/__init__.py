"""The software SAM: the chip in a terminal that holds root keys and uses them."""
