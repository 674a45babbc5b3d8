"""A fuzzer that knows the software card's state: `python -m tests.attacks.fuzz`."""
