"""Random and mutated commands to a SAM: none breaks it, and none gets a key or a free use.

RHCARD_FUZZ_RUNS and RHCARD_FUZZ_SEED choose how many are sent, and which.
"""

import os
import random

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from tests.cards.sams import (
    ENCRYPT_CHALLENGE,
    PIN,
    authenticate,
    command,
    diversify,
    opened,
    roots_of,
    sam_of,
)

H = bytes.fromhex
RUNS = int(os.environ.get("RHCARD_FUZZ_RUNS", "60000")) // 6
SEED = int(os.environ.get("RHCARD_FUZZ_SEED", "1"))
KINDS = ((1, Cipher.SM4, 1), (2, Cipher.AES, 2))
SECRETS = {root for kind in KINDS for root in roots_of(*kind).card.values()}
GOOD = (
    H("00A4000002DF01"), H("00A4040005F05248430200"), H("0020000006") + PIN.digits, H("00200000"),
    diversify("RK1_DF02"), diversify("STK_DF02"), diversify("STK_DF02", 0), ENCRYPT_CHALLENGE,
    command(0xFA, 0, 0, bytes(48)), command(0xFA, 5, 0, bytes(48)), diversify("IRK_DDF1", 2),
    authenticate("RK1_DF02", Cipher.AES, 2), command(0xEB, 0, 0, bytes(56)), H("00C0000000"),
    H("8050000008") + bytes(8), H("80CA00E000"), H("80E2880003") + bytes(3), H("84820100") ,
    H("00A4040008A000000151000000"),
)  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    """A good command, often with a few bytes changed, left out or put in."""
    raw = bytearray(rng.choice(GOOD))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
        place = rng.randrange(len(raw) + 1)
        how = rng.randrange(4)
        if how == 0 and place < len(raw):
            raw[place] ^= 1 << rng.randrange(8)
        elif how == 1 and place < len(raw):
            raw[place] = rng.choice((0, 1, 7, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif how == 2:
            del raw[place : place + rng.randrange(1, 4)]
        else:
            raw[place:place] = rng.randbytes(rng.randrange(1, 9))
    return bytes(raw) or b"\0"


def uses(sam: SoftwareSam) -> int:
    return sam.sam.use.used


@pytest.mark.parametrize("is_open", [True, False])
def test_no_command_breaks_a_sam_or_gets_a_key(is_open: bool) -> None:
    rng, sam = random.Random(SEED + is_open), sam_of(*KINDS, limit=2**31)
    calculated = 0
    for number in range(RUNS):
        if number % 50 == 0:
            sam.reset()
            if is_open:
                pin = sam.state.pin
                assert pin
                sam = sam_of(*KINDS, limit=2**31) if not pin.remaining else sam
                opened(sam)
        before = uses(sam)
        sent = mutated(rng)
        response = sam.transmit(sent)
        status = response[-2:]
        assert len(response) >= 2 and status not in (b"\x6f\x00", b"\x65\x81"), sent.hex()
        assert not any(secret in response for secret in SECRETS), sent.hex()
        assert not sam.damage, sent.hex()
        if sent[:2] in (b"\x80\xde", b"\x80\xea") and status[0] in (0x90, 0x61):
            calculated += 1
            messaging = sent[1] == 0xDE and sent[2] & 0x1F == 8
            assert uses(sam) == before + (not messaging), sent.hex()
        else:
            assert uses(sam) == before, sent.hex()
    assert calculated > (RUNS // 100 if is_open else -1)
    sam.reset()
    assert not sam.damage
