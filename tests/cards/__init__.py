"""Cards for tests."""
