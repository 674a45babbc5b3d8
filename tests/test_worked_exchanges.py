"""docs/explanation/secure-messaging.md shows what host and card really say.

The slow reference says the same.
"""

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.crypto import Cipher
from cardlib.emulator.ready_made import CHIP
from cardlib.keys.roots import public_test_roots
from tests import openssl
from tests import reference_scp03 as ref_scp03
from tests import reference_v2 as ref
from tests.worked_exchanges import (
    DOCUMENT,
    EXCHANGES,
    HOST_CHALLENGE,
    K_IC,
    K_IFD,
    RECORD,
    RND_IC,
    RND_IFD,
    SECOND_CHALLENGE,
    SELECT_CLINICAL,
    E,
    Sheet,
    card_key,
    parts_of,
    scp03,
    static_key,
    version_1,
    version_2,
)

H = bytes.fromhex
TEXT = DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_document_shows_the_exchange_as_it_is(name: str) -> None:
    assert dict(parts_of(TEXT))[name] == str(EXCHANGES[name]()), (
        "python -m tests.worked_exchanges writes it anew"
    )


def test_every_byte_shown_stands_beside_its_meaning() -> None:
    for _, part in parts_of(TEXT):
        lines = part.splitlines()[1:-1]
        rows = [line for line in lines if len(line) < 51]
        full = [line for line in lines if line not in rows]
        # Only a second row of sixteen goes without a meaning, after a full one.
        assert all(len(line) <= 49 for line in rows)
        assert len(full) > 2 * len(rows)


def test_version_2_is_what_the_reference_says() -> None:
    messages = version_2().messages
    key, b = card_key(2, "RK1_DF02"), H("DF028401")
    cryptogram = ref.cryptogram(E, key, b"\1", b, RND_IFD + RND_IC + K_IFD)
    answer = ref.cryptogram(E, key, b"\2", b, RND_IC + RND_IFD + K_IC)
    keys = ref.session_keys(E, K_IFD, K_IC, RND_IFD, RND_IC, b, bytes(16))
    select, read = H("0CA4080C"), H("0CB20104")
    assert messages == [
        H("0084000008"), RND_IC + H("9000"),
        H("0082008428") + cryptogram + b"\x28", answer + H("9000"),
        ref.short(select, ref.command(E, keys, 1, select, SELECT_CLINICAL[5:])),
        ref.reply(E, keys, 2, 0xA4, b"", 0x9000),
        ref.short(read, ref.command(E, keys, 3, read, b"", b"\0")),
        ref.reply(E, keys, 4, 0xB2, H("290104"), 0x9000),
    ]  # fmt: skip


def test_version_1_is_what_the_openssl_command_says() -> None:
    messages = version_1().messages
    data8 = RND_IFD

    def process(name: str, challenge: bytes) -> bytes:
        turned = bytes(255 - octet for octet in challenge)
        return openssl.ecb(E, card_key(1, name), challenge + turned)

    c = openssl.ecb(E, process("UK1_DF02", RND_IC), data8 + bytes(8))
    stk = process("STK_DF02", SECOND_CHALLENGE)
    sealed = openssl.ecb(E, stk, b"\x03" + RECORD + b"\x80" + bytes(11))
    update = H("04DC010414") + sealed
    mac = openssl.cbc(E, stk, update + b"\x80" + bytes(10))[-16:-12]
    assert messages == [
        SELECT_CLINICAL, H("9000"), H("0084000008"), RND_IC + H("9000"),
        H("0082008511") + ref.xor(c[:8], c[8:]) + data8 + b"\x01", H("9000"),
        H("0084000008"), SECOND_CHALLENGE + H("9000"), update + mac, H("9000"),
    ]  # fmt: skip


def test_scp03_is_what_the_reference_says() -> None:
    sheet: Sheet = scp03()
    issuer = public_test_roots(2, Cipher.SM4).issuer
    enc, mac, dek = (static_key(issuer, label) for label in (b"ENC", b"MAC", b"DEK"))
    host = ref_scp03.ReferenceHost((enc, mac, dek), 0x33, HOST_CHALLENGE)
    first = sheet.messages[3]
    assert first[:10] == CHIP + bytes(2)
    host.begin(first[13:21])
    assert host.cryptogram(0x00) == first[21:29]
    assert bytes(host.external_authenticate()) == sheet.messages[4]
    get_status = CommandAPDU(0x80, 0xF2, 0x80, 0x02, H("4F00"), 256)
    assert bytes(host.wrap(get_status)) == sheet.messages[6]
    assert host.unwrap(sheet.messages[7])[:4] == H("E3134F08")
