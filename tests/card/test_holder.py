"""Blocking, the PIN and key counters through the card object, in both versions."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.card import holder as administration
from cardlib.crypto import Cipher
from cardlib.emulator import LifeCycle, SoftwareCard
from cardlib.emulator.bench.ready_made import PIN, personalized_card
from cardlib.errors import CardKeyError, ChannelError, FormatError, StatusWordError
from cardlib.issuance import IssuerSession
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import KEY_BY_NAME, State
from cardlib.transport.recorder import Recorder

BLOCKABLE = [f"DDF1/DF0{n}" for n in range(1, 6)]


def with_terminal(protocol: int, cipher: Cipher) -> tuple[SoftwareCard, ResidentHealthCard]:
    roots = public_test_roots(protocol, cipher)
    card = personalized_card(roots)
    return card, ResidentHealthCard(card, KeyStore(roots).terminal_keys, min_protocol=protocol)


@pytest.fixture(params=[(1, Cipher.SM4), (1, Cipher.AES), (2, Cipher.SM4), (2, Cipher.AES)],
                ids=["v1-SM4", "v1-AES", "v2-SM4", "v2-AES"])  # fmt: skip
def pair(request: pytest.FixtureRequest) -> tuple[SoftwareCard, ResidentHealthCard]:
    return with_terminal(*request.param)


@pytest.mark.parametrize("df_path", BLOCKABLE)
@pytest.mark.parametrize("protocol", [1, 2])
def test_an_application_is_blocked_and_opened_again(protocol: int, df_path: str) -> None:
    card, terminal = with_terminal(protocol, Cipher.SM4)
    file, key = f"{df_path}/EF05", f"RK1_{df_path[-4:]}"
    administration.block_application(terminal, df_path)
    assert card.state.blocked_directories == 1 << BLOCKABLE.index(df_path)
    terminal.reset()
    with pytest.raises(StatusWordError, match="6985"):
        terminal.authenticate(key)
        terminal.read(file)
    terminal.reset()
    administration.unblock_application(terminal, df_path)
    assert card.state.blocked_directories == 0
    terminal.authenticate(key)
    assert State.DENIED not in {value.state for value in terminal.read(file)}


def test_a_card_is_blocked_for_ever(pair: tuple[SoftwareCard, ResidentHealthCard]) -> None:
    card, terminal = pair
    administration.block_card(terminal)
    assert card.state.life_cycle == LifeCycle.BLOCKED
    terminal.reset()
    with pytest.raises(StatusWordError, match="6A81"):
        terminal.identify()


@pytest.mark.parametrize("df_path", ["DDF1", "MF", "DDF1/DF09"])
def test_a_directory_without_lk_cannot_be_blocked(df_path: str) -> None:
    _, terminal = with_terminal(1, Cipher.SM4)
    with pytest.raises(CardKeyError):
        administration.block_application(terminal, df_path)


def test_the_pin_is_asked_for_verified_changed_and_asking_spends_nothing(
    pair: tuple[SoftwareCard, ResidentHealthCard],
) -> None:
    _, terminal = pair
    terminal.authenticate("RK1_DDF1")
    for _ in range(5):
        assert administration.pin_tries(terminal) == 3
    with pytest.raises(StatusWordError, match="63C2"):
        administration.change_pin(terminal, "000000", "246802")
    assert administration.pin_tries(terminal) == 2
    administration.change_pin(terminal, PIN, "246802")
    terminal.verify_pin("246802")
    assert administration.pin_tries(terminal) is None


@pytest.mark.parametrize("new", [None, "112233"])
def test_a_blocked_pin_is_unblocked_under_the_puk(
    pair: tuple[SoftwareCard, ResidentHealthCard], new: str | None
) -> None:
    _, terminal = pair
    terminal.authenticate("RK1_DDF1")
    for left in (2, 1, 0):
        with pytest.raises(StatusWordError):
            terminal.verify_pin("000000")
        assert administration.pin_tries(terminal) == left
    with pytest.raises(StatusWordError, match="6983"):
        terminal.verify_pin(PIN)
    administration.unblock_pin(terminal, new)
    assert administration.pin_tries(terminal) == 3
    terminal.verify_pin(new or PIN)


@pytest.mark.parametrize("digits", ["", "12345", "1234567", "12345a", "１２３４５６"])
def test_a_pin_has_six_digits(digits: str) -> None:
    _, terminal = with_terminal(1, Cipher.SM4)
    with pytest.raises(FormatError):
        administration.change_pin(terminal, digits, "246802")
    with pytest.raises(FormatError):
        administration.change_pin(terminal, PIN, digits)
    with pytest.raises(FormatError):
        administration.unblock_pin(terminal, digits)
    assert administration.pin_tries(terminal) == 3


def test_version_1_sends_what_the_specification_names() -> None:
    roots = public_test_roots(1)
    recorder = Recorder(personalized_card(roots))
    terminal = ResidentHealthCard(recorder, KeyStore(roots).terminal_keys, min_protocol=1)
    administration.block_application(terminal, "DDF1/DF03")
    administration.unblock_application(terminal, "DDF1/DF03")
    administration.unblock_pin(terminal)
    administration.block_card(terminal)
    sent = [exchange.command.hex() for exchange in recorder.exchanges]
    for head in ("841e000004", "8418000004", "8424000004", "8416000004"):
        assert any(command.startswith(head) for command in sent), head


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_key_whose_tries_are_used_up_is_given_them_back_by_the_issuer(protocol: int) -> None:
    roots = public_test_roots(protocol)
    card = personalized_card(roots)
    spec, store = KEY_BY_NAME["UK1_DF03"], KeyStore(roots)
    card.state.set_key_tries(spec, 0)
    card.memory.commit()
    terminal = ResidentHealthCard(card, store.terminal_keys, min_protocol=protocol)
    with pytest.raises(StatusWordError, match="6983"):
        terminal.authenticate("UK1_DF03")
    terminal.reset()
    IssuerSession.open(card, store.issuer_keys(card.chip)).reset_tries("UK1_DF03")
    terminal.reset()
    terminal.authenticate("UK1_DF03")
    terminal.reset()
    with pytest.raises(CardKeyError):
        IssuerSession.open(card, store.issuer_keys(card.chip)).reset_tries("UK9_DF03")
    terminal.reset()
    with pytest.raises(ChannelError, match="cryptogram"):
        other = KeyStore(new_roots(protocol))
        IssuerSession.open(card, other.issuer_keys(card.chip)).reset_tries("UK1_DF03")


def test_a_wrong_messaging_key_is_named() -> None:
    roots, other = public_test_roots(1), new_roots(1)
    keys = MappingProxyType({**roots.card, "STK_DF03": other.card["STK_DF03"]})
    mixed = KeyStore(replace(roots, card=keys))
    terminal = ResidentHealthCard(personalized_card(roots), mixed.terminal_keys, min_protocol=1)
    with pytest.raises(StatusWordError, match=r"6988.*the STK_DF03 that was tried is not"):
        administration.block_application(terminal, "DDF1/DF03")
