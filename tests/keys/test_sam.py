"""The SAM driver: over our SAM and over SAMs that others wrote, and what its errors say."""

import os
import random
from dataclasses import dataclass, field

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.crypto import BlockCipher, Cipher
from cardlib.emulator import LifeCycle
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.errors import CardKeyError, ChannelError, FormatError
from cardlib.exchange import Connection
from cardlib.facts import Pin
from cardlib.keys.sam.sam_keys import ALL_NAMES, HeldKeys, SamKeySet
from cardlib.keys.sam.sam_line import SamRefusal
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import KEYS, State
from cardlib.layout.card_profile import FIELD, RHCARD
from cardlib.transport.recorder import Recorder
from tests.cards.sams import (
    CARD_CHIP,
    CHALLENGE,
    PIN,
    REGION,
    blank_sam,
    opened,
    roots_of,
    sam_of,
    sw,
)
from tests.oracles.sam import Sam
from tests.oracles.sam_v2 import SamV2

H = bytes.fromhex
KINDS = [(protocol, cipher) for protocol in (1, 2) for cipher in Cipher]
EMERGENCY = "DDF1/DF02/EF05"


class OracleSam(Sam):
    """The oracle of version 1 as a connection: it selects DF01 without an FCI."""

    atr = b"\x3b\x00"

    def reset(self) -> bytes:
        return self.atr


def own_keys(protocol: int, cipher: Cipher, version: int = 1) -> SoftwareKeySet:
    return SoftwareKeySet(roots_of(protocol, cipher, version).card, protocol, cipher, version)


def live_on(sam: SamKeySet, protocol: int, cipher: Cipher, version: int = 1) -> None:
    """Read, authenticate, update, append and write a visit on a card, with the SAM's keys."""
    connection = personalized_card(roots_of(protocol, cipher, version), life_cycle=LifeCycle.ACTIVE)
    card = ResidentHealthCard(connection, sam, 1)
    card.identify()
    card.internal_authenticate()
    for name in ("RK1_DF02", "UK1_DF02", "UK3_DF02"):
        card.authenticate(name)
    card.update(EMERGENCY, 1, {"abo_blood_group": "2"})
    card.append("DDF1/DF02/EF07", {"allergen": "花生", "allergic_reaction": "皮疹"})
    assert card.read(EMERGENCY)[0].text == "2"
    assert card.read("DDF1/DF02/EF07")[0].text == "花生"
    for name in ("RK1_DF03", "UK1_DF03"):
        card.authenticate(name)
    assert card.write_visit("inpatient", {"hospital_name": "示例市第一人民医院"}) == 1


@pytest.mark.parametrize(("protocol", "cipher"), KINDS)
def test_a_terminal_with_our_sam_reads_and_writes_a_card(protocol: int, cipher: Cipher) -> None:
    sam = SamKeySet.open(sam_of((protocol, cipher, 1), roles=("inpatient",)), PIN)
    live_on(sam, protocol, cipher)


def test_a_terminal_with_the_oracle_of_version_1_reads_and_writes_a_card() -> None:
    roots = {key.sam_key_id: roots_of(1).card[key.name] for key in KEYS}
    given = HeldKeys(1, Cipher.SM4, 1, ALL_NAMES)
    live_on(SamKeySet.open(OracleSam(roots, 1, PIN.digits), PIN, given=given), 1, Cipher.SM4)


@pytest.mark.parametrize("cipher", Cipher)
def test_a_terminal_with_the_oracle_of_version_2_reads_and_writes_a_card(cipher: Cipher) -> None:
    roots = {key.sam_key_id: roots_of(2, cipher).card[key.name] for key in KEYS}
    given = HeldKeys(2, cipher, 1, ALL_NAMES)
    live_on(SamKeySet.open(SamV2(cipher.name, roots, 1, os.urandom), PIN, given=given), 2, cipher)


