"""Fixtures for pytest: software cards for tests, and faults for them.

They are installed with the package: a test only has to name them. Every test gets its own card.
Override `card_roots` in a conftest to use cards with other keys, cipher or protocol, and
`field_roots` for the cards that behave as deployed ones.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from .emulator import FaultyCard, SoftwareCard
    from .keys.roots import Roots
    from .keys.store.key_store import KeyStore


class CardFaults(Protocol):
    """The type of the fixture `card_faults`."""

    def __call__(
        self,
        *script: str,
        card: "SoftwareCard | None" = None,
        seed: int = 0,
        sleep: Callable[[float], None] = ...,
    ) -> "FaultyCard":
        """Make a card faulty: `card`, or else the test's `personalized_card`.

        Each text in `script` is one fault, written as in `cardlib.emulator.bench.faults`. Delays
        take no time unless `sleep` is given.
        """
        ...


class FieldCards(Protocol):
    """The type of the fixture `field_card`."""

    def __call__(self, **settings: str) -> "SoftwareCard":
        """Make a card of profile `field`, with other values of the settings that are named.

        The settings are those of `cardlib.layout.card_profile`. Raises FormatError, which names the
        choices, when there is no such setting or value.
        """
        ...


@pytest.fixture(scope="session")
def card_roots() -> "Roots":
    """The root keys of all cards: the public test roots."""
    from .keys.roots import public_test_roots

    return public_test_roots()


@pytest.fixture(scope="session")
def card_key_store(card_roots: "Roots") -> "KeyStore":
    """The key store that belongs to the cards, for a terminal or an issuer."""
    from .keys.store.key_store import KeyStore

    return KeyStore(card_roots)


@pytest.fixture
def card_pin() -> str:
    """The PIN of the personalized card, 6 digits."""
    from .emulator.bench.ready_made import PIN

    return PIN


@pytest.fixture
def software_card(card_key_store: "KeyStore") -> "SoftwareCard":
    """A blank card with transport keys, as a card maker delivers it."""
    from .emulator import SoftwareCard
    from .emulator.bench.ready_made import CHIP

    return SoftwareCard.blank(CHIP, card_key_store.blank_keys(CHIP))


@pytest.fixture(scope="session")
def _personalized_pages(card_roots: "Roots") -> dict[int, bytes]:
    from .emulator.bench.ready_made import personalized_card

    return personalized_card(card_roots).memory.pages


@pytest.fixture
def personalized_card(_personalized_pages: dict[int, bytes]) -> "SoftwareCard":
    """An ACTIVE card of a made-up resident (`cardlib.emulator.bench.ready_made.RESIDENT`)."""
    from .emulator import SoftwareCard
    from .emulator.chip.memory import Memory

    return SoftwareCard(Memory(_personalized_pages))


@pytest.fixture(scope="session")
def field_roots() -> "Roots":
    """The root keys of the cards that `field_card` makes: public test roots of version 1."""
    from .keys.roots import public_test_roots

    return public_test_roots(1)


@pytest.fixture(scope="session")
def field_key_store(field_roots: "Roots") -> "KeyStore":
    """The key store that belongs to the cards that `field_card` makes."""
    from .keys.store.key_store import KeyStore

    return KeyStore(field_roots)


@pytest.fixture
def field_card(field_roots: "Roots") -> FieldCards:
    """Make cards that behave as deployed ones: `field_card()`, `field_card(blank_text="20")`."""
    from .emulator import CardOptions, personalized_card
    from .layout.card_profile import FIELD

    def make(**settings: str) -> "SoftwareCard":
        return personalized_card(
            field_roots, options=CardOptions.of_profile(FIELD.having(settings))
        )

    return make


@pytest.fixture
def card_image(personalized_card: "SoftwareCard", tmp_path: Path) -> Path:
    """The path of a card file that holds the personalized card."""
    path = tmp_path / "personalized.card"
    personalized_card.save(path)
    personalized_card.close()
    return path


@pytest.fixture
def card_faults(request: pytest.FixtureRequest) -> CardFaults:
    """Make a card faulty: `card_faults("cut:write=3:after", "lost:apdu=9..")`."""
    from .emulator import FaultyCard, parse_faults

    def make_faulty(
        *script: str,
        card: "SoftwareCard | None" = None,
        seed: int = 0,
        sleep: Callable[[float], None] = lambda _: None,
    ) -> "FaultyCard":
        if card is None:
            card = request.getfixturevalue("personalized_card")
        return FaultyCard(card, parse_faults(script), seed, sleep=sleep)

    return make_faulty
