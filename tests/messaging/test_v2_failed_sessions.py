"""Version 2, host and card together: what ends a session."""

from collections.abc import Callable

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.errors import (
    ChannelError,
    FormatError,
    StatusWordError,
    TransportError,
)
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import State
from tests.cards.v2_cards import CHIP, PIN, REGION, card_of, key_set
from tests.messaging.v2_line import CLINICAL, Line, fresh, states, terminal

H = bytes.fromhex


# --- what ends a session --------------------------------------------------------------------


@pytest.mark.parametrize("reply", [
    "6A82", "6A83", "6982", "9000", "6988", "6987", "6282", "63C2", "6C10", "6985",
    "2901049000", "99029000" "9000", "00" * 100 + "9000",
])  # fmt: skip
@pytest.mark.parametrize("ins", [0xA4, 0xB2])
def test_an_unprotected_reply_is_never_believed(ins: int, reply: str) -> None:
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.authenticate("RK1_DF02")
    line.reply = lambda raw, real: H(reply) if raw[1] == ins else real
    with pytest.raises(ChannelError):
        reader.read(CLINICAL)
    assert reader.rights == frozenset()
    line.reply = lambda raw, real: real
    acts: list[Callable[[], object]] = [
        lambda: reader.read(CLINICAL), lambda: reader.authenticate("RK1_DF02"),
        lambda: reader.verify_pin(PIN), reader.identify, reader.internal_authenticate,
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(ChannelError, match="reset the card"):
            act()
    reader.reset()
    reader.authenticate("RK1_DF02")
    assert states(reader.read(CLINICAL)) >= {State.VALUE}


def test_a_failed_transport_ends_the_session() -> None:
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.authenticate("RK1_DF02")

    def torn(raw: bytes, real: bytes) -> bytes:
        raise TransportError("card pulled out")

    line.reply = torn
    with pytest.raises(TransportError):
        reader.read(CLINICAL)
    assert reader.rights == frozenset()
    line.reply = lambda raw, real: real
    with pytest.raises(ChannelError, match="reset"):
        reader.read(CLINICAL)


def test_a_wrong_key_spends_a_try_and_is_told_with_what_was_tried() -> None:
    card = fresh(card_of())
    other = SoftwareKeySet(new_roots(2, Cipher.SM4).card, 2, Cipher.SM4)
    reader = ResidentHealthCard(card, other)
    tried = other.for_card(CHIP, REGION).key_check_value("RK1_DF02").hex().upper()
    with pytest.raises(StatusWordError) as error:
        reader.authenticate("RK1_DF02")
    assert error.value.sw == 0x63CE and tried in str(error.value)
    assert states(reader.read(CLINICAL)) == {State.DENIED}


def test_a_wrong_key_in_a_session_ends_it() -> None:
    roots = dict(public_test_roots(2, Cipher.SM4).card)
    roots["UK1_DF02"] = bytes(16)
    reader = ResidentHealthCard(fresh(card_of()), SoftwareKeySet(roots, 2, Cipher.SM4))
    reader.authenticate("RK1_DF02")
    with pytest.raises(StatusWordError, match="63CE"):
        reader.authenticate("UK1_DF02")
    assert reader.rights == frozenset()
    with pytest.raises(ChannelError, match="reset"):
        reader.read(CLINICAL)
    reader.reset()
    reader.authenticate("RK1_DF02")
    assert reader.rights == {"RK1_DF02"}


def test_fifteen_wrong_keys_block_one_and_no_other() -> None:
    card = fresh(card_of())
    other = SoftwareKeySet(new_roots(2, Cipher.SM4).card, 2, Cipher.SM4)
    for left in range(14, -1, -1):
        with pytest.raises(StatusWordError) as error:
            ResidentHealthCard(card, other).authenticate("RK1_DF02")
        assert error.value.sw == 0x63C0 | left
    with pytest.raises(StatusWordError, match="6983"):
        terminal(card, "RK1_DF02")
    assert terminal(card, "RK1_DF03").rights == {"RK1_DF03"}


def test_whoever_forgets_a_session_resets_the_card() -> None:
    card = card_of()
    reader = terminal(card, "RK1_DF02")
    reader.forget()
    assert reader.rights == frozenset()
    with pytest.raises(ChannelError, match="reset"):
        reader.read(CLINICAL)
    reader.reset()
    reader.identify()
    reader.forget()
    assert reader.identify().protocol == 2


def test_a_value_that_does_not_fit_leaves_the_session_as_it_is() -> None:
    reader = terminal(card_of(), "RK1_DF02", "UK1_DF02")
    with pytest.raises(FormatError):
        reader.update(CLINICAL, 1, {"abo_blood_group": "23"})
    reader.update(CLINICAL, 1, {"abo_blood_group": "3"})
