"""Version 2, host and card together: no way back to less, whoever is on the line."""

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import ISSUER
from cardlib.errors import (
    CardError,
    CardKeyError,
    ChannelError,
    StatusWordError,
)
from cardlib.keys.roots import public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import KEY_BY_NAME, State
from cardlib.messaging.v2 import V2Channel
from cardlib.transport.recorder import Recorder
from tests.cards.v2_cards import CHIP, PIN, REGION, Terminal, c1_of, card_of, key_set
from tests.messaging.v2_line import CLINICAL, INDEX, Line, fresh, path_of, reads_in_clear, states

H = bytes.fromhex
ISSUER_FILE = "DDF1/EF05"


# --- no downgrade ---------------------------------------------------------------------------


def test_a_terminal_accepts_version_2_alone_unless_told_otherwise() -> None:
    card = card_of(protocol=1)
    recorder = Recorder(fresh(card))
    version1 = SoftwareKeySet(public_test_roots(1, Cipher.SM4).card, 1, Cipher.SM4)
    reader = ResidentHealthCard(recorder, version1)
    assert reader.identify().protocol == 1
    for act in (lambda: reader.authenticate("RK1_DF02"), lambda: reader.verify_pin(PIN),
                lambda: reader.read("DDF1/EF05"), reader.internal_authenticate,
                lambda: reader.mark(INDEX, 1)):  # fmt: skip
        with pytest.raises(ChannelError, match="accepts version 2 and later"):
            act()
    assert {exchange.command[1] for exchange in recorder.commands} == {0xA4}
    told = ResidentHealthCard(fresh(card), version1, min_protocol=1)
    told.authenticate("RK1_DF02")
    assert states(told.read(CLINICAL)) >= {State.VALUE}


def test_a_terminal_that_accepts_both_uses_what_the_card_speaks() -> None:
    reader = ResidentHealthCard(fresh(card_of()), key_set(Cipher.SM4), min_protocol=1)
    reader.authenticate("RK1_DF02")
    assert states(reader.read(CLINICAL)) >= {State.VALUE}
    assert reader.identify().protocol == 2


def saying(card: SoftwareCard, old: str, new: str) -> Line:
    """A card whose plain FCI is changed on its way."""
    line = Line(fresh(card))

    def change(raw: bytes, reply: bytes) -> bytes:
        return reply.replace(H(old), H(new)) if raw[:2] == b"\x00\xa4" else reply

    line.reply = change
    return line


def test_a_card_made_to_say_1_0_is_not_spoken_to() -> None:
    line = saying(card_of(), "C103200101", "C103100101")
    with pytest.raises(ChannelError, match="accepts version 2"):
        ResidentHealthCard(line, key_set(Cipher.SM4)).authenticate("RK1_DF02")
    with pytest.raises(CardKeyError, match="this card is different"):
        ResidentHealthCard(line, key_set(Cipher.SM4), min_protocol=1).authenticate("RK1_DF02")
    assert not [raw for raw in line.sent if raw[1] in (0x82, 0x84)]


@pytest.mark.parametrize(("old", "new"), [
    ("C103200101", "C103200201"), ("C103200101", "C103200102"),
])  # fmt: skip
def test_keys_of_another_cipher_or_version_are_not_tried(old: str, new: str) -> None:
    line = saying(card_of(), old, new)
    with pytest.raises(CardKeyError, match="this card is different"):
        ResidentHealthCard(line, key_set(Cipher.SM4)).authenticate("RK1_DF02")


ALTERED_C1 = [
    (offset, value)
    for offset, values in enumerate((
        (0x10, 0x11, 0x1F, 0x21, 0x2F, 0x22, 0x28, 0x00, 0x30, 0xA0, 0xFF),
        (0x01, 0x02, 0x00, 0x03, 0x81, 0xFF), (0x02, 0x03, 0x05, 0x07, 0x00, 0x81, 0xFF),
    ))
    for value in values
]  # fmt: skip


@pytest.mark.parametrize("name", ["RK1_DF02", "RK1_DDF1", "UK1_DDF1", "BK_MF"])
@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize(("offset", "value"), ALTERED_C1)
def test_no_session_opens_on_a_c1_that_was_altered_on_the_line(
    cipher: Cipher, offset: int, value: int, name: str
) -> None:
    """Not even for a terminal whose roots are the card's and that holds all as C1 says."""
    good = c1_of(cipher)
    altered = good[:offset] + bytes((value,)) + good[offset + 1 :]
    if altered == good:
        return
    roots = public_test_roots(2, cipher).card
    said_cipher = Cipher(altered[1]) if altered[1] in (1, 2) else cipher
    said_version = altered[2] if 1 <= altered[2] <= 7 else 1
    for protocol in (2, 1):
        keys = SoftwareKeySet(roots, protocol, said_cipher, said_version)
        for reading in (False, True):
            if reading and altered[0] >> 4 == protocol == 1:
                continue  # version 1 reads in clear: what it cannot see is in test_v1_limits.py
            line = saying(card_of(cipher), "C103" + good.hex(), "C103" + altered.hex())
            reader = ResidentHealthCard(line, keys, min_protocol=1)
            with pytest.raises(CardError):
                reader.read(ISSUER_FILE) if reading else reader.authenticate(name)
            assert reader.rights == frozenset() and reads_in_clear(line) == 0
            assert not any(raw[0] & 0x0C for raw in line.sent)


