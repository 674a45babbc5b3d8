"""The openssl command as a second opinion: what it computes, none of our code touched."""

import subprocess


def run(*arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True)
    return done.stdout


def ecb(cipher: str, key: bytes, blocks: bytes) -> bytes:
    """`openssl enc` in ECB over whole blocks; cipher is "SM4" or "AES" (16, 24 or 32 bytes)."""
    return run("enc", f"-{_name(cipher, key)}-ecb", "-nopad", "-K", key.hex(), stdin=blocks)


def cbc(cipher: str, key: bytes, blocks: bytes, iv: bytes = bytes(16)) -> bytes:
    """`openssl enc` in CBC over whole blocks."""
    name = f"-{_name(cipher, key)}-cbc"
    return run("enc", name, "-nopad", "-K", key.hex(), "-iv", iv.hex(), stdin=blocks)


def des3(key: bytes, blocks: bytes) -> bytes:
    """`openssl enc` triple DES with a key of 16 bytes, in ECB over whole 8-byte blocks."""
    return run("enc", "-des-ede", "-nopad", "-K", key.hex(), stdin=blocks)


def cmac(cipher: str, key: bytes, message: bytes) -> bytes:
    """`openssl mac` CMAC, 16 bytes."""
    name = f"{_name(cipher, key)}-cbc"
    text = run("mac", "-cipher", name, "-macopt", f"hexkey:{key.hex()}", "CMAC", stdin=message)
    return bytes.fromhex(text.decode("ascii"))


def kbkdf(cipher: str, key: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """`openssl kdf` SP 800-108 in counter mode with CMAC, `size` bytes."""
    options = [
        "mac:CMAC",
        f"cipher:{_name(cipher, key)}-cbc",
        f"hexkey:{key.hex()}",
        "mode:counter",
        f"hexsalt:{label.hex()}",
        f"hexinfo:{context.hex()}",
    ]
    arguments = [word for option in options for word in ("-kdfopt", option)]
    text = run("kdf", "-keylen", str(size), *arguments, "KBKDF").decode("ascii")
    return bytes.fromhex(text.strip().replace(":", ""))


def hkdf(key: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """`openssl kdf` HKDF with SHA-256 (RFC 5869), `size` bytes."""
    options = [
        "digest:SHA2-256", f"hexkey:{key.hex()}", f"hexsalt:{salt.hex()}", f"hexinfo:{info.hex()}",
    ]  # fmt: skip
    arguments = [word for option in options for word in ("-kdfopt", option)]
    text = run("kdf", "-keylen", str(size), *arguments, "HKDF").decode("ascii")
    return bytes.fromhex(text.strip().replace(":", ""))


def _name(cipher: str, key: bytes) -> str:
    return "sm4" if cipher == "SM4" else f"aes-{8 * len(key)}"
