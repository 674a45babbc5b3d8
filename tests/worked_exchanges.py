"""One worked exchange of each protocol, every byte explained.

They stand in docs/explanation/secure-messaging.md.

    python -m tests.worked_exchanges      write the exchanges into the document anew

Host and software card speak; randoms are fixed, and keys are those of the public test roots, so
that anybody can compute every byte again. `test_worked_exchanges` does, by the reference.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.channel import v1, v2
from cardlib.channel.scp03 import Scp03Host
from cardlib.channel.v2 import V2Host
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.ready_made import CHIP, personalized_card
from cardlib.keys.mutual import SoftwareAuthentication
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import KEY_BY_NAME
from tests import reference_scp03 as ref_scp03
from tests import reference_v2 as ref_v2

DOCUMENT = Path(__file__).parent.parent / "docs" / "explanation" / "secure-messaging.md"
H = bytes.fromhex
E = "SM4"
REGION = b"99000000"
HOST_CHALLENGE, RND_IFD = H("0102030405060708"), H("1112131415161718")
K_IFD, K_IC = bytes(range(0x20, 0x30)), bytes(range(0x3F, 0x2F, -1))
RND_IC, SECOND_CHALLENGE = H("A1A2A3A4A5A6A7A8"), H("B1B2B3B4B5B6B7B8")
SELECT_DF02, SELECT_CLINICAL = H("00A4080C04DDF1DF02"), H("00A4080C06DDF1DF02EF05")
RECORD = H("290102")
Part = tuple[int, str]


@dataclass
class Sheet:
    """Lines of a worked exchange: bytes at the left, what they are at the right."""

    lines: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)

    def message(self, arrow: str, raw: bytes, *parts: Part) -> None:
        """A command (→) or a reply (←), every byte of it in one of the parts."""
        assert sum(size for size, _ in parts) == len(raw), (len(raw), parts)
        self.messages.append(raw)
        for size, meaning in parts:
            self._line(arrow, raw[:size], meaning)
            raw, arrow = raw[size:], " "

    def value(self, name: str, value: bytes, meaning: str) -> None:
        """Something that is never sent."""
        self._line(" ", value, f"{name} {meaning}")

    def _line(self, mark: str, value: bytes, meaning: str) -> None:
        rows = [value[i : i + 16] for i in range(0, len(value), 16)] or [b""]
        for number, row in enumerate(rows):
            text = meaning if number == 0 else ""
            mark_here = mark if number == 0 else " "
            self.lines.append(f"{mark_here} {row.hex(' ').upper():47}  {text}".rstrip())

    def __str__(self) -> str:
        return "\n".join(["```text", *self.lines, "```"])


def fixed(*values: bytes) -> Callable[[int], bytes]:
    """Randoms that are none: these values, in their order."""
    left = list(values)

    def next_one(size: int) -> bytes:
        value = left.pop(0)
        assert len(value) == size
        return value

    return next_one


def card_of(protocol: int, *randoms: bytes) -> tuple[SoftwareCard, KeyStore]:
    roots = public_test_roots(protocol, Cipher.SM4)
    card = personalized_card(roots)
    card.random = fixed(*randoms)
    return card, KeyStore(roots)


def card_key(protocol: int, name: str) -> bytes:
    """The specification's words: root, region if there are two levels, chip."""
    key = public_test_roots(protocol, Cipher.SM4).card[name]
    if KEY_BY_NAME[name].levels == 2:
        key = ref_v2.diversify(E, key, REGION)
    return ref_v2.diversify(E, key, CHIP)


# --- SCP03 ----------------------------------------------------------------------------------


