"""A fuzzer of the software card that knows what state the card is in: `python -m tests.fuzz`."""
