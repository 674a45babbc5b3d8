"""CREATE, DELETE, ACTIVATE, DEACTIVATE, TERMINATE, PUT DATA: who may, on what, and what stays."""

import pytest

from cardlib.emulator import LifeCycle, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.chip.memory import JOURNAL_PAGE, Memory
from cardlib.layout import FILES, KEY_BY_NAME
from cardlib.messaging import v1
from cardlib.tlv import ber, find_ber
from tests.cards.issuer_sessions import ROOTS, STORE, Issuer, fcp, with_life_cycle

H = bytes.fromhex
ADMINISTRATIVE = {
    "CREATE FILE": ("00E00000", fcp("0C01", "0121", 10)),
    "DELETE FILE": ("00E40000", H("EF05")),
    "ACTIVATE FILE": ("00440000", H("EF05")),
    "DEACTIVATE FILE": ("00040000", H("EF05")),
    "TERMINATE EF": ("00E80000", H("EF05")),
    "TERMINATE DF": ("00E60000", H("DF01")),
    "TERMINATE CARD USAGE": ("00FE0000", b""),
    "PUT DATA": ("00DA5F50", b"data"),
}
COMMANDS = pytest.mark.parametrize("name", ADMINISTRATIVE)
BINARY, FIXED = fcp("0C01", "0121", 100), fcp("0C02", "0221000405")
VARIABLE, CYCLIC = fcp("0C03", "0421000803"), fcp("0C04", "0621000402")
DIRECTORY = fcp("0C00", "3821", name="F05248430A")


@pytest.fixture
def issuer() -> Issuer:
    found = Issuer()
    assert found.select("DDF1") == 0x9000
    return found


def rights(card: SoftwareCard, name: str) -> None:
    """Authenticate a key of DDF1, in clear."""
    assert card.transmit(H("00A4080C02DDF1")) == H("9000")
    challenge = card.transmit(H("0084000008"))[:-2]
    keys = STORE.terminal_keys.for_card(CHIP, b"99000000")
    kid = KEY_BY_NAME[name].reference
    command = v1.external_authenticate(keys.process_key(name, challenge), bytes(8), kid, 1)
    assert card.transmit(bytes(command)) == H("9000")


# Who may.


@COMMANDS
def test_nobody_administers_a_card_in_clear(name: str) -> None:
    card = personalized_card(ROOTS)
    header, data = ADMINISTRATIVE[name]
    card.transmit(H("00A4080C02DDF1"))
    lc = bytes((len(data),)) + data if data else b""
    assert card.transmit(H(header) + lc) == H("6982")
    assert card.last_refusal == "needs an SCP03 session"


@COMMANDS
def test_a_session_without_c_enc_is_not_enough(name: str) -> None:
    weak = Issuer(level=0x01)
    weak.select("DDF1")
    assert weak.sw(*ADMINISTRATIVE[name]) == 0x6982


@COMMANDS
@pytest.mark.parametrize("level", [0x03, 0x13, 0x33])
def test_the_issuer_may_at_every_level_with_c_enc(name: str, level: int) -> None:
    strong = Issuer(level=level)
    strong.select("DDF1")
    expected = 0x6985 if name == "DELETE FILE" else 0x9000
    assert strong.sw(*ADMINISTRATIVE[name]) == expected


@COMMANDS
def test_a_blocked_card_is_administered_no_more(name: str) -> None:
    card = with_life_cycle(LifeCycle.ACTIVE)
    issuer = Issuer(card)
    assert issuer.sw("80F0807F") == 0x9000
    assert issuer.sw(*ADMINISTRATIVE[name]) == 0x6A81


# The files of the profile.


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
@pytest.mark.parametrize("life_cycle", [LifeCycle.PERSONALIZED, LifeCycle.ACTIVE])
def test_the_files_of_the_profile_cannot_be_deleted(file: object, life_cycle: LifeCycle) -> None:
    issuer = Issuer(with_life_cycle(life_cycle))
    path = "".join(getattr(file, "path").split("/"))  # noqa: B009
    assert issuer.select(path) == 0x9000
    assert issuer.sw("00E40000") == 0x6985
    assert issuer.select(path[:-4]) == 0x9000
    assert issuer.sw("00E40000", path[-4:]) == 0x6985
    assert issuer.sw("00E40000") == 0x6985
    assert issuer.select(path) == 0x9000


