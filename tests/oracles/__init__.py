"""One slow reference for each protocol, written from the specification."""
