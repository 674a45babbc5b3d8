"""Secure messaging, host side: state without I/O, and thin channels over a `transmit`."""
