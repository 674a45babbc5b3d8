"""The rules that programs of others broke, each a test with its number.

1 to 9 are libraries that speak SCP03, 10 and 11 a tool that personalizes in bulk, 12 emulators, and
the last three drivers of the real card.
"""

import ast
import logging
import os
import signal
import subprocess
import sys
from hmac import compare_digest
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import cardlib
from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.card import ResidentHealthCard
from cardlib.crypto import BlockCipher, Cipher, unpad
from cardlib.emulator import PowerCut, SoftwareCard
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.emulator.profile.card_state import KEY_TRIES, StoredKeySet
from cardlib.errors import CardKeyError, ChannelError, FormatError, StatusWordError
from cardlib.issuance import put_key_command
from cardlib.issuance.making import HostSession
from cardlib.keys.roots import public_test_roots
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH
from cardlib.layout.records import decode_record, encode_record
from cardlib.messaging.scp03 import LEVELS, R_MAC, Scp03Host
from cardlib.messaging.scp03_channel import Scp03Channel
from cardlib.messaging.scp03_failure import Scp03Failure
from cardlib.transport.recorder import Recorder
from personalize.production.journal import batch_journal
from personalize.production.station import SUFFIX, in_reader
from personalize.register.states import CardState
from personalize.sample.sample_batch import SAMPLE
from tests.cards.bureau import die, issue_all, new_batch, sample_names, sample_rows, store
from tests.cards.software_cards import active_card, cut_at, terminal
from tests.programs.child import in_child
from tests.programs.rhcard import rhcard

H = bytes.fromhex
OK = b"\x90\x00"
VERSION = 0x05
TRIPLE = tuple(bytes(range(first, first + 16)) for first in (0, 64, 128))
GET_CHIP = CommandAPDU(0x80, 0xCA, 0x00, 0x45, le=256)
NAMES = FILE_BY_PATH["DDF1/EF06"]
with_r_mac = pytest.mark.parametrize("level", [level for level in LEVELS if level & R_MAC])
every_level = pytest.mark.parametrize("level", LEVELS)


def keys(size: int = 16) -> SoftwareScp03Keys:
    enc, mac, dek = (part * 2 for part in TRIPLE)
    return SoftwareScp03Keys(VERSION, enc[:size], mac[:size], dek[:size])


def card_with(size: int = 16) -> SoftwareCard:
    card = active_card()
    enc, mac, dek = ((part * 2)[:size] for part in TRIPLE)
    card.state.key_sets = {VERSION: StoredKeySet(VERSION, enc, mac, dek, KEY_TRIES)}
    card.memory.commit()
    return card


# --- 1 to 9: SCP03 ------------------------------------------------------------------------


@with_r_mac
@pytest.mark.parametrize("stripped", [OK, b"\x62\x82", b"\x63\xc2"])
def test_1_a_reply_of_9000_without_its_mac_is_refused(level: int, stripped: bytes) -> None:
    card = card_with()
    channel = Scp03Channel.open(
        lambda raw: stripped if raw[1] == 0xCA else card.transmit(raw), keys(), level
    )
    with pytest.raises(ChannelError, match="has no MAC"):
        channel.send(GET_CHIP)
    with pytest.raises(ChannelError):
        channel.send(GET_CHIP)


@every_level
@pytest.mark.parametrize("status", ["6300", "6982", "6985", "6A80", "6283", "9100"])
def test_2_a_session_opens_by_9000_to_external_authenticate_only(level: int, status: str) -> None:
    card = card_with()
    with pytest.raises(Scp03Failure):
        Scp03Channel.open(
            lambda raw: H(status) if raw[1] == 0x82 else card.transmit(raw), keys(), level
        )


@with_r_mac
def test_3_a_reply_of_nothing_but_its_mac_is_an_empty_answer(level: int) -> None:
    channel = Scp03Channel.open(card_with().transmit, keys(), level)
    assert channel.send(CommandAPDU(0x00, 0xA4, 0x08, 0x0C, H("DDF1"))) == ResponseAPDU(b"", 0x9000)


@pytest.mark.parametrize("s16", [False, True])
def test_4_the_host_challenge_is_random_unless_a_test_gives_one(s16: bool) -> None:
    challenges = {Scp03Host(keys(), 0x33, s16=s16).initialize_update().data for _ in range(50)}
    assert len(challenges) == 50
    assert {len(challenge) for challenge in challenges} == {16 if s16 else 8}


