"""ISO secure messaging against published exchanges: the code of version 2 over other suites."""

from dataclasses import replace
from typing import Any

import pytest

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.crypto import BlockCipher, Cipher
from cardlib.errors import ChannelError
from cardlib.messaging.iso import SecureMessaging, Suite, cmac_suite
from tests.oracles.des3 import des3_suite
from tests.vectors import load

H = bytes.fromhex
VECTORS = load("icao_9303_11")
SESSIONS = VECTORS["sessions"]


def suite(session: dict[str, Any], counter: int) -> Suite:
    enc, mac = H(session["enc"]), H(session["mac"])
    if session["suite"] == "3DES":
        return des3_suite(enc, mac, counter)
    aes = cmac_suite(BlockCipher(Cipher.AES, enc), BlockCipher(Cipher.AES, mac))
    return replace(aes, counter_start=counter)


def named(session: dict[str, Any]) -> str:
    return str(session["id"])


@pytest.mark.parametrize("session", SESSIONS, ids=named)
def test_published_exchanges_are_reproduced_byte_for_byte(session: dict[str, Any]) -> None:
    host = SecureMessaging(suite(session, int(session["counter"], 16)))
    for exchange in session["exchanges"]:
        protected = host.wrap(CommandAPDU.parse(H(exchange["command"])))
        assert bytes(protected).hex() == exchange["protected"]
        reply = host.unwrap(ResponseAPDU.parse(H(exchange["response"])))
        assert (reply.data.hex(), reply.sw) == (exchange["plain"], 0x9000)


@pytest.mark.parametrize("session", SESSIONS, ids=named)
def test_a_published_reply_is_refused_under_any_other_counter(session: dict[str, Any]) -> None:
    first = session["exchanges"][0]
    for step in (-2, -1, 1, 2):
        start = int(session["counter"], 16) + step
        if start < 0:
            continue
        host = SecureMessaging(suite(session, start))
        host.wrap(CommandAPDU.parse(H(first["command"])))
        with pytest.raises(ChannelError):
            host.unwrap(ResponseAPDU.parse(H(first["response"])))


@pytest.mark.parametrize("reply", VECTORS["replies"], ids=named)
def test_a_reply_of_223_bytes_is_the_most_that_fits_the_short_form(reply: dict[str, Any]) -> None:
    response = ResponseAPDU.parse(H(reply["response"]))
    host = SecureMessaging(suite(reply, int(reply["counter"], 16) - 1))
    host.wrap(CommandAPDU(0x00, 0xB0, 0x00, 0x00, le=223))
    plain = host.unwrap(response).data
    assert plain.hex() == reply["plain"]
    assert (len(plain), len(response.data)) == (223, 242)