def scp03() -> Sheet:
    """Level 33 with AES-128 and S8: open, then GET STATUS with its answer encrypted."""
    card, store = card_of(2)
    keys = store.issuer_keys(CHIP)
    host = Scp03Host(keys, 0x33, 0x01, HOST_CHALLENGE)
    sheet = Sheet()
    select = H("00A4040008A000000151000000")
    sheet.message("→", select, (5, "SELECT by name, Lc 8"), (8, "issuer security domain"))
    sheet.message("←", card.transmit(select), (2, "done"))
    first = bytes(host.initialize_update())
    sheet.message("→", first, (5, "INITIALIZE UPDATE, key version 01, Lc 8"),
                  (8, "host challenge"), (1, "Le"))  # fmt: skip
    answer = card.transmit(first)
    sheet.message("←", answer, (10, "key diversification data: chip8 ‖ 00 00"),
                  (3, "key version 01, SCP 03, i = 70"), (8, "card challenge"),
                  (8, "card cryptogram: KDF(S-MAC, 00, challenges)[:8]"),
                  (3, "sequence counter"), (2, "done"))  # fmt: skip
    context = HOST_CHALLENGE + answer[13:21]
    roots = public_test_roots(2, Cipher.SM4)
    enc, mac = (static_key(roots.issuer, label) for label in (b"ENC", b"MAC"))
    sheet.value("S-ENC", ref_scp03.derive(enc, 0x04, context, 16), "= KDF(Key-ENC, 04, challenges)")
    sheet.value("S-MAC", ref_scp03.derive(mac, 0x06, context, 16), "= KDF(Key-MAC, 06, challenges)")
    sheet.value("S-RMAC", ref_scp03.derive(mac, 0x07, context, 16), "= KDF(Key-MAC, 07, …)")
    second = bytes(host.external_authenticate(ResponseAPDU.parse(answer)))
    sheet.message("→", second, (5, "EXTERNAL AUTHENTICATE, level 33, Lc 16"),
                  (8, "host cryptogram: KDF(S-MAC, 01, challenges)[:8]"),
                  (8, "C-MAC: CMAC(S-MAC, 00*16 ‖ the 13 bytes before)[:8]"))  # fmt: skip
    answer = card.transmit(second)
    host.opened(ResponseAPDU.parse(answer))
    sheet.message("←", answer, (2, "done; the level counts from now on"))
    third = host.protect(0x80, 0xF2, 0x80, 0x02, H("4F00"), 256)
    sheet.message("→", third, (5, "GET STATUS of the domain, class 84, Lc 24"),
                  (16, "CBC(S-ENC, ICV E(counter 1), 4F 00 80 00..)"),
                  (8, "C-MAC: CMAC(S-MAC, last CMAC16 ‖ the 21 bytes)[:8]"), (1, "Le"))  # fmt: skip
    answer = card.transmit(third)
    size = len(answer) - 10
    sheet.message("←", answer, (size, "CBC(S-ENC, ICV E(80… ‖ counter 1), answer 80 00..)"),
                  (8, "R-MAC: CMAC(S-RMAC, this CMAC16 ‖ them ‖ 90 00)[:8]"),
                  (2, "done"))  # fmt: skip
    plain = host.unprotect(answer[:-2], 0x9000)
    sheet.value("", plain, "the answer: E3 { AID, life cycle, privileges }")
    return sheet


def static_key(root: bytes, label: bytes) -> bytes:
    """Section 6: CMAC(root, [1]32 ‖ label ‖ 00 ‖ chip8 ‖ [128]32)."""
    return ref_scp03.cmac(root, H("00000001") + label + b"\0" + CHIP + H("00000080"))


# --- version 1 ------------------------------------------------------------------------------


def version_1() -> Sheet:
    """Authenticate UK1_DF02, then update the blood group under STK_DF02."""
    card, store = card_of(1, RND_IC, SECOND_CHALLENGE)
    keys = store.card_keys.for_card(CHIP, REGION)
    sheet = Sheet()
    sheet.message("→", SELECT_CLINICAL, (5, "SELECT by path from the MF"), (6, "DDF1/DF02/EF05"))
    sheet.message("←", card.transmit(SELECT_CLINICAL), (2, "done"))
    _challenge(sheet, card, "R: the card's challenge")
    process = ref_v2.diversify(E, card_key(1, "UK1_DF02"), RND_IC)
    sheet.value("PK", process, "= diversify(UK1_DF02, R)")
    command = bytes(
        v1.external_authenticate(keys.process_key("UK1_DF02", RND_IC), RND_IFD, 0x85, 1)
    )
    sheet.message("→", command, (5, "EXTERNAL AUTHENTICATE, KID 85, Lc 17"),
                  (8, "C = E(PK, data8 ‖ 00*8), its halves xored"), (8, "data8: terminal's random"),
                  (1, "key version"))  # fmt: skip
    sheet.message("←", card.transmit(command), (2, "UK1_DF02 counts"))
    _challenge(sheet, card, "R: another challenge, for one message")
    process = ref_v2.diversify(E, card_key(1, "STK_DF02"), SECOND_CHALLENGE)
    sheet.value("PK", process, "= diversify(STK_DF02, R)")
    plain = CommandAPDU(0x00, 0xDC, 0x01, 0x04, RECORD)
    command = bytes(v1.protect(keys.process_key("STK_DF02", SECOND_CHALLENGE), plain))
    sheet.message("→", command, (5, "UPDATE RECORD 1, class 04, Lc 20"),
                  (16, "E(PK, 03 29 01 02 80 00..): length, then the record"),
                  (4, "MAC: CBC-MAC(PK, IV 0, the 21 bytes 80 00..)[:4]"))  # fmt: skip
    sheet.message("←", card.transmit(command), (2, "done, says somebody: no MAC in replies"))
    return sheet


def _challenge(sheet: Sheet, card: SoftwareCard, meaning: str) -> bytes:
    command = bytes(v2.GET_CHALLENGE)
    sheet.message("→", command, (5, "GET CHALLENGE, Le 8"))
    answer = card.transmit(command)
    sheet.message("←", answer, (8, meaning), (2, "done"))
    return answer[:8]


# --- version 2 ------------------------------------------------------------------------------