@pytest.mark.parametrize("cipher", Cipher)
def test_what_the_sam_calculates_is_what_the_keys_in_memory_calculate(cipher: Cipher) -> None:
    sam = SamKeySet.open(sam_of((1, cipher, 1)), PIN).for_card(CARD_CHIP, REGION)
    keys = own_keys(1, cipher).for_card(CARD_CHIP, REGION)
    for key in KEYS:
        there, here = (each.process_key(key.name, CHALLENGE) for each in (sam, keys))
        block = CHALLENGE + bytes(8)
        assert there.encrypt(block) == here.encrypt(block)
        if key.sam_usage & 0x1F == 8:
            for size in (0, 1, 15, 16, 207, 208, 223, 224, 239, 245, 256, 700):
                message = random.Random(size).randbytes(size)
                assert there.mac(message) == here.mac(message), size
            assert there.encrypt(bytes(range(256)) * 3) == here.encrypt(bytes(range(256)) * 3)


def test_two_process_keys_are_used_in_turns() -> None:
    """A SAM remembers one; the driver makes it again when another was used between."""
    sam = SamKeySet.open(sam_of(), PIN).for_card(CARD_CHIP, REGION)
    keys = own_keys(1, Cipher.SM4).for_card(CARD_CHIP, REGION)
    first, second = (sam.process_key(name, CHALLENGE) for name in ("STK_DF02", "STK_DF03"))
    expected = [keys.process_key(name, CHALLENGE).mac(b"x") for name in ("STK_DF02", "STK_DF03")]
    for _ in range(3):
        assert [first.mac(b"x"), second.mac(b"x")] == expected


# --- versions -----------------------------------------------------------------------------


@dataclass
class Watched:
    """A connection that notes what is sent."""

    inner: Connection
    sent: list[bytes] = field(default_factory=list)

    @property
    def atr(self) -> bytes:
        return self.inner.atr

    def reset(self) -> bytes:
        return self.inner.reset()

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command)
        return self.inner.transmit(command)


@pytest.mark.parametrize("protocol", [1, 2])
def test_one_sam_reads_cards_of_three_key_versions_and_always_names_them(protocol: int) -> None:
    kinds = [(protocol, Cipher.SM4, version) for version in (1, 2, 5)]
    line = Watched(sam_of(*kinds, roles=("inpatient",), meaning_of_0="last authenticated"))
    sam = SamKeySet.open(line, PIN)
    for kind in kinds:
        line.sent.clear()
        live_on(sam, *kind)
        named = {sent[3] >> 5 for sent in line.sent if sent[1] in (0xDE, 0xEA)}
        assert named == {kind[2]}


def test_one_sam_reads_cards_of_both_specifications_and_ciphers() -> None:
    kinds = [(1, Cipher.SM4, 1), (2, Cipher.SM4, 2), (2, Cipher.AES, 3), (1, Cipher.AES, 4)]
    sam = SamKeySet.open(sam_of(*kinds, roles=("inpatient",)), PIN)
    assert (sam.protocol, sam.cipher, sam.version) == (1, Cipher.AES, 4)
    for kind in kinds:
        live_on(sam, *kind)


def test_a_card_of_a_version_that_the_sam_lacks_is_named() -> None:
    sam = SamKeySet.open(sam_of((2, Cipher.SM4, 1)), PIN)
    card = ResidentHealthCard(personalized_card(roots_of(2, Cipher.SM4, 2)), sam)
    with pytest.raises(
        CardKeyError,
        match=r"in the SAM are for .* SM4, version 1; this card is different.*keys version 2",
    ):
        card.authenticate("RK1_DF02")


# --- what a SAM says, and its refusals in words -------------------------------------------


def test_the_sam_says_what_it_holds_and_how_often_it_may_be_used() -> None:
    sam = SamKeySet.open(sam_of((2, Cipher.AES, 4), roles=("emergency",), limit=9), PIN)
    assert sam.held == (HeldKeys(2, Cipher.AES, 4, frozenset({"IRK_DDF1", "RK1_DF02"})),)
    assert sam.uses_left == 9
    assert SamKeySet.open(sam_of(), PIN).uses_left is None


class OldSam(OracleSam):
    """A SAM that takes SELECT with an Le, and has no FCI."""

    def transmit(self, command: bytes) -> bytes:
        return super().transmit(command[:7] if command[1] == 0xA4 else command)


