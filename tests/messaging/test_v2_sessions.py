"""Version 2, host and card together: files, roles, and how many commands they take."""

from collections.abc import Callable

import pytest

from cardlib.card import CardIdentity, ResidentHealthCard
from cardlib.card.visits import VISITS
from cardlib.crypto import Cipher
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.errors import (
    CardError,
    ChannelError,
    StatusWordError,
)
from cardlib.layout import FILES, KEY_BY_NAME, State
from cardlib.transport import capabilities
from cardlib.transport.recorder import Recorder
from personalize.terminal.reading import read_card
from tests.card.test_visits import as_values, visit
from tests.cards.v2_cards import CHIP, PIN, REGION, ROLES, card_of, key_set
from tests.messaging.v2_line import (
    ALLERGIES,
    CLINICAL,
    INDEX,
    Line,
    fresh,
    reads_in_clear,
    states,
    terminal,
)

H = bytes.fromhex
ISSUER_FILE = "DDF1/EF05"
SHORT = CardOptions()
LONG = CardOptions(extended_length=True)
HOSPITAL = ("RK1_DF03", "UK1_DF03")


# --- whole files ----------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", Cipher)
def test_a_card_says_that_it_speaks_version_2(cipher: Cipher) -> None:
    identity = ResidentHealthCard(card_of(cipher)).identify()
    assert identity == CardIdentity(CHIP, 0x20, cipher, 1, REGION)
    assert identity.protocol == 2 and "spec 2.0" in str(identity)


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("options", [SHORT, LONG, CardOptions(command_chaining=False)])
def test_every_file_reads_under_its_key(cipher: Cipher, options: CardOptions) -> None:
    card = card_of(cipher, options)
    for file in FILES:
        if file.read_key:
            read = states(terminal(card, file.read_key, cipher=cipher).read(file.path))
            assert not read & {State.DENIED, State.CORRUPT}, file.path
            assert states(ResidentHealthCard(fresh(card)).read(file.path)) == {State.DENIED}


@pytest.mark.parametrize("cipher", Cipher)
def test_several_roles_hold_together_in_one_session(cipher: Cipher) -> None:
    reader = terminal(card_of(cipher), "RK1_DDF1", "RK1_DF02", "UK1_DF02", "UK3_DF02",
                      cipher=cipher)  # fmt: skip
    assert reader.rights == {"RK1_DDF1", "RK1_DF02", "UK1_DF02", "UK3_DF02"}
    reader.update(CLINICAL, 1, {"abo_blood_group": "2"})
    reader.append(ALLERGIES, {"allergen": "青霉素", "allergic_reaction": "皮疹"})
    assert next(v.text for v in reader.read(CLINICAL)) == "2"
    assert [v.text for v in reader.read(ALLERGIES)][:2] == ["青霉素", "皮疹"]
    photo = b"\xff\xd8" + bytes(range(256)) * 5 + b"\xff\xd9"
    assert reader.read("DDF1/EF06")[0].text == "王䶮"
    assert reader.rights == {"RK1_DDF1"}, "reading a file of DDF1 selects it"
    writer = terminal(card_of(cipher), "RK1_DDF1", "UK1_DDF1", cipher=cipher)
    writer.update("DDF1/EF07", 0, {"photo": photo})
    assert writer.read("DDF1/EF07")[0].value == photo


@pytest.mark.parametrize("name", [name for name in ROLES if not name.startswith("PUK")])
def test_a_terminal_needs_no_other_key_than_its_own(name: str) -> None:
    reader = terminal(card_of(), name)
    assert reader.rights == {name}


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("options", [SHORT, LONG])
@pytest.mark.parametrize("kind", VISITS)
def test_a_visit_record_goes_from_hospital_to_hospital(
    cipher: Cipher, options: CardOptions, kind: str
) -> None:
    card = card_of(cipher, options)
    assert kind in ("inpatient", "outpatient")
    written = visit(kind)  # type: ignore[arg-type]
    assert terminal(card, *HOSPITAL, cipher=cipher).write_visit(kind, written) == 1  # type: ignore[arg-type]
    ((slot, read),) = terminal(card, "RK1_DF03", cipher=cipher).read_visits(kind)  # type: ignore[arg-type]
    assert slot == 1 and as_values(read) == written


def test_a_full_index_gives_up_its_oldest_record() -> None:
    card = card_of()
    writer = terminal(card, *HOSPITAL, "UK2_DF03")
    for month in (5, 3, 8, 9, 4):
        writer.write_visit("outpatient", visit("outpatient", month))
    assert writer.write_visit("outpatient", visit("outpatient", 10)) == 2
    assert [slot for slot, _ in writer.read_visits("outpatient")] == [1, 2, 3, 4, 5]


def test_what_a_right_does_not_open_is_denied_and_changes_nothing() -> None:
    reader = terminal(card_of(), "RK1_DF02")
    with pytest.raises(StatusWordError, match="needs UK1_DF02"):
        reader.update(CLINICAL, 1, {"abo_blood_group": "2"})
    assert states(reader.read("DDF1/DF01/EF05")) == {State.DENIED}
    with pytest.raises(CardError, match="never changed after issue"):
        reader.update("DDF1/EF05", 1, {"card_category": "2"})


# --- how many commands, and which -----------------------------------------------------------


def test_an_emergency_read_takes_six_commands() -> None:
    recorder = Recorder(fresh(card_of()))
    reader = ResidentHealthCard(recorder, key_set(Cipher.SM4, "RK1_DF02"))
    reader.authenticate("RK1_DF02")
    assert states(reader.read(CLINICAL)) >= {State.VALUE}
    headers = [exchange.command[:4].hex().upper() for exchange in recorder.commands]
    assert headers == [
        "00A40400", "00A4080C", "00840000", "00820084", "0CA4080C", "0CB20105",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["RK1_DDF1", "RK1_DF02", "UK1_DDF1"])
