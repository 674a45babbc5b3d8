"""An outside SCP03 client, yubikit, opens a card that the agent personalized with public keys."""

from pathlib import Path

import pytest
from yubikit.core.smartcard import AID

from cardlib.issuance.making import make_card
from cardlib.keys.public_test_keys import public_test_keys
from tests.cards.cards import CHIP
from tests.custody.desks import bench, own_keys, public_keys
from tests.custody.station import CARDHOLDER, JOB, blank, records
from tests.messaging.test_yubikit import connect, parameters

ISSUER_KEYS = public_test_keys(CHIP)["issuer, 2.0 SM4"]


def test_yubikit_opens_it_with_the_public_issuer_keys(tmp_path: Path) -> None:
    card = blank(keys=public_keys())
    with bench(tmp_path / "state", public_keys(), test_keys=True) as agent:
        make_card(card, agent.issuer(), JOB, records(2), *CARDHOLDER)
    card.reset()
    protocol, _ = connect(card)
    protocol.select(bytes.fromhex("F052484301"))
    protocol.init_scp(parameters(ISSUER_KEYS))
    assert protocol.send_apdu(0x00, 0xCA, 0x00, 0x45) == CHIP


def test_with_roots_of_its_own_it_opens_with_no_public_key(tmp_path: Path) -> None:
    card = blank(keys=own_keys())
    with bench(tmp_path / "state", own_keys()) as agent:
        make_card(card, agent.issuer(), JOB, records(2), *CARDHOLDER)
    for keys in public_test_keys(CHIP).values():
        card.reset()
        protocol, _ = connect(card)
        protocol.select(AID.SECURE_DOMAIN)
        with pytest.raises(ValueError, match="Incorrect SCP parameters"):
            protocol.init_scp(parameters(keys))
