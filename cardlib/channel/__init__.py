"""Secure messaging, host side: state without I/O, and thin channels over a `transmit`."""

from ..apdu import MAX_SHORT_LE, CommandAPDU, ResponseAPDU, Transmit


def follow(transmit: Transmit, raw: bytes) -> ResponseAPDU:
    """Send a protected command once and collect its reply over 61xx (ISO/IEC 7816-4 5.6).

    Unlike `apdu.exchange` it never repeats the command after 6Cxx: a channel counts commands.
    """
    response = ResponseAPDU.parse(transmit(raw))
    data = bytearray(response.data)
    while response.sw >> 8 == 0x61:
        le = response.sw & 0xFF or MAX_SHORT_LE
        more = CommandAPDU(raw[0] & 0x03, 0xC0, 0, 0, le=le)
        response = ResponseAPDU.parse(transmit(bytes(more)))
        data += response.data
    return ResponseAPDU(bytes(data), response.sw)
