"""Version 2 in the specification's words (section 5), stateless, over `cryptography` alone.

The tests' oracle for host and card: every primitive is made again for every message.
"""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

ALGORITHMS = {"SM4": algorithms.SM4, "AES": algorithms.AES}


def ecb(e: str, key: bytes, block: bytes) -> bytes:
    return Cipher(ALGORITHMS[e](key), modes.ECB()).encryptor().update(block)


def cbc(e: str, key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(ALGORITHMS[e](key), modes.CBC(iv)).encryptor().update(data)


def cbc_back(e: str, key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(ALGORITHMS[e](key), modes.CBC(iv)).decryptor().update(data)


def cmac(e: str, key: bytes, message: bytes) -> bytes:
    context = CMAC(ALGORITHMS[e](key))
    context.update(message)
    return context.finalize()


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def diversify(e: str, key: bytes, d8: bytes) -> bytes:
    """E_K(D8 ‖ not D8)."""
    return ecb(e, key, d8 + xor(d8, b"\xff" * 8))


def padded(data: bytes) -> bytes:
    data += b"\x80"
    while len(data) % 16:
        data += b"\x00"
    return data


def unpadded(data: bytes) -> bytes:
    end = data.rindex(b"\x80")
    assert not data[end + 1 :].strip(b"\x00") and len(data) - end <= 16
    return data[:end]


# --- authentication -----------------------------------------------------------------------


def cryptogram(e: str, card_key: bytes, first: bytes, b: bytes, parts: bytes) -> bytes:
    """M ‖ T: `first` is 01 from the terminal and 02 from the card, `parts` the three randoms."""
    m = cbc(e, diversify(e, card_key, b"RHC2-ENC"), bytes(16), parts)
    return m + cmac(e, diversify(e, card_key, b"RHC2-MAC"), first + b + m)[:8]


def from_cryptogram(e: str, card_key: bytes, first: bytes, b: bytes, data: bytes) -> bytes:
    """The three randoms in M ‖ T, T checked."""
    m, t = data[:32], data[32:]
    assert t == cmac(e, diversify(e, card_key, b"RHC2-MAC"), first + b + m)[:8]
    return cbc_back(e, diversify(e, card_key, b"RHC2-ENC"), bytes(16), m)


def binding(df: bytes, kid: int, c1: bytes) -> bytes:
    """B: file id of the DF that holds the key (2) ‖ KID (1) ‖ the value of C1 (3)."""
    assert (len(df), len(c1)) == (2, 3)
    return df + bytes([kid]) + c1


def session_key(e: str, z: bytes, label: bytes, ctx: bytes) -> bytes:
    """CMAC(Z, [1]32 ‖ label ‖ 00 ‖ ctx ‖ [128]32)."""
    return cmac(e, z, b"\0\0\0\1" + label + b"\0" + ctx + b"\0\0\0\x80")


def session_keys(
    e: str, k_ifd: bytes, k_ic: bytes, rnd_ifd: bytes, rnd_ic: bytes, b: bytes, p: bytes
) -> tuple[bytes, bytes]:
    z = xor(k_ifd, k_ic)
    ctx = rnd_ifd + rnd_ic + b + p
    return session_key(e, z, b"RHC2-SENC", ctx), session_key(e, z, b"RHC2-SMAC", ctx)


def chaining(e: str, old_s_mac: bytes) -> bytes:
    return cmac(e, old_s_mac, b"RHC2-CHAIN")


# --- messages -----------------------------------------------------------------------------


def counter(ssc: int) -> bytes:
    return ssc.to_bytes(16, "big")


def tlv(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 128:
        length = bytes([size])
    elif size < 256:
        length = bytes([0x81, size])
    else:
        length = bytes([0x82, size >> 8, size & 255])
    return bytes([tag]) + length + value


def data_object(e: str, s_enc: bytes, ssc: int, ins: int, data: bytes) -> bytes:
    if not data:
        return b""
    encrypted = cbc(e, s_enc, ecb(e, s_enc, counter(ssc)), padded(data))
    return tlv(0x85, encrypted) if ins % 2 else tlv(0x87, b"\x01" + encrypted)


def command(
    e: str, keys: tuple[bytes, bytes], ssc: int, header: bytes, data: bytes = b"", le: bytes = b""
) -> bytes:
    """Header of class 0C.. and the data field; `le` is DO97's value, none if empty."""
    s_enc, s_mac = keys
    objects = data_object(e, s_enc, ssc, header[1], data)
    if le:
        objects += tlv(0x97, le)
    mac_input = counter(ssc) + padded(header) + (padded(objects) if objects else b"")
    return objects + tlv(0x8E, cmac(e, s_mac, mac_input)[:8])


def short(header: bytes, body: bytes) -> bytes:
    return header + bytes([len(body)]) + body + b"\x00"


def extended(header: bytes, body: bytes) -> bytes:
    return header + b"\x00" + len(body).to_bytes(2, "big") + body + b"\x00\x00"


def reply(e: str, keys: tuple[bytes, bytes], ssc: int, ins: int, data: bytes, sw: int) -> bytes:
    """[DO85/87] ‖ DO99 ‖ DO8E ‖ SW."""
    s_enc, s_mac = keys
    status = sw.to_bytes(2, "big")
    objects = data_object(e, s_enc, ssc, ins, data) + tlv(0x99, status)
    mac = cmac(e, s_mac, counter(ssc) + padded(objects))[:8]
    return objects + tlv(0x8E, mac) + status


def from_reply(
    e: str, keys: tuple[bytes, bytes], ssc: int, ins: int, raw: bytes
) -> tuple[bytes, int]:
    """Data and status word of a protected reply, everything in it checked."""
    s_enc, s_mac = keys
    objects, mac, outer = raw[:-12], raw[-12:-2], raw[-2:]
    assert mac == tlv(0x8E, cmac(e, s_mac, counter(ssc) + padded(objects))[:8])
    assert objects[-4:] == tlv(0x99, outer)
    return _data(e, s_enc, ssc, ins, objects[:-4]), int.from_bytes(outer, "big")


def _data(e: str, s_enc: bytes, ssc: int, ins: int, objects: bytes) -> bytes:
    if not objects:
        return b""
    assert objects[0] == (0x85 if ins % 2 else 0x87)
    start = {0x81: 3, 0x82: 4}.get(objects[1], 2)
    length = int.from_bytes(objects[2:start], "big") if start > 2 else objects[1]
    value = objects[start:]
    assert len(value) == length
    if not ins % 2:
        assert value[0] == 1
        value = value[1:]
    return unpadded(cbc_back(e, s_enc, ecb(e, s_enc, counter(ssc)), value))
