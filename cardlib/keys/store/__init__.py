"""The key store: a sealed file of root keys, and who opens it."""

from .key_store import KeyStore as KeyStore
