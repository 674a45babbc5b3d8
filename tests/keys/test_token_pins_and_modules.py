"""The PIN of a token, and the module that speaks to it: where they come from, what is refused."""

import os
import sys
from pathlib import Path

import pytest

from cardlib.errors import CardKeyError, StorageError
from cardlib.keys.token import pkcs11 as pkcs11_module
from cardlib.keys.token.pkcs11 import (
    AES_ECB_DERIVE,
    SP800_108_COUNTER_KDF,
    tokens,
)  # fmt: skip
from cardlib.keys.token.token_errors import wrong_pin
from cardlib.keys.token.token_making import (
    NEEDED,
    template,
)
from cardlib.keys.token.token_pin import pin_given, pin_in_file
from cardlib.keys.token.token_session import TokenSession
from tests.programs.softhsm import PIN, SoftHsm


def test_a_wrong_pin_is_tried_once_and_never_again(softhsm: SoftHsm) -> None:
    label = softhsm.new_token()
    session = TokenSession(softhsm.module, label, "not the PIN")
    with pytest.raises(CardKeyError, match=f"^token {label}: the PIN is wrong"):
        session.key_labels()
    with pytest.raises(CardKeyError, match="its PIN was refused; it is not tried again"):
        session.key_labels()
    right = TokenSession(softhsm.module, label, PIN)
    assert right.key_labels() == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"locked": True, "last": True, "low": True}, "the PIN is locked"),
        ({"locked": False, "last": True, "low": True}, "ONE try is left"),
        ({"locked": False, "last": False, "low": True}, "few tries are left"),
        ({"locked": False, "last": False, "low": False}, "the PIN is wrong"),
    ],
)
def test_what_the_token_tells_of_the_tries_is_said(flags: dict[str, bool], said: str) -> None:
    assert said in wrong_pin(**flags)


def test_the_pin_is_in_no_repr(softhsm: SoftHsm) -> None:
    session = TokenSession(softhsm.module, softhsm.new_token(), PIN)
    session.key_labels()
    assert PIN not in f"{session!r} {vars(session).keys()}"
    session.close()


def pin_file(tmp_path: Path, content: bytes = PIN.encode() + b"\n", mode: int = 0o600) -> Path:
    file = tmp_path / "pin"
    file.write_bytes(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("content", [PIN, PIN + "\n", PIN + "\r\nmore", "\ufeff" + PIN])
def test_a_pin_is_the_first_line_of_its_file(tmp_path: Path, content: str) -> None:
    file = pin_file(tmp_path, content.encode())
    assert pin_in_file(file) == PIN
    assert pin_given(file, {"RHCARD_TOKEN_PIN": "other"}) == PIN


def test_a_pin_may_be_in_the_environment() -> None:
    assert pin_given(None, {"RHCARD_TOKEN_PIN": PIN}) == PIN
    assert pin_given(None, {"RHCARD_TOKEN_PIN": ""}) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o777])
def test_a_pin_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(CardKeyError, match=r"other users may use it\. Run chmod 600"):
        pin_in_file(pin_file(tmp_path, mode=mode))


def test_a_pin_file_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pin_file(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    with pytest.raises(CardKeyError, match="belongs to another user"):
        pin_in_file(file)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "first line is empty"), (b"\xff\xfe", "not UTF-8")]
)
def test_a_pin_file_without_a_pin_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(CardKeyError, match=said):
        pin_in_file(pin_file(tmp_path, content))


def test_a_pin_file_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(CardKeyError, match="token PIN file"):
            pin_in_file(place)
    large = pin_file(tmp_path, b"x" * 5000)
    with pytest.raises((CardKeyError, StorageError), match="too large"):
        pin_in_file(large)


# --- modules -----------------------------------------------------------------------------


def test_tokens_are_described_without_a_pin(softhsm: SoftHsm) -> None:
    label = softhsm.new_token()
    (found,) = [token for token in tokens(softhsm.module) if token.label == label]
    assert (found.model, found.has_pin, found.is_locked) == ("SoftHSM v2", True, False)
    assert found.mechanisms >= NEEDED.keys()


def test_a_module_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    for place in (tmp_path / "none.so", Path(__file__)):
        with pytest.raises(CardKeyError, match=r"it cannot be loaded\. Give the path"):
            tokens(str(place))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pkcs11_module.package.cache_clear()
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    try:
        with pytest.raises(CardKeyError, match=r"pip install 'rhcard\[token\]'"):
            tokens("/nowhere.so")
    finally:
        pkcs11_module.package.cache_clear()


@pytest.mark.parametrize(
    ("name", "offered", "derives"),
    [
        ("RK1_DF01", AES_ECB_DERIVE, True),
        ("RK1_DF01", SP800_108_COUNTER_KDF, False),
        ("UK1_DDF1", AES_ECB_DERIVE, False),
        ("issuer", SP800_108_COUNTER_KDF, True),
        ("transport", AES_ECB_DERIVE, False),
        ("secret", SP800_108_COUNTER_KDF, False),
    ],
)
def test_a_key_may_derive_only_where_the_token_offers_it(
    name: str, offered: int, derives: bool
) -> None:
    assert template(name, "x", frozenset({offered})).derive is derives
