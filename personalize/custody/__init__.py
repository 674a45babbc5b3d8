"""The custody of root keys: the key agent, the people who may use it, and their ceremonies."""