def test_a_profile_file_is_deactivated_activated_and_terminated(issuer: Issuer) -> None:
    issuer.select("DDF1EF05")
    assert issuer.send("00B20104", le=256)[1] == 0x9000
    assert issuer.sw("00040000") == 0x9000
    assert issuer.send("00B20104", le=256)[1] == 0x6985
    assert issuer.select("DDF1EF05") == 0x6283
    issuer.power_cycle()
    assert issuer.select("DDF1EF05") == 0x6283
    assert issuer.sw("00440000") == 0x9000
    assert issuer.select("DDF1EF05") == 0x9000
    assert issuer.sw("00E80000") == 0x9000
    assert issuer.select("DDF1EF05") == 0x6285
    assert issuer.sw("00440000") == 0x6985
    assert issuer.send("00B20104", le=256)[1] == 0x6985


def test_a_directory_that_is_terminated_takes_its_files_with_it(issuer: Issuer) -> None:
    assert issuer.sw("00E60000", "DF02") == 0x9000
    assert issuer.select("DDF1DF02") == 0x6285
    assert issuer.select("DDF1DF02EF05") == 0x6283
    assert issuer.send("00B20104", le=256)[1] == 0x6985
    assert issuer.select("DDF1DF01") == 0x9000
    assert issuer.select("DDF1DF02EF05") == 0x6283
    assert issuer.sw("00440000", "DF02") == 0x6985, "it is current, and terminated"


def test_the_mf_can_neither_be_deactivated_nor_terminated(issuer: Issuer) -> None:
    issuer.select("")
    for header in ("00040000", "00E60000"):
        assert issuer.sw(header) == 0x6985
    assert issuer.sw("00E80000") == 0x6986
    assert issuer.sw("00440000") == 0x9000


def test_the_life_cycle_is_in_the_fcp(issuer: Issuer) -> None:
    states = {}
    for header in ("00440000", "00040000", "00E80000"):
        issuer.select("DDF1EF06")
        issuer.sw(header)
        reply, _ = issuer.send("00A40204", "EF06", 256)
        states[header] = find_ber(reply, 0x62, 0x8A)
    assert list(states.values()) == [b"\x05", b"\x04", b"\x0c"]


def test_terminate_card_usage_ends_the_card_for_ever(issuer: Issuer) -> None:
    assert issuer.sw("00FE0001") == 0x6A86
    assert issuer.sw("00FE0000") == 0x9000
    card = issuer.card
    for _ in range(2):
        assert card.transmit(H("00A40000")) == H("6A81")
        assert card.transmit(H("8050010008") + bytes(8)) == H("6A81")
        assert card.transmit(H("80CA004500"))[-2:] == H("9000")
        card.reset()
    assert card.state.life_cycle == LifeCycle.TERMINATED
    assert not SoftwareCard(Memory(card.memory.pages)).damage


# Created files.


@pytest.mark.parametrize(("template", "kind"), [
    (BINARY, "0121"), (FIXED, "0221000405"), (VARIABLE, "0421000803"), (CYCLIC, "0621000402"),
])  # fmt: skip
def test_every_structure_is_created_and_described(
    issuer: Issuer, template: bytes, kind: str
) -> None:
    assert issuer.create(template) == 0x9000
    fid = find_ber(template, 0x62, 0x83) or b""
    reply, sw = issuer.send("00A40204", fid, 256)
    assert sw == 0x9000
    assert (find_ber(reply, 0x62, 0x82) or b"")[0] in (H(kind)[0], 0x05)
    assert find_ber(reply, 0x62, 0x83) == fid
    issuer.power_cycle()
    assert issuer.select("DDF1" + fid.hex()) == 0x9000


def test_a_created_directory_is_found_by_its_name(issuer: Issuer) -> None:
    assert issuer.create(DIRECTORY) == 0x9000
    assert issuer.create(BINARY) == 0x9000
    issuer.power_cycle()
    transmit = issuer.card.transmit
    assert transmit(H("00A4040C05F05248430A")) == H("9000")
    assert transmit(H("00A4020C020C01")) == H("9000")
    assert transmit(H("00A4040C04F0524843")) == H("6A82")


@pytest.mark.parametrize(("name", "sw"), [
    ("F05248430A", 0x6A8A), ("F052484301", 0x6A8A), ("F05248430B", 0x9000),
])  # fmt: skip
def test_a_name_is_given_once(issuer: Issuer, name: str, sw: int) -> None:
    assert issuer.create(DIRECTORY) == 0x9000
    issuer.select("DDF1")
    assert issuer.create(fcp("0C05", "3821", name=name)) == sw


