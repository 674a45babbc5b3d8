"""What a field engineer and a hospital do with one card."""
