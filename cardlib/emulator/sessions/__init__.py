"""What a card forgets at reset: logical channels and their sessions."""