@pytest.mark.parametrize(("fid", "sw"), [
    ("EF05", 0x6A89), ("DF01", 0x6A89), ("DDF1", 0x6A89), ("3F00", 0x6A80), ("FFFF", 0x6A80),
    ("3FFF", 0x6A80), ("0000", 0x6A80), ("EF0A", 0x9000),
])  # fmt: skip
def test_an_identifier_is_new_in_its_directory_and_not_reserved(
    issuer: Issuer, fid: str, sw: int
) -> None:
    assert issuer.create(fcp(fid, "0121", 10)) == sw


@pytest.mark.parametrize("template", [
    b"", H("6200"), H("6F04820101830C"), ber(0x62, b"\x82"), fcp("0C01", "0121"),
    fcp("0C01", "0121", 0x8001), fcp("0C01", "1F21", 10), fcp("0C01", "0221"),
    fcp("0C01", "0221000005"), fcp("0C01", "0221800005"), fcp("0C01", "02210004FF"),
    fcp("0C01", "022100040000"), fcp("0C01", "012100", 10), BINARY + b"\0", BINARY * 2,
    fcp("0C01", "0121", 10, extra=(0x8C, b"")), fcp("0C01", "0121", 10, extra=(0x8C, b"\x03\0")),
    fcp("0C01", "0121", 10, extra=(0x8C, b"\x01\x80")),
    fcp("0C01", "0121", 10, extra=(0x8C, b"\x06\x00\xff")),
    fcp("0C01", "0121", 10, extra=(0xAB, H("8001A4"))),
    fcp("0C01", "0121", 10, extra=(0xAB, H("800101A40683017F950180"))),
    fcp("0C01", "0121", 10, extra=(0xAB, H("8001019F00"))),
    fcp("0C01", "0121", 10, extra=(0xAB, H("840120") + H("9000"))),
    fcp("0C01", "0121", 10, extra=(0xAB, H("80010190009000"))),
])  # fmt: skip
def test_a_template_that_cannot_be_kept_creates_nothing(issuer: Issuer, template: bytes) -> None:
    pages = issuer.card.memory.pages
    assert issuer.create(template) in (0x6A80, 0x6700)
    assert issuer.card.memory.pages == pages
    assert issuer.select("DDF10C01") == 0x6A82


def test_a_full_memory_is_6a84(issuer: Issuer) -> None:
    created = 0
    while (sw := issuer.create(fcp(f"{0x1000 + created:04X}", "02217FFFB0"))) == 0x9000:
        created += 1
    assert (sw, created) == (0x6A84, 1)
    assert issuer.sw("00E40000", "1000") == 0x9000
    assert issuer.create(fcp("1001", "02217FFFB0")) == 0x9000


def test_p1_and_p2_are_00(issuer: Issuer) -> None:
    for header in ("00E0", "00E4", "0044", "0004", "00E8", "00E6"):
        for parameters in ("0100", "0001"):
            assert issuer.sw(header + parameters, "0C01") == 0x6A86


def test_what_is_not_there_is_6a82_and_an_identifier_has_two_bytes(issuer: Issuer) -> None:
    for header in ("00E40000", "00440000", "00040000", "00E80000", "00E60000"):
        assert issuer.sw(header, "0C01") == 0x6A82
        assert issuer.sw(header, "0C") == 0x6A80


def test_terminate_ef_is_for_files_and_terminate_df_for_directories(issuer: Issuer) -> None:
    assert issuer.sw("00E80000", "DF01") == 0x6986
    assert issuer.sw("00E60000", "EF05") == 0x6985


def test_a_deleted_file_leaves_nothing_behind_for_the_next(issuer: Issuer) -> None:
    issuer.create(BINARY)
    assert issuer.sw("00D60000", b"secret" * 10) == 0x9000
    assert issuer.sw("00E40000") == 0x9000
    pages = issuer.card.memory.pages
    assert not any(b"secret" in page for number, page in pages.items() if number < JOURNAL_PAGE)
    issuer.create(BINARY)
    assert issuer.send("00B00000", le=256) == (b"\xff" * 100, 0x9000)


# Access rules of created files.


def keyed(read: int, update: int) -> tuple[int, bytes]:
    def under(kid: int) -> bytes:
        return ber(0xA4, ber(0x83, bytes((kid,))) + ber(0x95, b"\x80"))

    return 0xAB, ber(0x80, b"\1") + under(read) + ber(0x80, b"\2") + under(update)


