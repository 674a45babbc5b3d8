"""What goes wrong with a token: half imports, lost sessions, forks, wrong PINs, missing tokens."""

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pkcs11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial
from cardlib.keys.roots import new_roots
from cardlib.keys.token import pkcs11 as pkcs11_module
from cardlib.keys.token import token_session
from cardlib.keys.token.pkcs11 import (
    DerivedKey,
    KeyTemplate,
)  # fmt: skip
from cardlib.keys.token.token_holder import TokenHolder
from cardlib.keys.token.token_keys import TokenKeys
from cardlib.keys.token.token_making import (
    NEEDED,
    generate_roots,
    import_roots,
    remove_leftovers,
    require,
)
from cardlib.keys.token.token_session import TokenSession
from cardlib.keys.token.token_version import (
    CHECK_BLOCK,
    KEY_NAMES,
    TokenVersion,
    found_versions,
    from_json,
    leftovers,
)
from tests.programs.child import exit_code, forked, in_child
from tests.programs.softhsm import PIN, SoftHsm

ROOTS = new_roots(2, Cipher.AES)
EXAMPLE = TokenVersion(
    "main", 1, "0123abcd", 2, "00" * 16, "2026-11-27T00:00:00Z", is_test=False,
    check_values=dict.fromkeys(KEY_NAMES, "012345"), shared={"transport": "rhcard/x"},
)  # fmt: skip


@pytest.fixture
def session(softhsm: SoftHsm) -> Iterator[TokenSession]:
    """An empty token."""
    session = TokenSession(softhsm.module, softhsm.new_token(), softhsm.pin)
    yield session
    session.close()


@pytest.fixture(scope="module")
def filled(softhsm: SoftHsm) -> tuple[str, TokenVersion]:
    """A token with keys that no test changes: its label, and the facts."""
    session = TokenSession(softhsm.module, softhsm.new_token(), softhsm.pin)
    version = import_roots(session, "main", ROOTS).version
    session.close()
    return session.label, version


@pytest.fixture
def keys(softhsm: SoftHsm, filled: tuple[str, TokenVersion]) -> Iterator[TokenSession]:
    session = TokenSession(softhsm.module, filled[0], softhsm.pin)
    yield session
    session.close()


# --- all or none ------------------------------------------------------------------------

Make = Callable[[TokenSession], object]
MAKES: dict[str, Make] = {
    "import": lambda session: import_roots(session, "main", ROOTS),
    "generate": lambda session: generate_roots(session, "main"),
}


@pytest.mark.parametrize("fails_at", [1, 2, 20, len(KEY_NAMES)])
@pytest.mark.parametrize("make", MAKES)
def test_an_import_that_fails_leaves_nothing(
    session: TokenSession, monkeypatch: pytest.MonkeyPatch, make: str, fails_at: int
) -> None:
    _fail_at(monkeypatch, fails_at, lambda: (_ for _ in ()).throw(CardKeyError("full")))
    with pytest.raises(CardKeyError, match="full"):
        MAKES[make](session)
    assert session.key_labels() == []
    assert found_versions(session) == ()


@pytest.mark.parametrize("make", MAKES)
def test_an_import_that_fails_at_its_facts_leaves_nothing(
    session: TokenSession, monkeypatch: pytest.MonkeyPatch, make: str
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TokenSession, "put_data", stopped)
    with pytest.raises(KeyboardInterrupt):
        MAKES[make](session)
    assert session.key_labels() == []


@pytest.mark.parametrize("make", MAKES)
def test_what_a_kill_leaves_is_no_key_store_and_is_removed_at_the_next_try(
    session: TokenSession, monkeypatch: pytest.MonkeyPatch, make: str, softhsm: SoftHsm
) -> None:
    def killed() -> None:
        with monkeypatch.context() as patch:
            _fail_at(patch, 20, lambda: os._exit(77))
            MAKES[make](session)

    assert in_child(killed) == 77
    softhsm.begin_again()
    session.close()
    assert found_versions(session) == ()
    assert len(leftovers(session)) == 19
    other = generate_roots(session, "other")
    assert other.removed == 0
    made = import_roots(session, "main", ROOTS)
    assert made.removed == 19
    assert leftovers(session) == ()
    assert len(session.key_labels()) == 2 * len(KEY_NAMES)


