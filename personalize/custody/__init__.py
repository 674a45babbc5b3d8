"""The key agent: a process that holds the root keys, and does what its policy allows."""
