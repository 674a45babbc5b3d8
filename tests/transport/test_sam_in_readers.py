"""A card in slot 1 and a SAM in slot 2 of pcscd's readers: a terminal as it stands in a clinic."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardlib.checks.verify import verify_card
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.errors import ChannelError, TransportError
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial, Pin
from cardlib.issuance import personalize
from cardlib.keys.sam.sam_groupings import SamPlan
from cardlib.keys.sam.sam_keys import SamKeySet
from cardlib.keys.store import KeyStore
from cardlib.layout import State
from cardlib.layout.load import records
from cardlib.layout.sam_roles import SAM_ROLES
from cardlib.transport.pcsc import CardProtocol, find_reader, open_reader
from personalize.production.sam_issue import load_sam
from personalize.terminal.reading import EMERGENCY_FILES, read_card
from tests.cards.bureau import new_batch, store
from tests.cards.in_between import InBetween, altering
from tests.cards.sams import PIN, blank_sam, roots_of, sam_of
from tests.cards.v2_cards import card_of
from tests.programs.pcscd import SLOTS, Pcscd, wait_until
from tests.programs.rhcard import Ran, key_file, ran

FIRST, SECOND = SLOTS


@pytest.fixture(scope="module")
def readers(pcscd: Pcscd) -> Iterator[tuple[VirtualReader, VirtualReader]]:
    both = VirtualReader(FIRST_PORT), VirtualReader(FIRST_PORT + 1)
    yield both
    for number, reader in enumerate(both):
        reader.remove()
        wait_until(lambda n=number: not find_reader(n).atr, 10)  # type: ignore[misc]


def put(readers: tuple[VirtualReader, VirtualReader], *chips: Connection) -> None:
    for number, (reader, chip) in enumerate(zip(readers, chips, strict=True)):
        reader.remove()
        wait_until(lambda n=number: not find_reader(n).atr, 10)  # type: ignore[misc]
        reader.insert(chip)
        wait_until(lambda n=number, c=chip: find_reader(n).atr == c.atr, 10)  # type: ignore[misc]


@pytest.mark.parametrize(("protocol", "cipher", "line"), [
    (1, Cipher.SM4, CardProtocol.T0), (1, Cipher.AES, CardProtocol.T1),
    (2, Cipher.SM4, CardProtocol.T1), (2, Cipher.AES, CardProtocol.T0),
])  # fmt: skip
def test_a_terminal_reads_emergency_data_with_both_in_readers(
    readers: tuple[VirtualReader, VirtualReader],
    protocol: int,
    cipher: Cipher,
    line: CardProtocol,
) -> None:
    card = card_of(cipher, protocol=protocol)
    put(readers, card, sam_of((protocol, cipher, 1), roles=("emergency",)))
    with open_reader(FIRST, line) as to_card, open_reader(SECOND, line) as to_sam:
        reading = read_card(to_card, SamKeySet.open(to_sam, PIN), EMERGENCY_FILES)
    found = {file.path: values for file, values in reading.files}
    assert found["DDF1/DF02/EF05"][0].text == "4"
    assert all(each.state is not State.DENIED for values in found.values() for each in values)


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_sam_in_a_reader_verifies_what_was_issued(
    readers: tuple[VirtualReader, VirtualReader], protocol: int, tmp_path: Path
) -> None:
    keys, chip = store(protocol), ChipSerial(b"VERIFIED")
    prepared = new_batch(tmp_path, 1, skip=4, keys=keys).card(1)
    card = SoftwareCard.blank(chip, keys.blank_keys(chip))
    groupings = (*records(prepared.groupings, chip).items(),
                 *keys.groupings(chip, prepared.region, Pin("802143")))  # fmt: skip
    personalize(card, keys.transport_keys(chip), keys.issuer_keys(chip), groupings)
    put(readers, card, _sam_of_store(protocol))
    with open_reader(FIRST) as to_card, open_reader(SECOND) as to_sam:
        sam = SamKeySet.open(to_sam, PIN)
        issued = records(prepared.groupings, chip)
        check = verify_card(to_card, sam, issued, chip, active=False, full=True)
    assert check.findings == ()
    assert check.left_out.keys_not_held == ()


def _sam_of_store(protocol: int) -> SoftwareSam:
    keys, blank = store(protocol), blank_sam()
    made = SoftwareSam.blank(blank.chip, keys.blank_keys(blank.chip))
    load_sam(made, [keys], SamPlan(tuple(SAM_ROLES), PIN))
    made.reset()
    return made


def _rhcard(*words: object) -> Ran:
    return ran(*words, env={**os.environ, "RHCARD_SAM_PIN": PIN})


def test_rhcard_loads_a_sam_in_a_reader_and_reads_with_it(
    readers: tuple[VirtualReader, VirtualReader], tmp_path: Path
) -> None:
    keys, pin = key_file(tmp_path, test=True), tmp_path / "pin"
    pin.write_text(PIN)
    put(readers, card_of(), _blank_of_2_0())
    done = _rhcard("sam", "issue", "--roles", "emergency", "--keys", keys, "--sam", "1",
                   "--sam-pin-file", pin, "--test-keys")  # fmt: skip
    assert done.code == 0, done.err
    for which in (("--reader", "0"), ()):
        done = _rhcard("read", *which, "--sam", "1", "--emergency", "--json")
        assert done.code == 0, done.err
        states = {each["state"] for each in done.json["fields"]}
        assert "value" in states and "denied" not in states
    done = _rhcard("read", "--reader", "1", "--sam", "1")
    assert (done.code, f"the SAM is in reader {SECOND}" in done.err) == (2, True)
    done = _rhcard("sam", "show", "1", "--json")
    assert done.json["key_sets"][0]["keys"] == ["IRK_DDF1", "RK1_DF02"]
    done = _rhcard("sam", "issue", "--roles", "bank", "--keys", keys, "--sam", "0", "--test-keys")
    assert (done.code, "this is no SAM: it may be a resident's card" in done.err) == (9, True)


def _blank_of_2_0() -> SoftwareSam:
    chip = blank_sam().chip
    return SoftwareSam.blank(chip, KeyStore(roots_of(2)).blank_keys(chip))


def test_a_pulled_out_sam_is_an_error_of_the_reader(
    readers: tuple[VirtualReader, VirtualReader],
) -> None:
    put(readers, card_of(), sam_of((2, Cipher.SM4, 1)))
    with open_reader(FIRST) as to_card, open_reader(SECOND) as to_sam:
        sam = SamKeySet.open(to_sam, PIN)
        readers[1].remove()
        with pytest.raises(TransportError):
            read_card(to_card, sam, EMERGENCY_FILES)


def test_a_changed_line_to_the_card_is_noticed_with_a_sam_too() -> None:
    sam = SamKeySet.open(sam_of((2, Cipher.SM4, 1)), PIN)

    flip = altering(0x82, lambda response: bytes((response[0] ^ 1,)) + response[1:])
    with pytest.raises(ChannelError, match="cryptogram is wrong"):
        read_card(InBetween(card_of(), flip), sam, EMERGENCY_FILES)
