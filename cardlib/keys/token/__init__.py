"""Root keys in a PKCS#11 token, used where they are."""
