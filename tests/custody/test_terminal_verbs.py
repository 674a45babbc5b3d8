"""What the agent does for a terminal: authentications with one card, and nothing beside them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError, NotGenuine, StatusWordError
from cardlib.keys.agent.agent_verbs import FORMS
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.custody.card_verbs import CARD_VERBS
from personalize.custody.roles import Role
from personalize.custody.terminal_verbs import TERMINAL_VERBS
from tests.cards.cards import CHIP, REGION, personalized_card
from tests.custody.desks import Bench, bench, check_value_told


@pytest.fixture(params=[1, 2], ids=["protocol 1", "protocol 2"])
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "state", KeyStore(new_roots(request.param, Cipher.SM4))) as made:
        yield made


def test_a_check_value_is_told_when_the_use_of_its_key_begins_and_not_before(agent: Bench) -> None:
    keys = agent.issuer(Role.TERMINAL).terminal_keys.for_card(CHIP, REGION)
    own = agent.service.vault.keys.terminal_keys.for_card(CHIP, REGION)
    for name in ("RK1_DDF1", "IRK_DDF1"):
        with pytest.raises(CardKeyError, match=f"tells the check value of {name} when it is used"):
            keys.key_check_value(name)
        assert check_value_told(keys, name) == own.key_check_value(name)


def test_a_message_names_the_key_that_the_card_refused_by_its_check_value(agent: Bench) -> None:
    protocol = agent.service.vault.keys.spec.protocol
    card = personalized_card(protocol=protocol)
    terminal = ResidentHealthCard(card, agent.issuer(Role.TERMINAL).terminal_keys, min_protocol=1)
    own = agent.service.vault.keys.terminal_keys.for_card(CHIP, REGION)
    with pytest.raises(NotGenuine, match=own.key_check_value("IRK_DDF1").hex().upper()):
        terminal.internal_authenticate()
    shown = own.key_check_value("RK1_DDF1").hex().upper()
    with pytest.raises(StatusWordError, match=f"tried check value {shown}"):
        terminal.authenticate("RK1_DDF1")


def test_a_chip_is_named_only_to_begin_a_session_or_an_authentication_or_for_a_job() -> None:
    assert {name for name, form in FORMS.items() if "chip" in form.takes} == {
        "session", "authenticate", "process-key", "replace-keys", "load", "give-up", "seal-pin",
        "unseal-pin",
    }  # fmt: skip
    assert {name for name in TERMINAL_VERBS if "chip" in FORMS[name].takes} == {
        "authenticate", "process-key",
    }  # fmt: skip
    for name in ("replace-keys", "load"):
        assert "session" in FORMS[name].takes and name in CARD_VERBS