def test_a_created_file_is_opened_by_the_keys_of_its_rules(issuer: Issuer) -> None:
    assert issuer.create(fcp("0C01", "0121", 10, extra=keyed(0x04, 0x05))) == 0x9000
    issuer.power_cycle()
    card = issuer.card
    card.transmit(H("00A4040C05F052484301"))
    card.transmit(H("00A4020C020C01"))
    assert card.transmit(H("00B0000000")) == H("6982")
    rights(card, "RK1_DDF1")
    card.transmit(H("00A4020C020C01"))
    assert card.transmit(H("00B0000000")) == b"\xff" * 10 + H("9000")
    assert card.transmit(H("00D600000101")) == H("6982")
    assert card.last_refusal == "needs UK1_DDF1"


def test_rules_of_two_keys_and_the_pin_are_kept(issuer: Issuer) -> None:
    crt = ber(0xA4, H("830104950180")), ber(0xA4, H("830100950108"))
    both = ber(0x80, b"\1") + ber(0xAF, b"".join(crt))
    assert issuer.create(fcp("0C01", "0121", 10, extra=(0xAB, both))) == 0x9000
    issuer.power_cycle()
    card = issuer.card
    card.transmit(H("00A4040C05F052484301"))
    rights(card, "RK1_DDF1")
    card.transmit(H("00A4020C020C01"))
    assert card.transmit(H("00B0000000")) == H("6982")
    assert card.transmit(H("0020000006") + b"135790") == H("9000")
    assert card.transmit(H("00B0000000"))[-2:] == H("9000")
    assert card.transmit(H("00D600000101")) == H("6985")


@pytest.mark.parametrize(("compact", "read", "update"), [
    ("070000" + "00", 0x9000, 0x9000), ("07FFFF00", 0x9000, 0x6985), ("0100", 0x9000, 0x6985),
    ("0200", 0x6985, 0x9000), ("03FF00", 0x9000, 0x6985), ("00", 0x6985, 0x6985),
])  # fmt: skip
def test_compact_rules_are_always_or_never(
    issuer: Issuer, compact: str, read: int, update: int
) -> None:
    assert issuer.create(fcp("0C01", "0121", 10, extra=(0x8C, H(compact)))) == 0x9000
    assert issuer.send("00B00000", le=256)[1] == read
    assert issuer.sw("00D60000", b"\1") == update


def test_the_fcp_answers_the_rules_that_were_given(issuer: Issuer) -> None:
    extra = keyed(0x04, 0x05)
    issuer.create(fcp("0C01", "0121", 10, extra=extra))
    reply, _ = issuer.send("00A40204", "0C01", 256)
    rules = find_ber(reply, 0x62, 0xAB) or b""
    assert rules.count(H("830104")) == 1 and H("830105") in rules


# Data objects.


@pytest.mark.parametrize("tag", ["0041", "5F50", "7F21", "00FE"])
def test_a_data_object_is_put_read_by_anybody_replaced_and_removed(
    issuer: Issuer, tag: str
) -> None:
    for value in (b"first", b"\0" * 239, b"again"):
        assert issuer.sw(f"00DA{tag}", value) == 0x9000
    issuer.card.reset()
    read = H(f"00CA{tag}00")
    assert issuer.card.transmit(read) == b"again" + H("9000")
    issuer.open()
    assert issuer.sw(f"00DA{tag}") == 0x9000
    issuer.card.reset()
    assert issuer.card.transmit(read) == H("6A88")


@pytest.mark.parametrize("tag", ["0000", "003F", "00FF", "1234", "5F1E", "7F80", "0045", "0066"])
def test_tags_that_are_not_private_cannot_be_put(issuer: Issuer, tag: str) -> None:
    assert issuer.sw(f"00DA{tag}", b"data") == 0x6A86


def test_data_objects_have_an_end(issuer: Issuer) -> None:
    tags = [f"5F{number:02X}" for number in range(0x20, 0x30)]
    found = [issuer.sw(f"00DA{tag}", bytes(200)) for tag in tags]
    assert found[0] == 0x9000 and found[-1] == 0x6A84
    kept = found.count(0x9000)
    assert [issuer.send(f"00CA{tag}", le=256)[1] for tag in tags[:kept]] == [0x9000] * kept
