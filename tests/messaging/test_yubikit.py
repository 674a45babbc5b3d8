"""An outside SCP03 client, yubikit, drives the software card; our host sends the same bytes."""

from collections.abc import Iterator

import pytest
from yubikit.core import TRANSPORT
from yubikit.core.smartcard import (
    AID,
    ApduError,
    ScpProcessor,
    SmartCardConnection,
    SmartCardProtocol,
)
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, ScpKid, ScpState, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

from cardlib.apdu import ResponseAPDU
from cardlib.emulator import CardOptions, LifeCycle, SoftwareCard
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.messaging.scp03 import Scp03Host
from tests.emulator.test_personalization import (
    CHIP,
    KEYS_OF_ISSUER,
    blank,
    content,
    mandatory,
    stream,
)

H = bytes.fromhex
SIZES = (1, 15, 16, 17, 31, 100, 223, 238, 239)
CHAINED_COMMANDS = 50
TRANSPORT_KEYS = (b"e" * 16, b"m" * 16, b"d" * 16)


class CardConnection(SmartCardConnection):
    """The software card as yubikit wants it; every command and answer is kept."""

    def __init__(self, card: SoftwareCard, transport: TRANSPORT = TRANSPORT.NFC) -> None:
        self._card, self._transport = card, transport
        self.exchanges: list[tuple[bytes, bytes]] = []

    @property
    def transport(self) -> TRANSPORT:
        return self._transport

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        answer = self._card.transmit(apdu)
        self.exchanges.append((apdu, answer))
        return answer[:-2], int.from_bytes(answer[-2:], "big")


@pytest.fixture
def card() -> Iterator[SoftwareCard]:
    made = SoftwareCard.blank(CHIP, TRANSPORT_KEYS)
    yield made
    made.close()


def parameters(keys: tuple[bytes, bytes, bytes], version: int = 0) -> Scp03KeyParams:
    return Scp03KeyParams(KeyRef(ScpKid.SCP03, version), StaticKeys(*keys))


def connect(card: SoftwareCard) -> tuple[SmartCardProtocol, CardConnection]:
    connection = CardConnection(card)
    protocol = SmartCardProtocol(connection)
    protocol.select(AID.SECURE_DOMAIN)
    return protocol, connection


def load(protocol: SmartCardProtocol, data: bytes, block: int) -> None:
    parts = [data[start : start + block] for start in range(0, len(data), block)]
    for number, part in enumerate(parts):
        p1 = 0x88 if number == len(parts) - 1 else 0x08
        assert protocol.send_apdu(0x80, 0xE2, p1, number, part) == b""


@pytest.mark.parametrize("version", [0x00, 0xFF])
def test_it_opens_a_level_33_channel_and_sends_commands(card: SoftwareCard, version: int) -> None:
    protocol, connection = connect(card)
    protocol.init_scp(parameters(TRANSPORT_KEYS, version))
    assert connection.exchanges[-1][0][:4] == H("84823300")
    assert protocol.send_apdu(0x80, 0xCA, 0x9F, 0x7F)[15:23] == CHIP
    status = protocol.send_apdu(0x80, 0xF2, 0x80, 0x02, H("4F00"))
    assert status == H("E3134F08A0000001510000009F700101C503980400")
    with pytest.raises(ApduError) as caught:
        protocol.send_apdu(0x80, 0xCA, 0x12, 0x34)
    assert caught.value.sw == 0x6A88
    assert protocol.send_apdu(0x80, 0xCA, 0x00, 0x45)[2:] == CHIP


def test_it_opens_a_channel_with_the_applet_selected_too(card: SoftwareCard) -> None:
    protocol, _ = connect(card)
    protocol.select(H("F052484301"))
    protocol.init_scp(parameters(TRANSPORT_KEYS))
    assert protocol.send_apdu(0x00, 0xCA, 0x00, 0x45) == CHIP


def test_it_takes_the_card_for_another_with_wrong_keys(card: SoftwareCard) -> None:
    protocol, _ = connect(card)
    for keys, version in ((KEYS_OF_ISSUER, 0), (TRANSPORT_KEYS, 5)):
        with pytest.raises(ValueError, match="Incorrect SCP parameters"):
            protocol.init_scp(parameters(keys, version))


def test_it_replaces_the_transport_keys(card: SoftwareCard) -> None:
    session = SecurityDomainSession(CardConnection(card))
    session.authenticate(parameters(TRANSPORT_KEYS))
    session.put_key(KeyRef(ScpKid.SCP03, 1), StaticKeys(*KEYS_OF_ISSUER), replace_kvn=0xFF)
    assert list(card.state.key_sets) == [1]
    session = SecurityDomainSession(CardConnection(card))
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        session.authenticate(parameters(TRANSPORT_KEYS, 0xFF))
    session.authenticate(parameters(KEYS_OF_ISSUER, 1))