def version_2() -> Sheet:
    """Open a session by RK1_DF02, select the clinical basics, read record 1."""
    card, _ = card_of(2, RND_IC, K_IC)
    key, host, sheet = KEY_BY_NAME["RK1_DF02"], V2Host(), Sheet()
    assert card.transmit(SELECT_DF02) == H("9000")
    _challenge(sheet, card, "RND.IC")
    secret, b = card_key(2, key.name), v2.binding(key, 1)
    sheet.value("K_ENC", ref_v2.diversify(E, secret, b"RHC2-ENC"), '= diversify(key, "RHC2-ENC")')
    sheet.value("K_MAC", ref_v2.diversify(E, secret, b"RHC2-MAC"), '= diversify(key, "RHC2-MAC")')
    sheet.value("B", b, "= DF02 ‖ KID 84 ‖ key version 01")
    attempt = SoftwareAuthentication(Cipher.SM4, secret, RND_IC, b, fixed(RND_IFD, K_IFD))
    command = bytes(v2.external_authenticate(attempt, key))
    sheet.message("→", command, (5, "EXTERNAL AUTHENTICATE, KID 84, Lc 40"),
                  (32, "M = CBC(K_ENC, IV 0, RND.IFD ‖ RND.IC ‖ K.IFD)"),
                  (8, "T = CMAC(K_MAC, 01 ‖ B ‖ M)[:8]"), (1, "Le 40"))  # fmt: skip
    answer = card.transmit(command)
    sheet.message("←", answer, (32, "M = CBC(K_ENC, IV 0, RND.IC ‖ RND.IFD ‖ K.IC)"),
                  (8, "T = CMAC(K_MAC, 02 ‖ B ‖ M)[:8]"), (2, "RK1_DF02 counts"))  # fmt: skip
    host.authenticated(attempt, answer[:-2])
    s_enc, s_mac = ref_v2.session_keys(E, K_IFD, K_IC, RND_IFD, RND_IC, b, bytes(16))
    sheet.value("Z", ref_v2.xor(K_IFD, K_IC), "= K.IFD xor K.IC")
    sheet.value("S_ENC", s_enc, '= CMAC(Z, [1] ‖ "RHC2-SENC" ‖ 00 ‖ ctx ‖ [128])')
    sheet.value("S_MAC", s_mac, "= the same with RHC2-SMAC; ctx = RND.IFD ‖ RND.IC ‖ B ‖ 00*16")
    messaging = host.messaging
    assert messaging is not None
    command = messaging.protect(0x00, 0xA4, 0x08, 0x0C, SELECT_CLINICAL[5:])
    sheet.message("→", command, (5, "SELECT by path, class 0C, Lc 29"),
                  (3, "DO87, 17 bytes, padding indicator 01"),
                  (16, "CBC(S_ENC, IV E(SSC = 1), DDF1 DF02 EF05 80 00..)"), (2, "DO8E"),
                  (8, "CMAC(S_MAC, SSC ‖ header 80 00.. ‖ DO87 80 00..)[:8]"),
                  (1, "Le"))  # fmt: skip
    answer = card.transmit(command)
    sheet.message("←", answer, (4, "DO99: the status"), (2, "DO8E"),
                  (8, "CMAC(S_MAC, SSC = 2 ‖ DO99 80 00..)[:8]"),
                  (2, "the status again"))  # fmt: skip
    assert messaging.unprotect(answer[:-2], 0x9000) == b""
    command = messaging.protect(0x00, 0xB2, 0x01, 0x04, le=256)
    sheet.message("→", command, (5, "READ RECORD 1, class 0C, Lc 13"), (3, "DO97: Le 00"),
                  (2, "DO8E"), (8, "CMAC(S_MAC, SSC = 3 ‖ header 80 00.. ‖ DO97 80 00..)[:8]"),
                  (1, "Le"))  # fmt: skip
    answer = card.transmit(command)
    sheet.message("←", answer, (3, "DO87, 17 bytes, padding indicator 01"),
                  (16, "CBC(S_ENC, IV E(SSC = 4), the record 80 00..)"), (4, "DO99"), (2, "DO8E"),
                  (8, "CMAC(S_MAC, SSC ‖ DO87 ‖ DO99 80 00..)[:8]"),
                  (2, "the status again"))  # fmt: skip
    plain = messaging.unprotect(answer[:-2], 0x9000)
    sheet.value("", plain, "the record: tag 29, length 1, ABO blood group, code 4")
    return sheet


EXCHANGES: dict[str, Callable[[], Sheet]] = {
    "SCP03": scp03, "version 1": version_1, "version 2": version_2,
}  # fmt: skip


def marks(name: str) -> tuple[str, str]:
    """What stands before and after a worked exchange in the document."""
    return f"<!-- worked exchange: {name} -->\n", f"\n<!-- end of {name} -->"


def parts_of(text: str) -> Iterator[tuple[str, str]]:
    """Each worked exchange in the document, by its name."""
    for name in EXCHANGES:
        before, after = marks(name)
        yield name, text.partition(before)[2].partition(after)[0]


def main() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, exchange in EXCHANGES.items():
        before, after = marks(name)
        head, _, rest = text.partition(before)
        text = head + before + str(exchange()) + after + rest.partition(after)[2]
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
