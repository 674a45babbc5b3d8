"""The commands that show and change a key store, and batches around a rotation."""

import json
from pathlib import Path

import pytest

from cardlib.errors import CardKeyError
from cardlib.keys.store.store_file import open_with_passphrase, read_header
from personalize.cli.context import Context
from tests.programs.rhcard import PASSPHRASE, key_file, prepare, public_operator, rhcard

OTHER = "another good one"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return key_file(tmp_path)


def rotate(keys: Path) -> str:
    done = rhcard("keys", "rotate", "--keys", keys, "--json")
    assert done.code == 0
    return str(done.json["versions"][-1]["identity"])


def issue(batch: Path, cards: Path, *words: object) -> int:
    return rhcard("issue", batch, "--cards", cards, "--make-blanks", *words).code


def test_list_needs_no_passphrase_and_shows_each_version(keys: Path) -> None:
    second = rotate(keys)
    done = rhcard("keys", "list", "--keys", keys, passphrase=None)
    assert done.code == 0 and second in done.out and "One passphrase opens it" in done.out
    shown = rhcard("keys", "list", "--keys", keys, "--json", passphrase=None).json
    assert [each["version"] for each in shown["versions"]] == [1, 2]
    assert {len(each["check_values"]) for each in shown["versions"]} == {33}
    transport = {each["check_values"]["transport"] for each in shown["versions"]}
    assert len(transport) == 1
    assert (shown["opened_by"], shown["custodians"], shown["format"]) == ("passphrase", [], 2)


def test_check_opens_the_store_and_says_what_is_right(keys: Path) -> None:
    rotate(keys)
    done = rhcard("keys", "check", "--keys", keys)
    assert done.code == 0 and done.out.count("33 check values are right") == 2
    assert rhcard("keys", "check", "--keys", keys, "--json").json["differences"] == []


def test_a_wrong_passphrase_and_damage_are_told_apart(keys: Path) -> None:
    done = rhcard("keys", "check", "--keys", keys, passphrase="wrong one")
    assert (done.code, "wrong passphrase. The file itself is not damaged" in done.err) == (9, True)
    keys.write_bytes(keys.read_bytes().replace(b'"sealed": "', b'"sealed": "00'))
    for passphrase in (PASSPHRASE, "wrong one", None):
        done = rhcard("keys", "check", "--keys", keys, passphrase=passphrase)
        assert (done.code, "or is damaged" in done.err) == (9, True)
        assert "no passphrase" not in done.err and "wrong passphrase" not in done.err


def test_the_passphrase_is_changed_and_the_old_file_kept(keys: Path, tmp_path: Path) -> None:
    before = open_with_passphrase(keys, PASSPHRASE).newest.identity
    new = tmp_path / "new.txt"
    new.write_text(OTHER + "\n")
    done = rhcard("keys", "passphrase", "--keys", keys, "--new-passphrase-file", new)
    assert done.code == 0 and "The old passphrase still opens that file" in done.err
    assert open_with_passphrase(keys, OTHER).newest.identity == before
    assert rhcard("keys", "check", "--keys", keys).code == 9
    assert rhcard("keys", "check", "--keys", f"{keys}.old").code == 0