def test_a_sam_that_says_nothing_needs_to_be_told() -> None:
    with pytest.raises(CardKeyError, match=r"does not say which keys it holds.*--profile field"):
        SamKeySet.open(OldSam({}, 1, PIN.digits), PIN)


def test_a_wrong_pin_says_how_many_tries_are_left_and_a_blocked_one_what_to_do() -> None:
    sam = sam_of()
    for left in ("2 tries left", "1 try left", "0 tries left"):
        with pytest.raises(SamRefusal, match=f"SAM: VERIFY: 63C. .*{left}: the PIN is wrong"):
            SamKeySet.open(sam, Pin("246801"))
    with pytest.raises(SamRefusal, match=r"6983 .*blocked. Its issuer must load it again"):
        SamKeySet.open(sam, PIN)


@pytest.mark.parametrize(("form", "profile"), [("ASCII", FIELD), ("BCD", RHCARD)])
def test_a_pin_of_another_form_names_the_setting(form: str, profile: object) -> None:
    sam = sam_of(pin_form=form)
    with pytest.raises(SamRefusal, match=r"another form. The setting sam_pin"):
        SamKeySet.open(sam, PIN, profile=profile)  # type: ignore[arg-type]
    assert sam.state.pin is not None and sam.state.pin.remaining == 3


def test_a_bcd_pin_is_three_bytes() -> None:
    line = Watched(sam_of(pin="123456", pin_form="BCD"))
    SamKeySet.open(line, Pin("123456"), profile=FIELD)
    assert H("0020000003123456") in line.sent


@pytest.mark.parametrize("other", [blank_sam(), personalized_card(roots_of(2))])
def test_what_is_no_loaded_sam_is_named(other: Connection) -> None:
    with pytest.raises(SamRefusal, match=r"SELECT DF01: 6A82 .*no SAM, or it is blank"):
        SamKeySet.open(other, PIN)


@pytest.mark.parametrize(("kind", "command"), [((1, Cipher.SM4, 1), "80 DE"),
                                               ((2, Cipher.SM4, 1), "80 EA")])  # fmt: skip
def test_the_limit_is_named_with_command_and_key(
    kind: tuple[int, Cipher, int], command: str
) -> None:
    sam = SamKeySet.open(sam_of(kind, limit=1), PIN)
    card = ResidentHealthCard(personalized_card(roots_of(*kind)), sam, 1)
    card.authenticate("RK1_DF02")
    match = f"SAM: {command} of UK1_DF02, version 1: 6984 .*usage limit of the SAM is reached"
    with pytest.raises(SamRefusal, match=match):
        card.authenticate("UK1_DF02")


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_key_that_the_sam_does_not_hold_is_named_and_nothing_is_sent(protocol: int) -> None:
    line = Watched(sam_of((protocol, Cipher.SM4, 1), roles=("emergency",)))
    sam = SamKeySet.open(line, PIN)
    card = ResidentHealthCard(personalized_card(roots_of(protocol)), sam, 1)
    card.authenticate("RK1_DF02")
    line.sent.clear()
    with pytest.raises(CardKeyError, match="RK1_DF03 is needed, but this SAM does not hold it"):
        card.authenticate("RK1_DF03")
    assert line.sent == []
    assert {value.state for value in card.read("DDF1/EF06")} <= {State.DENIED}


@pytest.mark.parametrize("given_only", [True, False])
def test_a_key_that_only_the_sam_knows_to_lack_is_refused_by_it(given_only: bool) -> None:
    given = HeldKeys(1, Cipher.SM4, 1, ALL_NAMES) if given_only else None
    line = sam_of(roles=("emergency",))
    sam = SamKeySet.open(line, PIN, given=given).for_card(CARD_CHIP, REGION)
    if given_only:
        with pytest.raises(SamRefusal, match=r"80 DE of RK1_DF03, version 1: 6A88 .*another role"):
            sam.process_key("RK1_DF03", CHALLENGE).encrypt(bytes(16))
    else:
        with pytest.raises(CardKeyError, match="this SAM does not hold it"):
            sam.process_key("RK1_DF03", CHALLENGE)