def test_an_altered_region_fails_for_a_key_of_two_levels() -> None:
    line = saying(card_of(), "C208" + REGION.hex(), "C208" + b"88000000".hex())
    for name in ("RK1_DDF1", "RK1_DF02"):
        reader = ResidentHealthCard(line, key_set(Cipher.SM4))
        with pytest.raises(StatusWordError, match="63C"):
            reader.authenticate(name)
        assert reader.rights == frozenset()


@pytest.mark.parametrize("name", ["UK1_DDF1", "UK1_DF01", "BK_MF"])
def test_after_a_key_of_one_level_alone_the_region_is_nobodys_word(name: str) -> None:
    line = saying(card_of(), "C208" + REGION.hex(), "C208" + b"88000000".hex())
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.authenticate(name)
    assert reader.rights == {name}
    with pytest.raises(StatusWordError, match="63CE"):
        reader.authenticate("RK1_DDF1")
    assert reader.rights == frozenset()


def test_an_fci_asked_for_again_in_the_session_must_be_the_first_one() -> None:
    line = saying(card_of(), "C208" + REGION.hex(), "C208" + b"88000000".hex())
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.authenticate("UK1_DDF1")
    with pytest.raises(ChannelError, match=r"in clear, chip .* protected"):
        reader.identify()


def test_an_unknown_specification_is_no_card_of_ours() -> None:
    for spec in ("00", "30", "FF"):
        line = saying(card_of(), "C103200101", f"C103{spec}0101")
        with pytest.raises(CardError, match=r"1.0 and 2.0 are known"):
            ResidentHealthCard(line, key_set(Cipher.SM4)).identify()


def test_a_man_in_the_middle_cannot_move_an_authentication_to_another_df() -> None:
    line = Line(fresh(card_of()))
    line.command = lambda raw: raw.replace(H("DDF1DF02"), H("DDF1DF03"))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    with pytest.raises(StatusWordError, match="63CE"):
        reader.authenticate("RK1_DF02")


def test_another_file_selected_before_the_session_is_not_written() -> None:
    """Selecting is in clear until the session: whoever sits between may choose another file."""
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.identify()

    def also_selects(raw: bytes, reply: bytes) -> bytes:
        if raw[:2] == b"\x00\x84":
            line.card.transmit(H("00A4080C06DDF1DF02EF06"))
        return reply

    line.reply = also_selects
    reader.authenticate("RK1_DF02")
    reader.authenticate("UK1_DF02")
    reader.update(CLINICAL, 1, {"abo_blood_group": "2"})
    assert next(v.text for v in reader.read(CLINICAL)) == "2"


@pytest.mark.parametrize("cipher", Cipher)
def test_an_authentication_tunnelled_into_anothers_session_serves_nobody(cipher: Cipher) -> None:
    """He holds one role's key, and passes a terminal's commands on inside his own session."""
    he = Terminal(cipher).authenticate("RK1_DF02")

    def tunnel(raw: bytes) -> bytes:
        if raw[0]:
            return he.card.transmit(raw)
        command = CommandAPDU.parse(raw)
        reply = he.send(command.header.hex(), command.data, command.le)
        return reply.data + reply.sw.to_bytes(2, "big")

    channel = V2Channel(tunnel, c1_of(cipher))
    keys = key_set(cipher).for_card(CHIP, REGION)
    assert channel.authenticate(keys, KEY_BY_NAME["UK1_DF02"]).ok
    with pytest.raises(ChannelError, match="6988"):
        channel.send(CommandAPDU(0x00, 0xA4, 0x08, 0x0C, path_of(CLINICAL)))
    assert he.send("00A4080C", path_of(CLINICAL)) == (b"", 0x6982, False)
    assert states(ResidentHealthCard(he.card).read(CLINICAL)) == {State.DENIED}


def test_internal_authentication_works_in_clear_and_in_a_session() -> None:
    reader = ResidentHealthCard(fresh(card_of()), key_set(Cipher.SM4, "IRK_DDF1", "RK1_DF02"))
    reader.internal_authenticate()
    reader.authenticate("RK1_DF02")
    reader.internal_authenticate()


def test_a_free_file_is_read_without_keys() -> None:
    values = {v.field.name: v.text for v in ResidentHealthCard(fresh(card_of())).read("DDF1/EF05")}
    assert values["spec_version"] == "2.0" and values["city_code"] == ISSUER["city_code"]
