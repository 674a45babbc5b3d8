"""rhcard operator: people, their files, and the register."""

import json
import stat
from pathlib import Path

import pexpect
import pytest

from personalize.custody.operators import open_operator
from personalize.custody.register import read_register
from tests.programs.rhcard import Ran, rhcard


def made(folder: Path, name: str, *roles: str) -> Ran:
    (folder / f"{name}.passphrase").write_text(f"{name} has eight\n")
    words = [word for role in roles or ("custodian",) for word in ("--role", role)]
    return rhcard(
        "operator", "new", name, *words, "--out", folder / f"{name}.operator.json",
        "--public", folder / f"{name}.public.json",
        "--passphrase-file", folder / f"{name}.passphrase",
    )  # fmt: skip


def test_a_new_operator_has_a_private_and_a_public_file(tmp_path: Path) -> None:
    done = made(tmp_path, "anna", "custodian", "auditor")
    private, public = tmp_path / "anna.operator.json", tmp_path / "anna.public.json"
    assert done.code == 0, done.err
    key = open_operator(private.read_bytes(), "anna has eight", "anna")
    assert json.loads(public.read_text()) == key.operator.as_dict()
    assert key.operator.fingerprint in done.out
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert "anna has eight" not in done.out + done.err + private.read_text() + public.read_text()


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    made(tmp_path, "anna")
    before = (tmp_path / "anna.operator.json").read_bytes()
    done = made(tmp_path, "anna")
    assert done.code == 2 and "not overwritten" in done.err
    assert (tmp_path / "anna.operator.json").read_bytes() == before


def test_a_short_passphrase_and_a_wrong_name_make_nobody(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("seven 7\n")
    words = ("--role", "station", "--out", tmp_path / "a", "--public", tmp_path / "b")
    done = rhcard("operator", "new", "anna", *words, "--passphrase-file", tmp_path / "short")
    assert done.code == 9 and "8 characters or more" in done.err
    (tmp_path / "long").write_text("long enough\n")
    done = rhcard("operator", "new", "Anna", *words, "--passphrase-file", tmp_path / "long")
    assert done.code == 9 and "small letters" in done.err
    done = rhcard("operator", "new", "anna", *words)
    assert done.code == 9 and "--passphrase-file" in done.err
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


def test_the_register_says_who_is_in_office(tmp_path: Path) -> None:
    register = tmp_path / "operators.json"
    for name in ("anna", "bruno"):
        made(tmp_path, name)
        done = rhcard("operator", "add", tmp_path / f"{name}.public.json", "--register", register)
        assert done.code == 0, done.err
    retired = rhcard("operator", "retire", "bruno", "--register", register)
    assert retired.code == 0 and "signs nothing from now on" in retired.err
    listed = rhcard("operator", "list", "--register", register)
    anna = read_register(register).of("anna")
    assert anna.fingerprint in listed.out and f"retired {anna.created}" in listed.out
    shown = rhcard("operator", "list", "--register", register, "--json").json
    assert [each["name"] for each in shown["operators"]] == ["anna", "bruno"]
    again = rhcard("operator", "retire", "bruno", "--register", register)
    assert again.code == 9 and "was retired on" in again.err


def test_the_same_person_is_added_once(tmp_path: Path) -> None:
    register = tmp_path / "operators.json"
    made(tmp_path, "anna")
    public = tmp_path / "anna.public.json"
    rhcard("operator", "add", public, "--register", register)
    again = rhcard("operator", "add", public, "--register", register)
    assert again.code == 9 and "a name is never given twice" in again.err
    entry = json.loads(public.read_text())
    public.write_text(json.dumps({**entry, "name": "twin"}))
    twin = rhcard("operator", "add", public, "--register", register)
    assert twin.code == 9 and "one person has one name" in twin.err


def test_another_fingerprint_than_the_person_read_out_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "anna")
    words = ("operator", "add", tmp_path / "anna.public.json", "--register", tmp_path / "r.json")
    done = rhcard(*words, "--fingerprint", "0" * 20)
    assert done.code == 9 and "not the file that the person made" in done.err
    assert not (tmp_path / "r.json").exists()
    fingerprint = open_operator(
        (tmp_path / "anna.operator.json").read_bytes(), "anna has eight", "anna"
    ).operator.fingerprint
    assert rhcard(*words, "--fingerprint", fingerprint).code == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", '"x"', '{"name": "anna"}'])
def test_what_is_no_public_file_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    done = rhcard("operator", "add", tmp_path / "x.json", "--register", tmp_path / "r.json")
    assert done.code == 9 and "is not the public file of an operator" in done.err


def test_custodians_come_from_public_files(tmp_path: Path) -> None:
    words: list[object] = []
    for name in ("anna", "bruno"):
        made(tmp_path, name)
        words += ["--custodian", tmp_path / f"{name}.public.json"]
    done = rhcard("keys", "new", "--out", tmp_path / "keys.json", *words)
    assert done.code == 0 and "Two of anna, bruno open it together" in done.err


def test_the_prompt_hides_the_passphrase_and_asks_twice(tmp_path: Path) -> None:
    import os
    import sys

    from tests import ROOT
    from tests.programs.rhcard import IMPORT_MAIN

    talk = pexpect.spawn(
        sys.executable,
        ["-c", f"{IMPORT_MAIN}main()", "operator", "new", "anna", "--role", "custodian",
         "--out", "anna.operator.json", "--public", "anna.public.json"],
        cwd=str(tmp_path), env={**os.environ, "PYTHONPATH": str(ROOT)}, encoding="utf-8",
        timeout=30,
    )  # fmt: skip
    talk.expect("anna: a passphrase of your own: ")
    talk.sendline("correct horse")
    talk.expect("Repeat for confirmation: ")
    talk.sendline("correct horse")
    said = talk.read()
    talk.close()
    assert talk.exitstatus == 0 and "correct horse" not in said
    open_operator((tmp_path / "anna.operator.json").read_bytes(), "correct horse", "anna")