def test_a_new_passphrase_that_is_too_short_or_not_given_changes_nothing(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys.read_bytes()
    done = rhcard("keys", "passphrase", "--keys", keys)
    assert (done.code, "RHCARD_NEW_PASSPHRASE" in done.err) == (9, True)
    monkeypatch.setenv("RHCARD_NEW_PASSPHRASE", "seven 7")
    done = rhcard("keys", "passphrase", "--keys", keys)
    assert (done.code, "8 characters or more" in done.err) == (9, True)
    assert keys.read_bytes() == before
    monkeypatch.setenv("RHCARD_NEW_PASSPHRASE", OTHER)
    assert rhcard("keys", "passphrase", "--keys", keys).code == 0
    assert rhcard("keys", "check", "--keys", keys, passphrase=OTHER).code == 0


def test_migrate_gives_the_store_to_custodians(keys: Path, tmp_path: Path) -> None:
    people = [public_operator(tmp_path, name) for name in ("ann", "bob", "cai")]
    words = [word for each in people for word in ("--custodian", each)]
    done = rhcard("keys", "migrate", "--keys", keys, *words)
    assert done.code == 0 and "two of ann, bob, cai open it now" in done.out
    assert read_header(keys).custodians == ("ann", "bob", "cai")
    for command in (("keys", "check"), ("keys", "rotate")):
        done = rhcard(*command, "--keys", keys, passphrase=None)
        assert (done.code, "two of its custodians" in done.err) == (9, True)
    assert "Two of its custodians open it: ann, bob, cai" in rhcard(
        "keys", "list", "--keys", keys, passphrase=None
    ).out  # fmt: skip


def test_a_new_store_for_custodians_asks_for_no_passphrase(tmp_path: Path) -> None:
    people = [public_operator(tmp_path, name) for name in ("ann", "bob")]
    words = [word for each in people for word in ("--custodian", each)]
    out = tmp_path / "k"
    done = rhcard("keys", "new", "--out", out, *words, "--json", passphrase=None)
    assert (done.code, done.json["custodians"]) == (0, ["ann", "bob"])
    assert read_header(out).is_production


@pytest.mark.parametrize(("more", "why"), [
    ({"retired": "2026-01-01"}, "is retired"), ({"roles": ["station"]}, "not have the role"),
    ({"wrap_key": "00"}, "is not the public file"), ({"name": 5}, "is not the public file"),
])  # fmt: skip
def test_a_person_who_is_no_custodian_is_refused(
    keys: Path, tmp_path: Path, more: dict[str, object], why: str
) -> None:
    good, bad = public_operator(tmp_path, "ann"), public_operator(tmp_path, "bob")
    bad.write_text(json.dumps({**json.loads(bad.read_text()), **more}))
    before = keys.read_bytes()
    done = rhcard("keys", "migrate", "--keys", keys, "--custodian", good, "--custodian", bad)
    assert (done.code, why in done.err, keys.read_bytes() == before) == (9, True, True)


def test_a_batch_of_before_a_rotation_is_issued_after_it_with_its_own_version(
    keys: Path, tmp_path: Path
) -> None:
    cards, batches = tmp_path / "cards", []
    for number in range(3):
        batches.append(prepare(tmp_path, keys, 1, skip=number, name=f"batch {number}"))
        rotate(keys)
    for batch in batches:
        assert issue(batch, cards) == 0
        assert rhcard("verify", batch, "--cards", cards).code == 0
    found = [
        rhcard("read", card, "--keys", keys, "--json").json for card in sorted(cards.iterdir())
    ]
    assert sorted(each["key_version"] for each in found) == [1, 2, 3]
    assert {each["exit_code"] for each in found} == {0}


def test_a_retired_version_issues_nothing_and_still_verifies(keys: Path, tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    done_before = prepare(tmp_path, keys, 1, name="done")
    assert issue(done_before, cards) == 0
    waiting = prepare(tmp_path, keys, 1, skip=1, name="waiting")
    assert rhcard("keys", "retire", 1, "--keys", keys).code == 9
    rotate(keys)
    assert rhcard("keys", "retire", 1, "--keys", keys).code == 0
    refused = rhcard("issue", waiting, "--cards", cards, "--make-blanks")
    assert (refused.code, "key version 1" in refused.err, "retired" in refused.err) == (
        9, True, True,
    )  # fmt: skip
    assert rhcard("verify", done_before, "--cards", cards).code == 0
    assert rhcard("pins", done_before).code == 0


def test_test_keys_rotate_to_published_keys(tmp_path: Path) -> None:
    keys = key_file(tmp_path, test=True)
    rotate(keys)
    assert rhcard("keys", "check", "--keys", keys, "--json").json["test_keys"]
    batch = prepare(tmp_path, keys, 1)
    assert issue(batch, tmp_path / "cards") == 9
    assert issue(batch, tmp_path / "cards", "--test-keys") == 0


def test_one_passphrase_makes_no_cards_for_residents(tmp_path: Path, keys: Path) -> None:
    """With real readers, that is; tests/production/test_issue_in_readers.py has the readers."""
    secret = tmp_path / "secret"
    secret.write_text(PASSPHRASE)
    batch = prepare(tmp_path, keys, 1)
    context = Context(keys=keys, passphrase_file=secret)
    context.batch(batch, issuing=True)
    with pytest.raises(CardKeyError, match=r"by one person alone.*rhcard keys migrate.*--trial"):
        context.batch(batch, issuing=True, for_residents=True)
    public = key_file(tmp_path, test=True, name="public.json")
    of_test_keys = prepare(tmp_path, public, 1, skip=1, name="test")
    Context(keys=public, passphrase_file=secret).batch(
        of_test_keys, issuing=True, for_residents=True
    )