@every_level
def test_5_no_class_goes_out_unprotected_in_a_session(level: int) -> None:
    for cla in range(256):
        recorder = Recorder(card_with())
        channel = Scp03Channel.open(recorder.transmit, keys(), level)
        del recorder.exchanges[:]
        if cla & 0x68:
            with pytest.raises(ChannelError, match="cannot be protected"):
                channel.send(GET_CHIP._replace(cla=cla))
            assert recorder.exchanges == []
        else:
            sent = channel.host.wrap(GET_CHIP._replace(cla=cla))
            assert sent.cla == cla | 0x04 and len(sent.data) == 8


def _compared(module: Path) -> list[str]:
    """What a module compares by == and !=, each as it is written."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq)
    ]


def test_6_macs_and_cryptograms_are_compared_in_constant_time() -> None:
    """By what is called in a session, and by what no module of either side writes."""
    with patch("cardlib.messaging.scp03.compare_digest", wraps=compare_digest) as compare:
        channel = Scp03Channel.open(card_with().transmit, keys(), 0x33)
        assert compare.call_count == 1
        channel.send(GET_CHIP)
        assert compare.call_count == 2
    folder = Path(cardlib.__file__).parent
    for module in [*folder.glob("channel/*.py"), *folder.glob("emulator/*.py")]:
        for comparison in _compared(module):
            words = ("mac", "cryptogram", "finalize", "cmac")
            is_length = comparison.startswith("len(") or "_size" in comparison
            assert is_length or not any(word in comparison for word in words), (module, comparison)


@pytest.mark.parametrize("dek", [16, 24, 32])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_7_keys_of_every_length_are_encrypted_under_keys_of_every_length(
    size: int, dek: int
) -> None:
    card = card_with(dek)
    channel = Scp03Channel.open(card.transmit, keys(dek), 0x33)
    assert channel.send(put_key_command(VERSION, keys(size), keys(dek))).sw == 0x9000
    assert card.state.key_sets[VERSION].dek == (TRIPLE[2] * 2)[:size]


@pytest.mark.parametrize("size", [0, 8, 15, 17, 20, 31, 33])
def test_7_a_key_that_is_none_of_aes_is_refused_at_once(size: int) -> None:
    with pytest.raises(CardKeyError):
        SoftwareScp03Keys(VERSION, bytes(size), bytes(size), bytes(size))


def test_8_a_block_of_zeros_under_padding_is_an_error_like_any_other() -> None:
    with pytest.raises(FormatError):
        unpad(bytes(16))
    host = Scp03Host(keys(), 0x33)
    card = card_with()
    reply = ResponseAPDU.parse(card.transmit(bytes(host.initialize_update())))
    host.opened(ResponseAPDU.parse(card.transmit(bytes(host.external_authenticate(reply)))))
    session = card.channels[0].scp03
    assert session is not None
    with patch("cardlib.emulator.sessions.scp03.pad", lambda _: bytes(16)):
        answer = card.transmit(bytes(host.wrap(GET_CHIP)))
    with pytest.raises(ChannelError, match="not what the card sent"):
        host.unwrap(ResponseAPDU.parse(answer))


def test_9_importing_the_library_says_nothing() -> None:
    program = (
        "import logging, pkgutil, importlib\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "import cardlib\n"
        "for module in pkgutil.walk_packages(cardlib.__path__, 'cardlib.'):\n"
        "    importlib.import_module(module.name)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(cardlib.__file__).parent.parent)},
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == (b"", b"")


def test_9_no_key_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    channel = Scp03Channel.open(card_with().transmit, keys(), 0x33)
    channel.send(put_key_command(VERSION, keys(32), keys()))
    cipher = BlockCipher(Cipher.AES, TRIPLE[0])
    shown = caplog.text + repr((keys(), channel.host, cipher, channel))
    for key in (*TRIPLE, *((part * 2) for part in TRIPLE)):
        assert key.hex() not in shown.lower() and repr(key) not in shown


# --- 10 and 11: bulk ----------------------------------------------------------------------

activate = HostSession.activate


def test_10_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, 3), tmp_path / "cards"
    calls: list[int] = []

    def dying_at_the_second(*values: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            die()
        return activate(*values, **named)

    with patch.object(HostSession, "activate", dying_at_the_second):
        assert in_child(lambda: issue_all(batch, cards)) == -signal.SIGKILL
    with batch_journal(batch) as journal:
        before = journal.entries()
    assert (before[0].state, before[2].state) == (CardState.ACTIVE, CardState.PREPARED)
    outcomes = issue_all(batch, cards)
    assert [outcome.state for outcome in outcomes] == [CardState.ACTIVE] * 3
    assert [outcome.chip for outcome in outcomes[:2]] == [entry.chip for entry in before[:2]]
    assert len({outcome.chip for outcome in outcomes}) == len(list(cards.glob(f"*{SUFFIX}"))) == 3


def test_10_the_first_row_of_the_list_gets_its_card(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, 1), tmp_path / "cards"
    assert batch.card(1).name == sample_names()[0] and batch.card(1).line == 2
    (outcome,) = issue_all(batch, cards)
    assert outcome.chip is not None
    with in_reader(cards / f"{outcome.chip.hex().upper()}{SUFFIX}") as reader:
        card = ResidentHealthCard(reader, store().terminal_keys)
        card.authenticate("RK1_DDF1")
        assert card.read("DDF1/EF06")[0].value == sample_names()[0]


def test_10_a_run_without_effect_claims_none(tmp_path: Path) -> None:
    source = sample_rows(tmp_path, 2)
    before = sorted(tmp_path.rglob("*"))
    done = rhcard("prepare", source, "--photos", SAMPLE.parent)
    assert done.code != 0 and "It was only checked" in done.err
    assert "prepared" not in done.out and "success" not in (done.out + done.err).lower()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("words", ["ACTIVATE successful", "programming successful"])
def test_11_success_is_what_the_card_answered_whatever_is_said(
    tmp_path: Path, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    batch, cards = new_batch(tmp_path, 2), tmp_path / "cards"
    calls: list[int] = []

    def talking(*values: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            sys.stderr.write(f"{words}\n")
            raise StatusWordError(words, 0x6581)
        sys.stderr.write("error: failed, fatal\n")
        return activate(*values, **named)

    with patch.object(HostSession, "activate", talking):
        first, second = issue_all(batch, cards)
    assert words in capfd.readouterr().err
    assert (first.state, bool(first.problem)) == (CardState.PERSONALIZED, True)
    assert (second.state, second.problem) == (CardState.ACTIVE, "")


# --- 12: emulators ------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["00D6000001FF", "04D6000001FF", "00D60000", "00D6", "00", ""])
def test_12_an_update_without_le_and_what_is_no_command_are_answered(command: str) -> None:
    card = terminal()
    card.select("DDF1/DF03/ED01")
    data, sw = card.send(command)
    assert data == b"" and sw >> 8 in (0x67, 0x69, 0x6A, 0x6E)
    assert card.select("DDF1/DF03/ED01") == 0x9000


@pytest.mark.parametrize("cla", [*range(0x01, 0x04), *range(0x40, 0x80), *range(0xC0, 0x100)])
def test_12_no_other_class_reaches_what_channel_0_selected(cla: int) -> None:
    card = terminal()
    card.select("DDF1/DF02/EF05")
    card.authenticate("RK1_DF02")
    assert card.sw("00B2010400") in (0x9000, 0x6A83)
    data, sw = card.send(bytes((cla, 0xB2, 0x01, 0x04, 0x00)))
    assert data == b"" and sw in (0x6881, 0x6882, 0x6E00)


def test_12_an_empty_verify_asks_and_burns_no_try() -> None:
    card = terminal()
    card.select("DDF1")
    assert [card.sw("00200000") for _ in range(5)] == [0x63C3] * 5
    assert card.sw(b"\x00\x20\x00\x00\x06" + b"000000") == 0x63C2
    assert card.sw("00200000") == 0x63C2


def test_12_failures_say_how_many_tries_are_left() -> None:
    card = terminal()
    card.select("DDF1")
    wrong = [card.sw(b"\x00\x20\x00\x00\x06" + b"000000") for _ in range(4)]
    assert wrong == [0x63C2, 0x63C1, 0x63C0, 0x6983]
    command = card.authentication("RK1_DDF1")
    assert card.sw(command[:5] + bytes((command[5] ^ 1,)) + command[6:]) == 0x63CE


def test_12_protected_commands_of_any_kind_are_answered() -> None:
    """Class bits of secure messaging on every instruction, with and without data."""
    for options in ((0x04, b""), (0x0C, b""), (0x84, bytes(8)), (0x0C, bytes(20))):
        for ins in range(256):
            cla, data = options
            raw = bytes((cla, ins, 0, 0)) + (bytes((len(data),)) + data if data else b"")
            assert len(terminal().card.transmit(raw)) >= 2


def test_12_files_of_records_are_created() -> None:
    roots = public_test_roots(1)
    card = personalized_card(roots)
    channel = Scp03Channel.open(card.transmit, KeyStore(roots).issuer_keys(card.state.chip), 0x33)
    for fcp in ("6208820238218302A000", "620C82060421001000048302B001"):
        assert channel.send(CommandAPDU(0x00, 0xE0, 0x00, 0x00, H(fcp))).sw == 0x9000
    for number in range(4):
        append = CommandAPDU(0x00, 0xE2, 0x00, 0x00, bytes((number,)) * 16)
        assert channel.send(append).sw == 0x9000
    read = channel.send(CommandAPDU(0x00, 0xB2, 0x04, 0x04, le=256))
    assert read == ResponseAPDU(b"\3" * 16, 0x9000)


def test_12_a_change_that_is_cut_is_made_or_undone_as_a_whole() -> None:
    path, data, seen = "DDF1/DF03/ED01", bytes(range(200)), set()
    for moment in range(100):
        card = terminal()
        card.select(path)
        card.authenticate("RK1_DF03", "UK1_DF03")
        command = card.change(FILE_BY_PATH[path], data)
        card.card.memory.on_write = cut_at(moment)
        try:
            assert card.sw(command) == 0x9000
        except PowerCut:
            seen.add("cut")
        else:
            break
        card.card.memory.on_write = None
        card.card.reset()
        card.select(path)
        card.authenticate("RK1_DF03")
        seen.add({data: "made", b"\xff" * 200: "undone"}[card.send("00B00000C8")[0]])
    assert seen == {"cut", "made", "undone"}


# --- drivers of the real card -------------------------------------------------------------


def reader(replies: dict[int, bytes]) -> tuple[ResidentHealthCard, Recorder]:
    """A card some of whose instructions are answered by somebody else."""
    roots = public_test_roots(1)
    card = personalized_card(roots)

    class Answering(Recorder):
        def transmit(self, command: bytes) -> bytes:
            own = super().transmit(command)
            return replies.get(command[1], own)

    recorder = Answering(card)
    return ResidentHealthCard(recorder, KeyStore(roots).terminal_keys, min_protocol=1), recorder


@pytest.mark.parametrize("status", ["6281", "6581", "6700", "6981", "6A80", "6D00", "6F00"])
def test_a_read_that_failed_is_no_empty_value(status: str) -> None:
    card, _ = reader({0xB2: H(status)})
    card.authenticate("RK1_DF02")
    with pytest.raises(StatusWordError, match=status):
        card.read("DDF1/DF02/EF05")


@pytest.mark.parametrize(("status", "state"), [("6982", "denied"), ("6A83", "missing")])
def test_what_may_not_be_read_or_is_not_there_is_told_from_an_empty_value(
    status: str, state: str
) -> None:
    card, _ = reader({0xB2: H(status)})
    found = card.read("DDF1/DF02/EF05")
    assert {value.state.value for value in found} == {state}
    assert {value.value for value in found} == {None}


@pytest.mark.parametrize("length", [15, 16, 20])
def test_a_name_is_never_cut_inside_a_character(length: int) -> None:
    """Too long is an error; what a card holds cut is shown as damaged, with its bytes."""
    name = "欧阳" * 20
    if length > 15:
        with pytest.raises(FormatError, match="too long"):
            encode_record(NAMES, 1, {"name": name[:length]})
    else:
        raw = encode_record(NAMES, 1, {"name": name[:length]})
        assert decode_record(NAMES, 1, raw)[0].value == name[:length]
        cut = raw[:-1] + b"\xff"
        found = decode_record(NAMES, 1, cut)[0]
        assert found.state.value == "corrupt"


def test_the_terminals_random_numbers_are_never_the_same() -> None:
    card, recorder = reader({})
    for _ in range(20):
        card.authenticate("RK1_DF02")
        card.internal_authenticate()
    proofs = [each.command for each in recorder.exchanges if each.command[1:2] == b"\x82"]
    assert len({proof[13:21] for proof in proofs}) == len(proofs) >= 20
    asked = [each.command[5:21] for each in recorder.exchanges if each.command[1:2] == b"\x88"]
    assert len({each[:8] for each in asked}) == len({each[8:] for each in asked}) == 20