def test_leftovers_can_be_removed_by_themselves(
    session: TokenSession, softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = generate_roots(session, "kept").version
    others_key = "rhcard/key of somebody else"
    session.generate_key(KeyTemplate(others_key, encrypt=True))

    def killed() -> None:
        with monkeypatch.context() as patch:
            _fail_at(patch, 3, lambda: os._exit(77))
            import_roots(session, "main", ROOTS)

    assert in_child(killed) == 77
    softhsm.begin_again()
    session.close()
    assert remove_leftovers(session) == 2
    assert remove_leftovers(session) == 0
    assert session.key_labels() == sorted([*map(kept.label, KEY_NAMES), others_key])
    assert found_versions(session) == (kept,)


def _fail_at(patch: pytest.MonkeyPatch, number: int, what: Callable[[], object]) -> None:
    """Let the n-th key fail before it is written."""
    seen = 0
    for name in ("import_key", "generate_key"):
        real = getattr(TokenSession, name)

        def counted(*arguments: object, real: Callable[..., None] = real) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                what()
            real(*arguments)

        patch.setattr(TokenSession, name, counted)


def test_a_token_that_cannot_write_is_one_clear_error(
    session: TokenSession, tmp_path: Path
) -> None:
    """As on a full disk. SoftHSM itself does not survive that: it cuts its own files short."""
    told = tmp_path / "told"
    told.touch()

    def full() -> None:
        assert session.key_labels() == []
        with told.open("w") as file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            try:
                import_roots(session, "main", ROOTS)
            except CardKeyError as error:
                message = str(error)
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
            file.write(message)

    assert in_child(full) == 0
    assert told.read_text().startswith(f"token {session.label}: the token or its module failed")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (pkcs11.DeviceMemory, "the token is full"),
        (pkcs11.SessionCount, "too many programs use the token"),
        (pkcs11.DeviceRemoved, "the token was removed"),
        (pkcs11.TokenWriteProtected, "write-protected"),
        (pkcs11.PinLocked, "the PIN is locked"),
    ],
)
def test_what_a_token_says_is_one_clear_line(
    session: TokenSession, monkeypatch: pytest.MonkeyPatch, error: type[Exception], said: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(TokenSession, "_token", fails)
    with pytest.raises(CardKeyError, match=f"^token {session.label}: .*{said}") as raised:
        session.key_labels()
    assert "\n" not in str(raised.value)


def test_a_version_is_not_replaced(session: TokenSession) -> None:
    import_roots(session, "main", ROOTS)
    for make in MAKES.values():
        with pytest.raises(CardKeyError, match="holds version 1 of main already"):
            make(session)
    assert len(session.key_labels()) == len(KEY_NAMES)


def test_a_key_that_the_token_got_wrong_is_found_before_it_counts(
    session: TokenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TokenSession.import_key

    def wrong(self: TokenSession, template: KeyTemplate, value: bytes) -> None:
        changed = bytes(16) if "/cvk/" in template.label else value
        real(self, template, changed)

    monkeypatch.setattr(TokenSession, "import_key", wrong)
    with pytest.raises(CardKeyError, match="key cvk did not arrive as it is"):
        import_roots(session, "main", ROOTS)
    assert session.key_labels() == []


def test_a_token_that_would_let_a_key_out_is_refused(
    session: TokenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attributes are read back: here the token is made to do less than it was asked for."""
    real = pkcs11_module.attributes_of
    weaker = {pkcs11.Attribute.EXTRACTABLE: True}
    monkeypatch.setattr(token_session, "attributes_of", lambda asked: {**real(asked), **weaker})
    with pytest.raises(CardKeyError, match="does not keep EXTRACTABLE of key"):
        session.import_key(KeyTemplate("rhcard/x", encrypt=True), bytes(16))
    assert session.key_labels() == []


@pytest.mark.parametrize("name", ["", "Main", "a" * 17, "-a", "a/b", "süd"])
def test_the_name_of_a_store_in_a_token_is_checked(session: TokenSession, name: str) -> None:
    with pytest.raises(CardKeyError, match="is no name for keys in a token"):
        generate_roots(session, name)


def test_sm4_roots_are_refused_before_anything_is_written(session: TokenSession) -> None:
    with pytest.raises(CardKeyError, match="PKCS#11 has no mechanism for SM4"):
        import_roots(session, "main", new_roots(2, Cipher.SM4))
    assert session.key_labels() == []


@pytest.mark.parametrize("number", NEEDED)
def test_a_token_that_offers_too_little_is_refused(number: int) -> None:
    with pytest.raises(CardKeyError, match=f"does not offer {NEEDED[number]}"):
        require(frozenset(NEEDED) - {number}, Cipher.AES)
    require(frozenset(NEEDED), Cipher.AES)
    with pytest.raises(CardKeyError, match="does not offer CKM_AES_KEY_GEN, CKM_GENERIC_SECRET"):
        require(frozenset(NEEDED), Cipher.AES, make=True)


# --- sessions ---------------------------------------------------------------------------


def test_a_session_that_was_lost_is_opened_again(
    keys: TokenSession, filled: tuple[str, TokenVersion], softhsm: SoftHsm
) -> None:
    version = filled[1]
    before = keys.encrypt(version.label("cvk"), CHECK_BLOCK)
    below = keys.encrypt(DerivedKey(version.label("RK1_DF01"), CHECK_BLOCK), CHECK_BLOCK)
    inner = keys._session
    assert inner is not None
    inner.close()
    assert keys.encrypt(version.label("cvk"), CHECK_BLOCK) == before
    softhsm.begin_again()
    assert keys.encrypt(DerivedKey(version.label("RK1_DF01"), CHECK_BLOCK), CHECK_BLOCK) == below


def test_a_session_is_opened_again_once_only(
    keys: TokenSession, filled: tuple[str, TokenVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = TokenSession._login

    def lost(self: TokenSession, token: pkcs11.Token) -> pkcs11.Session:
        session = real(self, token)
        opened.append(session)
        session.close()
        return session

    monkeypatch.setattr(TokenSession, "_login", lost)
    with pytest.raises(CardKeyError, match="the token or its module failed"):
        keys.encrypt(filled[1].label("cvk"), CHECK_BLOCK)
    assert len(opened) == 2


def test_a_child_process_opens_a_session_of_its_own(
    keys: TokenSession, filled: tuple[str, TokenVersion]
) -> None:
    version = filled[1]
    expected = keys.cmac(version.label("issuer"), b"message")

    def work() -> None:
        assert keys.cmac(version.label("issuer"), b"message") == expected
        keys.close()

    children = [in_child(work) for _ in range(3)]
    assert children == [0, 0, 0]
    assert keys.cmac(version.label("issuer"), b"message") == expected


def test_several_processes_use_one_token_at_once(
    keys: TokenSession, filled: tuple[str, TokenVersion]
) -> None:
    label = filled[1].label("cvk")
    expected = [keys.encrypt(label, bytes([n]) * 16) for n in range(50)]

    def work() -> None:
        assert [keys.encrypt(label, bytes([n]) * 16) for n in range(50)] == expected

    children = [forked(work) for _ in range(4)]
    assert [exit_code(child) for child in children] == [0] * 4


def test_after_lock_the_pin_is_gone_and_nothing_works(
    softhsm: SoftHsm, filled: tuple[str, TokenVersion]
) -> None:
    holder_session = TokenSession(softhsm.module, filled[0], softhsm.pin)
    holder = TokenHolder(holder_session, "main")
    holder.lock()
    assert PIN not in repr(vars(holder_session))
    with pytest.raises(CardKeyError, match="is locked: its PIN is needed again"):
        holder.newest.transport_keys(ChipSerial(bytes(8)))


def test_threads_that_share_a_session_do_not_mix_their_results(
    keys: TokenSession, filled: tuple[str, TokenVersion]
) -> None:
    label = filled[1].label("cvk")
    blocks = [bytes([n]) * 16 for n in range(64)]
    alone = [keys.encrypt(label, block) for block in blocks]
    other = TokenSession(keys.module, keys.label, PIN)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda block: keys.encrypt(label, block), blocks)) == alone
        pairs = [(session, block) for block in blocks for session in (keys, other)]
        found = list(pool.map(lambda pair: pair[0].encrypt(label, pair[1]), pairs))
    assert found == [each for each in alone for _ in range(2)]


def test_a_token_that_is_gone_is_one_clear_line(softhsm: SoftHsm) -> None:
    label = softhsm.new_token()
    session = TokenSession(softhsm.module, label, softhsm.pin)
    version = import_roots(session, "main", ROOTS).version
    for folder in list(softhsm.folder.iterdir()):
        if any(label.encode() in file.read_bytes() for file in folder.glob("token.object")):
            shutil.rmtree(folder)
    softhsm.begin_again()
    with pytest.raises(CardKeyError, match=rf"^token {label}: there is no token with this label"):
        session.encrypt(version.label("cvk"), CHECK_BLOCK)


def test_a_key_that_is_gone_or_twice_there_is_named(
    session: TokenSession, softhsm: SoftHsm
) -> None:
    version = import_roots(session, "main", ROOTS).version
    label = version.label("cvk")
    session.encrypt(label, CHECK_BLOCK)
    session.import_key(KeyTemplate(label, encrypt=True), bytes(16))
    session.close()
    with pytest.raises(CardKeyError, match=f"key {label} is there 2 times"):
        session.encrypt(label, CHECK_BLOCK)
    assert session.remove(frozenset({label})) == 2
    with pytest.raises(CardKeyError, match=f"key {label} is not there"):
        TokenKeys(session, version).security_code("0000000001", "20261127")


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'{"format": "rhcard token keys 1"}'])
def test_damaged_facts_are_told(session: TokenSession, raw: bytes) -> None:
    session.put_data("rhcard/main/v1", "rhcard", raw)
    with pytest.raises(CardKeyError, match="facts of root keys in the token are damaged"):
        found_versions(session)


@pytest.mark.parametrize(
    ("member", "value"), [("number", 8), ("protocol", 3), ("check_values", {}), ("more", 1)]
)
def test_facts_that_cannot_be_are_told(
    filled: tuple[str, TokenVersion], member: str, value: object
) -> None:
    raw = filled[1].to_json()
    assert from_json(raw) == filled[1]
    with pytest.raises(CardKeyError, match="facts of root keys in the token are damaged"):
        from_json(json.dumps({**json.loads(raw), member: value}).encode())


@given(st.data())
def test_changed_facts_are_read_whole_or_refused(data: st.DataObject) -> None:
    """Whatever stands in the object: a CardKeyError, or facts with the right kinds of values."""
    facts = json.loads(EXAMPLE.to_json())
    name = data.draw(st.sampled_from(sorted(facts)))
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
    facts[name] = data.draw(anything)
    try:
        found = from_json(json.dumps(facts).encode())
    except CardKeyError:
        return
    assert isinstance(found.label("cvk"), str)
    assert from_json(found.to_json()) == found


def test_one_version_twice_is_refused(session: TokenSession) -> None:
    version = import_roots(session, "main", ROOTS).version
    session.put_data("rhcard/main/v1", "rhcard", version.to_json())
    with pytest.raises(CardKeyError, match="holds one version of a key store twice"):
        found_versions(session)