def test_a_sam_that_was_reset_under_us_asks_for_its_pin() -> None:
    connection = sam_of()
    sam = SamKeySet.open(connection, PIN).for_card(CARD_CHIP, REGION)
    connection.reset()
    assert sw(connection, "00A4000002DF01") == 0x9000
    with pytest.raises(SamRefusal, match=r"6982 .*needs its PIN first"):
        sam.process_key("RK1_DF02", CHALLENGE).encrypt(CHALLENGE + bytes(8))


def test_a_wrong_key_on_the_card_is_named_without_a_check_value() -> None:
    sam = SamKeySet.open(sam_of((1, Cipher.SM4, 1)), PIN)
    other = roots_of(1, Cipher.SM4, 2)
    from dataclasses import replace

    card = ResidentHealthCard(personalized_card(replace(other, version=1)), sam, 1)
    with pytest.raises(ChannelError, match="Tried IRK_DDF1 the key in the SAM"):
        card.internal_authenticate()


def test_a_reply_that_is_not_the_cards_is_not_believed() -> None:
    sam = SamKeySet.open(sam_of((2, Cipher.SM4, 1)), PIN).for_card(CARD_CHIP, REGION)
    attempt = sam.authentication("RK1_DF02", CHALLENGE, H("DF0284200101"))
    with pytest.raises(ChannelError, match="the card's cryptogram is wrong"):
        attempt.session_keys(bytes(40), bytes(16))
    with pytest.raises(ChannelError, match="the card's cryptogram is wrong"):
        attempt.session_keys(bytes(40), bytes(16))


def test_an_authentication_that_another_one_overtook_is_over() -> None:
    sam = SamKeySet.open(sam_of((2, Cipher.SM4, 1)), PIN).for_card(CARD_CHIP, REGION)
    first = sam.authentication("RK1_DF02", CHALLENGE, H("DF0284200101"))
    sam.authentication("RK1_DF02", CHALLENGE, H("DF0284200101"))
    with pytest.raises(ChannelError):
        first.session_keys(bytes(40), bytes(16))


def test_what_a_sam_cannot_do_is_said() -> None:
    key_set = SamKeySet.open(sam_of((2, Cipher.SM4, 1)), PIN)
    sam = key_set.for_card(CARD_CHIP, REGION)
    with pytest.raises(CardKeyError, match="no check value"):
        sam.key_check_value("RK1_DF02")
    with pytest.raises(CardKeyError, match="with a key store only"):
        sam.grouping("RK1_DF02", None)  # type: ignore[arg-type]
    with pytest.raises(CardKeyError, match="no process key"):
        sam.process_key("RK1_DF02", CHALLENGE)
    with pytest.raises(CardKeyError, match="8 bytes each"):
        key_set.for_card(b"", REGION)
    with pytest.raises(FormatError, match="a challenge has 8 bytes"):
        sam.process_key("IRK_DDF1", b"")


# --- nothing secret is shown --------------------------------------------------------------


def test_neither_keys_nor_pin_are_in_a_repr_or_a_recording() -> None:
    recorder = Recorder(sam_of((2, Cipher.SM4, 1)))
    key_set = SamKeySet.open(recorder, PIN)
    sam = key_set.for_card(CARD_CHIP, REGION)
    card = ResidentHealthCard(personalized_card(roots_of(2)), key_set)
    card.authenticate("RK1_DF02")
    session = card._channel._host._keys  # type: ignore[union-attr]
    shown = repr((key_set, sam, sam.process_key("IRK_DDF1", CHALLENGE), opened(sam_of())))
    kept = b"".join(each.command + each.response for each in recorder.exchanges)
    assert PIN not in shown and PIN.digits not in kept
    for answer in _answers(recorder):
        assert not _is_key_of(answer, session)


def _answers(recorder: Recorder) -> list[bytes]:
    return [each.response[:-2] for each in recorder.exchanges]


def _is_key_of(answer: bytes, session: object) -> bool:
    """Whether 32 bytes are the keys of the session: they encrypt the same."""
    if len(answer) != 32:
        return False
    ours = BlockCipher(Cipher.SM4, answer[:16]).encrypt_ecb(bytes(16))
    return bool(ours == session.enc.encrypt_ecb(bytes(16)))  # type: ignore[attr-defined]