def test_an_authentication_is_two_commands_after_selecting(name: str) -> None:
    recorder = Recorder(fresh(card_of()))
    ResidentHealthCard(recorder, key_set(Cipher.SM4, name)).authenticate(name)
    selects = [0xA4, 0xA4] if "/" in KEY_BY_NAME[name].df_path else [0xA4]
    assert [e.command[1] for e in recorder.commands] == [*selects, 0x84, 0x82]


@pytest.mark.parametrize(("held", "used"), [
    (("RK1_DDF1", "RK1_DF02", "UK1_DF02"), "RK1_DDF1"),
    (("RK1_DF02", "UK1_DF02"), "RK1_DF02"), (("RK1_DF05", "RK1_DF03"), "RK1_DF03"),
])  # fmt: skip
def test_with_a_read_key_at_hand_the_free_file_is_read_in_a_session(
    held: tuple[str, ...], used: str
) -> None:
    readings: list[Callable[[ResidentHealthCard], object]] = [
        lambda reader: reader.read(ISSUER_FILE), lambda reader: reader.read_raw(ISSUER_FILE),
    ]  # fmt: skip
    for reading in readings:
        line = Line(fresh(card_of()))
        reader = ResidentHealthCard(line, key_set(Cipher.SM4, *held))
        assert reading(reader) and reads_in_clear(line) == 0
        proved = [raw[3] for raw in line.sent if raw[1] == 0x82]
        assert proved == [KEY_BY_NAME[used].reference]
        reading(reader)
        assert len([raw for raw in line.sent if raw[1] == 0x82]) == 1, "the session is used again"


@pytest.mark.parametrize("held", [("UK1_DDF1", "IRK_DDF1"), ()])
def test_without_a_read_key_the_free_file_is_read_in_clear(held: tuple[str, ...]) -> None:
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4, *held) if held else None)
    assert states(reader.read(ISSUER_FILE)) >= {State.VALUE}
    assert reads_in_clear(line) and not [raw for raw in line.sent if raw[1] == 0x82]


def test_read_card_reads_everything_in_the_session() -> None:
    line = Line(fresh(card_of()))
    found = read_card(line, key_set(Cipher.SM4))
    assert states({f.path: v for f, v in found.files}[ISSUER_FILE]) >= {State.VALUE}
    assert reads_in_clear(line) == 0
    assert [raw[3] for raw in line.sent if raw[1] == 0x82].count(0x04) == 1, "RK1_DDF1 once"


def test_an_issuers_file_altered_on_the_line_is_not_shown() -> None:
    line = Line(fresh(card_of()))

    def alter(raw: bytes, reply: bytes) -> bytes:
        spoil = raw[1] == 0xB2 and len(reply) > 20
        return reply[:9] + bytes((reply[9] ^ 1,)) + reply[10:] if spoil else reply

    line.reply = alter
    with pytest.raises(ChannelError):
        ResidentHealthCard(line, key_set(Cipher.SM4, "RK1_DDF1")).read(ISSUER_FILE)


def test_everything_after_the_first_authentication_is_protected() -> None:
    line = Line(fresh(card_of()))
    reader = ResidentHealthCard(line, key_set(Cipher.SM4))
    reader.read("DDF1/EF05")
    reader.authenticate("RK1_DF02")
    clear = sum(raw[0] == 0x00 for raw in line.sent)
    reader.internal_authenticate()
    reader.identify()
    reader.select("MF")
    reader.verify_pin(PIN)
    reader.authenticate("UK1_DF02")
    reader.update(CLINICAL, 1, {"abo_blood_group": "2"})
    reader.authenticate("UK1_DF03")
    reader.mark(INDEX, 1)
    assert [raw[0] for raw in line.sent[clear:]] == [0x0C] * (len(line.sent) - clear)
    assert {raw[1] for raw in line.sent[clear:]} >= {0x88, 0xA4, 0x20, 0x84, 0x82, 0xDC, 0xD2}


def test_a_file_is_selected_by_its_whole_path_after_each_authentication() -> None:
    card, seen = card_of(), []
    channel = Line(fresh(card))
    reader = ResidentHealthCard(channel, key_set(Cipher.SM4))
    for name in ("RK1_DF02", "UK1_DF02"):
        reader.authenticate(name)
        channel.sent.clear()
        reader.read(CLINICAL)
        seen.append(channel.sent[0][:4].hex())
    assert seen == ["0ca4080c", "0ca4080c"]


@pytest.mark.parametrize(("options", "reads"), [(SHORT, 9), (LONG, 1)])
def test_long_files_take_as_few_commands_as_the_card_allows(
    options: CardOptions, reads: int
) -> None:
    line = Line(card_of(Cipher.AES, options))
    line.reset()
    reader = ResidentHealthCard(line, key_set(Cipher.AES))
    for name in HOSPITAL:
        reader.authenticate(name)
    reader.write_visit("inpatient", visit("inpatient"))
    line.sent.clear()
    (raw,) = reader.read_raw("DDF1/DF03/EE01")
    assert raw is not None and len(raw) == 1893
    assert sum(raw[1] == 0xB0 for raw in line.sent) == reads
    line.sent.clear()
    reader.write_binary("DDF1/DF03/EE02", 0, raw)
    assert sum(command[1] == 0xD6 for command in line.sent) == (8 if reads == 9 else 1)


def test_the_atr_says_what_the_host_may_use() -> None:
    for options in (SHORT, LONG, CardOptions(command_chaining=False)):
        announced = capabilities(card_of(options=options).atr)
        assert announced == (options.command_chaining, options.extended_length)
    assert capabilities(H("3B00")) == (False, False)
