"""SELECT: what is found from where, what is answered, what stays; the ATR; blocked DFs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.crypto import Cipher
from cardlib.emulator import LifeCycle, SoftwareCard
from cardlib.emulator.filesystem.tree import PROFILE
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.layout import FILE_BY_PATH, FILES, FileSpec, Structure
from cardlib.tlv import find_ber, iter_compact
from tests.cards.software_cards import CHIP, Terminal, active_card, fid_path, terminal

HEALTH_APPLICATION = "F052484301"
DOMAIN_AID = "A000000151000000"
DIRECTORIES = ["MF", "DDF1", *(f"DDF1/DF0{n}" for n in range(1, 6))]
FILE_IDS = sorted({file.fid for file in FILES})
DIRECTORY_IDS = [0x3F00, 0xDDF1, *range(0xDF01, 0xDF06)]
OTHERS = [0x3FFF, 0xDF00, 0xDF06, 0xDDF2, 0xEF01, 0xFFFF, 0x0000]
EVERY_FILE = pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)


def parent(path: str) -> str:
    return path.rsplit("/", 1)[0] if "/" in path else "MF"


def below(current: str, fid: int) -> str | None:
    """The child of that identifier, by the tables."""
    start = "" if current == "MF" else current + "/"
    path = f"{start}{fid:04X}"
    return path if path in DIRECTORIES or path in FILE_BY_PATH else None


def reached(current: str, fid: int) -> str | None:
    """Where SELECT by identifier leads: section 1 in its own words, None for 6A82."""
    child = below(current, fid)
    if child:
        return child
    near = ["MF", current, parent(current)]
    if current != "MF":
        near += [path for path in DIRECTORIES if path != "MF" and parent(path) == parent(current)]
    names = {0x3F00: "MF"} | {int(path[-4:], 16): path for path in DIRECTORIES if path != "MF"}
    found = names.get(fid)
    return found if found in near else None


def where(card: Terminal) -> tuple[str, str | None]:
    """The current DF and EF, from inside the card."""
    channel = card.card.channels[0]
    return channel.directory.path, channel.file.path if channel.file else None


@pytest.mark.parametrize("current", DIRECTORIES)
@pytest.mark.parametrize("fid", [*FILE_IDS, *DIRECTORY_IDS, *OTHERS])
def test_an_identifier_is_found_exactly_where_the_specification_looks(
    current: str, fid: int
) -> None:
    card = terminal()
    assert card.select(current) == 0x9000
    expected = reached(current, fid)
    sw = card.sw(f"00A4000C02{fid:04X}")
    assert sw == (0x9000 if expected else 0x6A82)
    if expected is None:
        assert where(card) == (current, None)
    elif expected in FILE_BY_PATH:
        assert where(card) == (current, expected)
    else:
        assert where(card) == (expected, None)


def test_after_reset_the_mf_is_selected_whatever_was_before() -> None:
    card = terminal()
    card.select("DDF1/DF02/EF05")
    card.card.reset()
    assert where(card) == ("MF", None)
    assert card.sw("00B2010400") == 0x6986
    blank = Terminal(SoftwareCard.blank(CHIP, (bytes(16),) * 3))
    assert where(blank) == ("MF", None)
    assert blank.sw("00A40000023F00") == 0x9000
    assert blank.sw("00A4000002DDF1") == 0x6A82


@EVERY_FILE
def test_every_file_is_reached_by_its_path_without_3f00(file: FileSpec) -> None:
    card = terminal()
    path = fid_path(file.path)
    for start in DIRECTORIES:
        card.select(start)
        assert card.sw(bytes((0, 0xA4, 8, 0x0C, len(path))) + path) == 0x9000
        assert where(card) == (file.df_path, file.path)
    card.select("DDF1/DF05")
    with_mf = b"\x3f\0" + path
    assert card.sw(bytes((0, 0xA4, 8, 0x0C, len(with_mf))) + with_mf) == 0x6A82
    assert where(card) == ("DDF1/DF05", None)


def test_a_path_from_the_current_df_and_the_other_ways_of_the_standard() -> None:
    card = terminal()
    card.select("DDF1")
    assert card.sw("00A4090C04DF02EF05") == 0x9000
    assert where(card) == ("DDF1/DF02", "DDF1/DF02/EF05")
    assert card.sw("00A4030C") == 0x9000
    assert where(card) == ("DDF1", None)
    assert card.sw("00A4010C02DF03") == 0x9000
    assert card.sw("00A4020C02EF06") == 0x9000
    assert where(card) == ("DDF1/DF03", "DDF1/DF03/EF06")
    assert card.sw("00A4010C02EF06") == 0x6A82
    assert card.sw("00A4000C") == 0x9000
    assert where(card) == ("MF", None)
    assert card.sw("00A4030C") == 0x6A82


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("00A4080C03DDF1DF", 0x6A87),
        ("00A4080C", 0x6A87),
        ("00A4000C01DD", 0x6A87),
        ("00A4000C03DDF1DF", 0x6A87),
        ("00A4080C06DDF1EF05EF05", 0x6A82),
        ("00A4050C02DDF1", 0x6A86),
        ("00A4880C02DDF1", 0x6A86),
        ("00A4000102DDF1", 0x6A86),
        ("00A4000D02DDF1", 0x6A86),
        ("00A4001002DDF1", 0x6A86),
    ],
)
def test_what_is_no_way_to_select_is_refused_and_changes_nothing(command: str, sw: int) -> None:
    card = terminal()
    card.select("DDF1/DF03/EF05")
    assert card.sw(command) == sw
    assert where(card) == ("DDF1/DF03", "DDF1/DF03/EF05")


def test_a_file_not_found_leaves_the_selection_as_it_was() -> None:
    card = terminal()
    card.select("DDF1/EF05")
    for command in ("00A4000002EF0F", "00A4080004DDF1DF09", "00A4040005F052484302"):
        assert card.sw(command) == 0x6A82
        assert card.sw("00B2010400") == 0x9000


@pytest.mark.parametrize("path", DIRECTORIES)
@pytest.mark.parametrize("command", ["00B2010400", "00B0000000", "04DC010404", "00A2010401AA"])
def test_selecting_a_df_leaves_no_current_ef(path: str, command: str) -> None:
    card = terminal()
    card.select("DDF1/EF05")
    card.select(path)
    raw = bytes.fromhex(command)
    assert card.sw(raw + bytes(4) if raw[0] == 4 else raw) == 0x6986


def test_applications_are_selected_by_their_whole_aid() -> None:
    card = terminal()
    assert card.sw(f"00A4040C05{HEALTH_APPLICATION}") == 0x9000
    assert where(card) == ("DDF1", None)
    for domain in ("00A4040000", "00A40400", f"00A4040C08{DOMAIN_AID}"):
        card.select("DDF1/DF01/EF05")
        assert card.sw(domain) == 0x9000, domain
        assert where(card) == ("MF", None)
    blank = Terminal(SoftwareCard.blank(CHIP, (bytes(16),) * 3))
    assert blank.send(f"00A4040005{HEALTH_APPLICATION}00")[1] == 0x9000
    assert where(blank) == ("MF", None)


@pytest.mark.parametrize("aid", [HEALTH_APPLICATION, DOMAIN_AID])
def test_partial_and_longer_aids_are_not_found(aid: str) -> None:
    card = terminal()
    whole = bytes.fromhex(aid)
    for other in (*(whole[:n] for n in range(1, len(whole))), whole + b"\0", whole[:-1] + b"\xff"):
        assert card.sw(bytes((0, 0xA4, 4, 0, len(other))) + other) == 0x6A82


@pytest.mark.parametrize("cipher", list(Cipher))
def test_the_fci_of_ddf1_says_spec_cipher_key_version_and_region(cipher: Cipher) -> None:
    expected = f"8405{HEALTH_APPLICATION}A50FC10310{cipher:02X}03C2083431303030303030"
    length = len(expected) // 2
    for command in (f"00A4040005{HEALTH_APPLICATION}00", "00A4080002DDF100", "00A4000002DDF100"):
        data, sw = terminal(cipher).send(command)
        assert (data.hex().upper(), sw) == (f"6F{length:02X}{expected}", 0x9000)


@pytest.mark.parametrize("path", [*DIRECTORIES[1:], *FILE_BY_PATH])
def test_p2_says_what_is_answered_and_no_le_means_nothing(path: str) -> None:
    card = terminal()
    fids = fid_path(path)
    for p2, tag in ((0x00, 0x6F), (0x04, 0x62), (0x08, 0x64), (0x0C, None)):
        command = bytes((0, 0xA4, 8, p2, len(fids))) + fids
        assert card.send(command) == (b"", 0x9000)
        data, sw = card.send(command + b"\0")
        assert sw == 0x9000
        assert (data == b"") if tag is None else (data[0] == tag and len(data) == data[1] + 2)
    assert card.sw("00C0000000") == 0x6985


def test_an_le_that_is_too_small_is_6cxx() -> None:
    card = terminal()
    data, _ = card.send(f"00A4040005{HEALTH_APPLICATION}00")
    assert card.send(f"00A4040005{HEALTH_APPLICATION}01") == (b"", 0x6C00 | len(data))
    assert card.send(f"00A4040005{HEALTH_APPLICATION}{len(data):02X}") == (data, 0x9000)


@EVERY_FILE
def test_the_fcp_describes_the_file(file: FileSpec) -> None:
    card = terminal()
    path = fid_path(file.path)
    data, _ = card.send(bytes((0, 0xA4, 8, 4, len(path))) + path + b"\0")
    assert find_ber(data, 0x62, 0x83) == file.fid.to_bytes(2, "big")
    assert find_ber(data, 0x62, 0x80) == file.size.to_bytes(2, "big")
    assert find_ber(data, 0x62, 0x8A) == b"\x05"
    descriptor = find_ber(data, 0x62, 0x82)
    assert descriptor is not None
    kinds = {
        Structure.TRANSPARENT: 0x01, Structure.LINEAR_FIXED: 0x02,
        Structure.LINEAR_VARIABLE_TLV: 0x05, Structure.CYCLIC: 0x06,
    }  # fmt: skip
    assert descriptor[0] == kinds[file.structure]
    if file.structure is not Structure.TRANSPARENT:
        longest = max(file.record_length(n) for n in range(1, file.records + 1))
        assert descriptor[2:] == longest.to_bytes(2, "big") + bytes((file.records,))


@pytest.mark.parametrize("path", DIRECTORIES)
def test_the_fcp_of_a_directory_says_so(path: str) -> None:
    card = terminal()
    card.select(path)
    data, _ = card.send(f"00A4000402{'3F00' if path == 'MF' else path[-4:]}00")
    assert (find_ber(data, 0x62, 0x82) or b"")[:1] == b"\x38"
    assert find_ber(data, 0x62, 0x84) == (
        bytes.fromhex(HEALTH_APPLICATION) if path == "DDF1" else None
    )


def block(card: SoftwareCard, number: int) -> None:
    card.state.blocked_directories = 1 << (number - 1)
    card.memory.commit()
    card.refresh()
    card.reset()


@pytest.mark.parametrize("number", range(1, 6))
def test_a_blocked_df_is_selected_with_6283_and_its_files_answer_6985(number: int) -> None:
    card = terminal()
    block(card.card, number)
    for path in DIRECTORIES:
        blocked = path == f"DDF1/DF0{number}"
        assert card.select(path) == (0x6283 if blocked else 0x9000)
        for file in FILES:
            if file.df_path == path:
                card.sw(f"00A4000C02{file.fid:04X}")
                sw = card.read(file)[1]
                update = card.sw(card.change(file, b"x"))
                if blocked:
                    assert (sw, update) == (0x6985, 0x6985)
                else:
                    assert sw == (0x6982 if file.read_key else 0x9000)


def test_a_blocked_card_answers_6a81_to_everything_but_reset_and_get_data() -> None:
    for state in (LifeCycle.BLOCKED, LifeCycle.TERMINATED):
        card = Terminal(active_card(life_cycle=state))
        assert card.card.reset() == card.card.atr
        for ins in range(256):
            for cla in (0x00, 0x80):
                if ins not in (0xC0, 0xCA):
                    assert card.sw(bytes((cla, ins, 0, 0))) == 0x6A81, (cla, ins)
        data, sw = card.send("80CA9F7F00")
        assert sw == 0x9000 and CHIP in data


def test_the_atr_is_the_specifications() -> None:
    atr = active_card().atr
    assert len(atr) == 20
    assert atr[:7].hex().upper() == "3B9E9680018073"
    assert atr[10] == 0x58 and atr[11:19] == CHIP
    check = 0
    for octet in atr[1:]:
        check ^= octet
    assert check == 0
    historical = {item.tag: item.value for item in iter_compact(atr[6:19])}
    assert historical[0x45] == CHIP
    assert historical[0x47] == atr[7:10]


def test_the_atr_is_the_same_for_blank_and_issued_and_announces_what_is_on() -> None:
    blank = SoftwareCard.blank(CHIP, (bytes(16),) * 3)
    assert blank.atr == active_card().atr == blank.reset()
    third = {
        options: SoftwareCard.blank(CHIP, (bytes(16),) * 3, options=options).atr[9]
        for options in (
            CardOptions(extended_length=False, command_chaining=False),
            CardOptions(extended_length=True, command_chaining=False),
            CardOptions(extended_length=False, command_chaining=True),
            CardOptions(extended_length=True, command_chaining=True, logical_channels=4),
        )
    }
    assert list(third.values()) == [0x00, 0x40, 0x80, 0xD3]


def test_the_profile_has_one_state_byte_for_each_node() -> None:
    addresses = [node.state_address for node in PROFILE.values()]
    assert len(addresses) == len(set(addresses)) == 7 + 25


steps = st.lists(
    st.one_of(
        st.tuples(st.just("fid"), st.sampled_from([*FILE_IDS, *DIRECTORY_IDS, *OTHERS])),
        st.tuples(st.just("path"), st.sampled_from([*DIRECTORIES, *FILE_BY_PATH])),
        st.tuples(
            st.just("aid"),
            st.sampled_from([HEALTH_APPLICATION, DOMAIN_AID, HEALTH_APPLICATION[:6]]),
        ),
        st.tuples(st.just("reset"), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_any_walk_ends_where_a_plain_model_does(walk: list[tuple[str, int | str]]) -> None:
    card = terminal()
    directory, file = "MF", None
    for kind, target in walk:
        found: str | None = None
        if kind == "reset":
            card.card.reset()
            found = "MF"
        elif isinstance(target, int):
            card.sw(f"00A4000C02{target:04X}")
            found = reached(directory, target)
        elif kind == "path":
            card.select(target)
            found = target
        else:
            card.sw(f"00A40400{len(target) // 2:02X}{target}")
            found = {HEALTH_APPLICATION: "DDF1", DOMAIN_AID: "MF"}.get(target)
        if found is not None:
            is_file = found in FILE_BY_PATH
            directory, file = (parent(found), found) if is_file else (found, None)
        assert where(card) == (directory, file)