def test_it_reads_what_the_card_says_of_keys_and_of_itself(card: SoftwareCard) -> None:
    session = SecurityDomainSession(CardConnection(card))
    information = session.get_key_information()
    assert {key.kvn for key in information} == {0xFF}
    assert [key.kid for key in information] == [1, 2, 3]
    assert session.get_card_recognition_data()[:2] == H("0607")  # OID globalPlatform 1, in 66 73


def test_it_adds_and_deletes_key_sets(card: SoftwareCard) -> None:
    session = SecurityDomainSession(CardConnection(card))
    session.authenticate(parameters(TRANSPORT_KEYS))
    session.put_key(KeyRef(ScpKid.SCP03, 1), StaticKeys(*KEYS_OF_ISSUER), replace_kvn=0xFF)
    session = SecurityDomainSession(CardConnection(card))
    session.authenticate(parameters(KEYS_OF_ISSUER, 1))
    session.put_key(KeyRef(ScpKid.SCP03, 2), StaticKeys(*KEYS_OF_ISSUER))
    assert list(card.state.key_sets) == [1, 2]
    session.delete_key(kvn=2)
    assert list(card.state.key_sets) == [1]
    assert {key.kvn for key in session.get_key_information()} == {1}
    with pytest.raises(ApduError) as caught:
        session.delete_key(kvn=1, delete_last=True)
    assert caught.value.sw == 0x6985


def test_it_personalizes_and_activates_a_card(card: SoftwareCard) -> None:
    session = SecurityDomainSession(CardConnection(card))
    session.authenticate(parameters(TRANSPORT_KEYS))
    session.put_key(KeyRef(ScpKid.SCP03, 1), StaticKeys(*KEYS_OF_ISSUER), replace_kvn=0xFF)
    protocol, _ = connect(card)
    protocol.init_scp(parameters(KEYS_OF_ISSUER))
    load(protocol, stream(mandatory() | {0x0300: b"photo" * 500}), 239)
    assert card.state.life_cycle == LifeCycle.PERSONALIZED
    protocol.send_apdu(0x80, 0x44, 0, 0)
    assert card.state.life_cycle == LifeCycle.ACTIVE
    assert content(card, "DDF1/EF07")[:2500] == b"photo" * 500


def test_its_chained_commands_are_taken(card: SoftwareCard) -> None:
    protocol, connection = connect(blank())
    protocol.init_scp(parameters(KEYS_OF_ISSUER))
    load(protocol, stream(mandatory() | {0x0300: bytes(2000)}), 1000)
    assert any(command[0] == 0x94 for command, _ in connection.exchanges)


def test_its_extended_commands_are_taken() -> None:
    card = SoftwareCard.blank(CHIP, TRANSPORT_KEYS, options=CardOptions(extended_length=True))
    session = SecurityDomainSession(CardConnection(card, TRANSPORT.USB))
    session.authenticate(parameters(TRANSPORT_KEYS))
    session.put_key(KeyRef(ScpKid.SCP03, 1), StaticKeys(*KEYS_OF_ISSUER), replace_kvn=0xFF)
    session.authenticate(parameters(KEYS_OF_ISSUER))
    load(session.protocol, stream(mandatory() | {0x0300: bytes(3000)}), 1500)
    assert card.state.life_cycle == LifeCycle.PERSONALIZED


@pytest.mark.parametrize("size", SIZES)
def test_our_host_sends_the_same_bytes_and_reads_the_same_replies(size: int) -> None:
    """50 blocks of one size, each between reads, chained in one session of level 33."""
    protocol, connection = connect(blank())
    challenge = bytes(range(8))
    _, formatter = protocol._build_base_processor()
    state, cryptogram = ScpState.scp03_init(
        protocol.send_apdu, parameters(KEYS_OF_ISSUER), host_challenge=challenge
    )
    protocol._processor = ScpProcessor(protocol._processor, formatter, state)
    protocol._processor.send_apdu(0x84, 0x82, 0x33, 0, cryptogram, 0, encrypt=False)

    host = Scp03Host(SoftwareScp03Keys(1, *KEYS_OF_ISSUER), 0x33, host_challenge=challenge)
    begin, opened = connection.exchanges[1:3]
    assert bytes(host.initialize_update()).rstrip(b"\0")[:13] == begin[0][:13]
    assert bytes(host.external_authenticate(ResponseAPDU.parse(begin[1]))) == opened[0]
    host.opened(ResponseAPDU.parse(opened[1]))

    data = stream({number: bytes([number >> 8]) * 3267 for number in range(0x1200, 0x1700, 0x100)})
    for number in range(CHAINED_COMMANDS):
        block = data[number * size : (number + 1) * size]
        for command in ((0x80, 0xE2, 0x08, number, block), (0x80, 0xF2, 0x40, 0x02, H("4F00"))):
            plain = protocol.send_apdu(*command)
            sent, answer = connection.exchanges[-1]
            assert host.protect(*command) == sent
            reply = ResponseAPDU.parse(answer)
            assert host.unprotect(reply.data, reply.sw) == plain
