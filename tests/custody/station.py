"""What a station does with a card through the agent, step by step, for tests."""

from uuid import UUID

from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.exchange import send
from cardlib.facts import HEALTH_APPLICATION, SECURITY_DOMAIN, ChipSerial, Pin, Region
from cardlib.issuance import select_application
from cardlib.issuance.agent_issuer import AgentHost, AgentIssuer
from cardlib.issuance.making import HostSession
from cardlib.keys.issuer import CardJob, Scp03Set
from cardlib.keys.store import KeyStore
from cardlib.layout.load import Grouping
from tests.cards.cards import CHIP, PIN, REGION, groupings
from tests.custody.desks import own_keys

CHIP_SERIAL, OTHER_CHIP = ChipSerial(CHIP), ChipSerial(bytes(7) + b"\x07")
JOB = CardJob(UUID(int=1), 1, CHIP_SERIAL)
CARDHOLDER = Region(REGION), Pin(PIN)


def records(protocol: int = 1, cipher: Cipher = Cipher.SM4) -> list[Grouping]:
    """The records of a resident, without keys and PIN."""
    return [each for each in groupings(cipher, protocol) if each[0] >> 8 <= 25]


RECORDS = records()


def blank(chip: bytes = CHIP, keys: KeyStore | None = None) -> SoftwareCard:
    return SoftwareCard.blank(chip, (keys or own_keys()).blank_keys(chip))


def opened(card: SoftwareCard, issuer: AgentIssuer, key_set: Scp03Set, chip: bytes) -> AgentHost:
    """A session in which both sides have proved their keys."""
    host = issuer.session(key_set, ChipSerial(chip))
    domain = key_set is Scp03Set.TRANSPORT
    select_application(card, SECURITY_DOMAIN if domain else HEALTH_APPLICATION)
    challenge = send(card.transmit, host.initialize_update())
    host.opened(send(card.transmit, host.external_authenticate(challenge)))
    return host


def activate(card: SoftwareCard, issuer: AgentIssuer, chip: ChipSerial = CHIP_SERIAL) -> None:
    HostSession.open(card, issuer.session(Scp03Set.ISSUER, chip)).activate()
