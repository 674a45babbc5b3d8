"""rhcard prepare: every fault named first, nothing written then; a batch when there is none."""

import csv
import hashlib
import shlex
from pathlib import Path

import pytest

from cardlib.issuance.local import LocalIssuer
from cardlib.keys.store import KeyStore
from personalize.preparation.batch import Batch, read_header
from personalize.sample.sample_batch import SAMPLE
from tests import DATA
from tests.listing.workbooks import cell_of, new, saved
from tests.programs.rhcard import PASSPHRASE, key_file, ran, residents, rhcard

ON = ("--issue-date", "2026-11-23")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"))


def expected_faults() -> set[tuple[int, str]]:
    with (DATA / "residents_bad_expected.csv").open(encoding="utf-8", newline="") as file:
        return {(int(row["line"]), row["field"]) for row in csv.DictReader(file)}


def test_the_faults_of_the_bad_list_are_named_exactly(tmp_path: Path) -> None:
    """With no option at all, in a process of its own, as an operator would type it first."""
    done = ran("prepare", DATA / "residents_bad.csv", cwd=tmp_path, env={"RHCARD_PASSPHRASE": ""})
    assert done.code == 3
    assert "Traceback" not in done.err
    assert "Passphrase" not in done.err
    rows = [line.split() for line in done.out.splitlines() if line.strip()[:1].isdigit()]
    found = {(int(words[0]), words[1]) for words in rows if words[1] != "errors"}
    assert found == expected_faults()
    assert list(tmp_path.iterdir()) == []


def test_faults_in_json_are_objects_with_a_remedy(tmp_path: Path, keys: Path) -> None:
    out = tmp_path / "batch"
    done = rhcard("prepare", DATA / "residents_bad.csv", "--keys", keys, "--out", out, "--json",
                  *ON, passphrase=None)  # fmt: skip
    assert (done.code, done.json["exit_code"]) == (3, 3)
    assert {(f["line"], f["field"]) for f in done.json["faults"]} == expected_faults()
    members = {"line", "code", "field", "column", "value", "problem", "remedy"}
    assert all(set(f) == members and all((f["code"], f["problem"], f["remedy"]))
               for f in done.json["faults"])  # fmt: skip
    assert not out.exists()


def test_after_twenty_errors_the_rest_is_told_by_column_and_problem(tmp_path: Path) -> None:
    """A column that is wrong in every line is one row, not a thousand; JSON has them all."""
    rows = list(csv.reader(SAMPLE.read_text("utf-8").splitlines()))
    sex, birth = rows[0].index("sex"), rows[0].index("birth_date")
    for row in rows[1:31]:
        row[sex], row[birth] = "male", f"{row[birth][:4]}-{row[birth][4:6]}-{row[birth][6:]}"
    source = tmp_path / "list.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows[:31])
    words = ("prepare", source, "--photos", SAMPLE.parent)
    shown, told = rhcard(*words), rhcard(*words, "--json").json["faults"]
    assert (shown.code, len(told)) == (3, 60)
    one_by_one, grouped = shown.out.split("All 60 errors, by column and problem")
    assert one_by_one.count("not in code table") + one_by_one.count("not a date") == 20
    lines = [line.split() for line in grouped.splitlines() if line.strip()[:1].isdigit()]
    assert [(words[0], words[1]) for words in lines] == [("30", "sex"), ("30", "birth_date")]
    assert all("2, 3, 4, 5, 6, …" in " ".join(words) for words in lines)


def test_a_list_with_chinese_headers_is_answered_with_them(tmp_path: Path) -> None:
    """A wrong code, a date in another form, and a header that is not quite ours."""
    source = tmp_path / "list.csv"
    source.write_text(
        "卡类别,发卡机构名称,发卡机构代码,卡号,应用城市代码,姓名,性别,出生日期,身份证号\n"
        "1,示例市第一人民医院,990000123456,990121198010071957,990100,黄玉晨,男,1980-10-07,"
        "990121198010071957\n",
        "utf-8",
    )
    done = rhcard("prepare", source, "--json", passphrase=None)
    found = [(f["line"], f["field"], f["column"], f["remedy"]) for f in done.json["faults"]]
    asked = "did you mean 居民身份证号码 (resident_id_number)? If not, remove the column"
    assert found == [
        (1, "身份证号", "身份证号", asked),
        (
            2,
            "sex",
            "性别",
            "write 1 for male (男), or map all labels: --map FILE",
        ),
        (2, "birth_date", "出生日期", "a date is YYYYMMDD: write 19801007"),
    ]
    shown = rhcard("prepare", source, passphrase=None).out
    assert "性别 (sex)" in shown and "出生日期 (birth_date)" in shown


def test_check_needs_no_keys_and_says_how_many_residents_there_are(tmp_path: Path) -> None:
    source = residents(tmp_path, 2)
    words = ("prepare", source, "--check", "--photos", SAMPLE.parent, *ON)
    done = ran(*words, cwd=tmp_path, env={"RHCARD_PASSPHRASE": ""})
    assert (done.code, done.out) == (0, f"{source}: 2 residents, no errors\n")
    assert rhcard(*words, "--json", passphrase=None).json == {
        "residents": 2,
        "faults": [],
        "exit_code": 0,
    }
    assert list(tmp_path.iterdir()) == [source]


def test_check_of_a_bad_list_says_what_prepare_says(tmp_path: Path, keys: Path) -> None:
    bad = DATA / "residents_bad.csv"
    prepared = ("prepare", bad, "--keys", keys, "--out", tmp_path / "batch", *ON)
    checked = ("prepare", bad, "--check", *ON)
    for as_json in ((), ("--json",)):
        assert rhcard(*checked, *as_json) == rhcard(*prepared, *as_json)
    assert rhcard(*checked).code == 3


@pytest.mark.parametrize("option", ["--keys", "--out", "--passphrase-file"])
def test_an_option_without_effect_on_a_check_is_refused(tmp_path: Path, option: str) -> None:
    done = rhcard("prepare", SAMPLE, "--check", option, tmp_path / "given")
    assert done.code == 2
    assert f"{option} has no effect with --check" in done.err
    assert list(tmp_path.iterdir()) == []


def test_check_does_not_use_the_configured_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RHCARD_KEYS", str(tmp_path / "no-such-store.json"))
    assert rhcard("prepare", SAMPLE, "--check", *ON, passphrase=None).code == 0


def sample_workbook(folder: Path, **cells: str | int) -> Path:
    """The first two residents of the sample as a workbook, with some cells changed."""
    book = new({"人员": list(csv.reader(SAMPLE.read_text("utf-8").splitlines()))[:3]})
    for address, value in cells.items():
        cell_of(book, address).value = value
    path = folder / "list.xlsx"
    path.write_bytes(saved(book))
    return path


def test_a_workbook_becomes_a_batch_as_its_csv_does(tmp_path: Path, keys: Path) -> None:
    words = ("--keys", keys, "--out", tmp_path / "batch", "--photos", SAMPLE.parent, *ON)
    done = rhcard("prepare", sample_workbook(tmp_path), *words)
    assert (done.code, done.out) == (0, f"{tmp_path / 'batch'}: 2 cards prepared\n")


def test_a_fault_in_a_workbook_is_told_by_cell_and_sheet(tmp_path: Path) -> None:
    words = ("prepare", sample_workbook(tmp_path, C3=1), "--check", "--photos", SAMPLE.parent, *ON)
    shown, told = rhcard(*words), rhcard(*words, "--json").json
    assert (shown.code, told["exit_code"]) == (3, 3)
    assert "cell or row" in shown.out and "C3" in shown.out
    assert "list.xlsx, sheet 人员: 1 error." in shown.err
    assert told["sheet"] == "人员"
    assert [(f["cell"], f["line"], f["code"]) for f in told["faults"]] == [("C3", 3, "number-cell")]


@pytest.mark.parametrize(
    ("name", "option"), [("list.xlsx", "--encoding=utf-8"), ("list.csv", "--sheet=人员")]
)
def test_an_option_for_another_kind_of_file_is_refused(
    tmp_path: Path, name: str, option: str
) -> None:
    sample_workbook(tmp_path)
    (tmp_path / "list.csv").write_bytes(SAMPLE.read_bytes())
    done = rhcard("prepare", tmp_path / name, "--check", option, *ON)
    assert done.code == 2
    assert f"{option.partition('=')[0]} has no effect" in done.err


def test_a_sheet_is_chosen_by_its_name(tmp_path: Path) -> None:
    words = ("prepare", sample_workbook(tmp_path), "--check", "--photos", SAMPLE.parent, *ON)
    assert rhcard(*words, "--sheet", "人员").code == 0
    done = rhcard(*words, "--sheet", "x")
    assert (done.code, "--sheet: 人员" in done.out) == (3, True)


def test_only_a_workbook_needs_openpyxl(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from personalize.preparation.prepare import read_list;"
        "read_list(Path(sys.argv[1])); print({'openpyxl', 'defusedxml'} & sys.modules.keys())"
    )
    assert ran(SAMPLE, program=program).out == "set()\n"
    assert "openpyxl" in ran(sample_workbook(tmp_path), program=program).out


def test_a_good_list_without_keys_and_out_is_good_but_not_prepared(tmp_path: Path) -> None:
    source = residents(tmp_path, 2)
    done = rhcard("prepare", source, "--photos", SAMPLE.parent, *ON, passphrase=None)
    assert done.code == 2
    assert "has no errors. It was only checked" in done.err
    assert "--keys and --out are missing" in done.err
    done = rhcard("prepare", source, "--photos", SAMPLE.parent, "--out", tmp_path / "b", "--json",
                  *ON)  # fmt: skip
    assert done.json["error"].endswith("--keys is missing.")
    assert not (tmp_path / "b").exists()


def test_a_batch_is_written_and_bound_to_its_key_store(tmp_path: Path, keys: Path) -> None:
    out = tmp_path / "batch"
    done = rhcard("prepare", residents(tmp_path, 2), "--photos", SAMPLE.parent, "--keys", keys,
                  "--out", out, "--json", "--issue-date", "20261122")  # fmt: skip
    assert (done.code, done.json["count"], done.json["faults"]) == (0, 2, [])
    store, header = KeyStore.open(keys, PASSPHRASE), read_header(out)
    assert (header.key_store_identity, header.key_store_hint) == (store.identity, str(keys))
    assert (header.issue_date, header.spec_version) == ("20261122", "2.0")
    batch = Batch.open(out, LocalIssuer(store))
    assert [card.line for card in batch.cards()] == [2, 3]
    assert dict(batch.card(1).groupings)[0x0106] == bytes.fromhex("06 04 20261122")


def test_the_next_commands_are_for_readers_and_for_software_cards_and_can_be_pasted(
    tmp_path: Path, keys: Path
) -> None:
    out = tmp_path / "new batch"
    done = rhcard("prepare", residents(tmp_path, 1), "--photos", SAMPLE.parent, "--keys", keys,
                  "--out", out, *ON)  # fmt: skip
    lines = [line for line in done.err.splitlines() if line.startswith("Next")]
    in_readers, software = (line.partition(": ") for line in lines)
    assert in_readers[0] == "Next, for a trial in a reader"
    assert shlex.split(in_readers[2]) == [
        "rhcard", "issue", str(out), "--reader", "0", "--trial",
    ]  # fmt: skip
    assert software[0] == "Next, for a trial with software cards"
    words = shlex.split(software[2])
    assert words == ["rhcard", "issue", str(out), "--cards", "cards", "--make-blanks"]
    assert ran(*words[1:], cwd=tmp_path).code == 0


def test_an_existing_folder_is_not_written_into(tmp_path: Path, keys: Path) -> None:
    (tmp_path / "batch").mkdir()
    done = rhcard("prepare", residents(tmp_path, 1), "--photos", SAMPLE.parent, "--keys", keys,
                  "--out", tmp_path / "batch", *ON, passphrase=None)  # fmt: skip
    assert done.code == 2
    assert "exists already and is not overwritten" in done.err


def test_a_missing_key_store_is_a_key_problem(tmp_path: Path) -> None:
    done = rhcard("prepare", residents(tmp_path, 1), "--photos", SAMPLE.parent, "--keys",
                  tmp_path / "none", "--out", tmp_path / "batch", *ON)  # fmt: skip
    assert (done.code, "--keys FILE" in done.err) == (9, True)


def test_gb18030_is_read_when_asked_for(tmp_path: Path, keys: Path) -> None:
    source = tmp_path / "gb.csv"
    text = residents(tmp_path, 2, skip=46).read_text("utf-8")
    source.write_bytes(text.encode("gb18030"))
    assert rhcard("prepare", source, "--photos", SAMPLE.parent, *ON).code == 3
    done = rhcard("prepare", source, "--photos", SAMPLE.parent, "--keys", keys, "--out",
                  tmp_path / "batch", "--encoding", "gb18030", *ON)  # fmt: skip
    assert done.code == 0
    batch = Batch.open(tmp_path / "batch", LocalIssuer(KeyStore.open(keys, PASSPHRASE)))
    assert [card.name for card in batch.cards()] == ["郑𬀩", "王䶮"]


def test_a_missing_input_is_usage(tmp_path: Path) -> None:
    assert rhcard("prepare", tmp_path / "none.csv").code == 2


MAP = "column,from,to,note\nABO血型代码,{0},4,AB\nABO血型代码,{1},3,O\nABO血型代码,*,*,\n"


def list_with_groups(folder: Path, *groups: str) -> Path:
    """The sample's first residents, with these ABO blood groups."""
    rows = list(csv.reader(SAMPLE.read_text("utf-8").splitlines()))[: len(groups) + 1]
    place, photo = rows[0].index("abo_blood_group"), rows[0].index("photo_file")
    for row, group in zip(rows[1:], groups, strict=True):
        row[place], row[photo] = group, ""
    with (folder / "list.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "list.csv"


def test_codes_of_another_system_are_mapped_once_and_shown(tmp_path: Path, keys: Path) -> None:
    source, out = list_with_groups(tmp_path, "3", "4", "1", "3", ""), tmp_path / "batch"
    codes = tmp_path / "codes.csv"
    codes.write_text(MAP.format("3", "4"), "utf-8")
    words = ("prepare", source, "--map", codes, *ON)
    done = rhcard(*words, "--keys", keys, "--out", out)
    assert done.code == 0, done.err
    shown = [line.split() for line in done.out.splitlines() if "abo_blood_group" in line]
    assert shown == [
        ["abo_blood_group", "1", "1", "A", "1"],
        ["abo_blood_group", "3", "4", "AB", "2"],
        ["abo_blood_group", "4", "3", "O", "1"],
    ]
    assert "compare three residents whose blood group you know" in done.err
    batch = Batch.open(out, LocalIssuer(KeyStore.open(keys, PASSPHRASE)))
    groups = [card.value("abo_blood_group") for card in batch.cards()]
    assert groups == ["4", "3", "1", "4", ""]

    document = rhcard(*words, "--keys", keys, "--out", tmp_path / "second", "--json").json
    assert document["map_sha256"] == hashlib.sha256(codes.read_bytes()).hexdigest()
    assert document["mapped"][1] == {
        "column": "abo_blood_group", "from": "3", "to": "4", "count": 2,
    }  # fmt: skip


def test_a_value_that_the_map_lacks_is_an_error_and_no_batch_is_made(
    tmp_path: Path, keys: Path
) -> None:
    source, out = list_with_groups(tmp_path, "AB", "O", "AB+", "4"), tmp_path / "batch"
    codes = tmp_path / "codes.csv"
    codes.write_text(MAP.format("AB", "O"), "utf-8")
    done = rhcard("prepare", source, "--map", codes, "--keys", keys, "--out", out, "--json")
    found = [(f["line"], f["field"], f["value"], f["code"]) for f in done.json["faults"]]
    assert (done.code, out.exists()) == (3, False)
    assert found == [
        (4, "abo_blood_group", "AB+", "invalid-code"),
        (5, "abo_blood_group", "4", "unmapped-code"),
    ]


def test_a_wrong_map_is_told_before_the_list_is_read(tmp_path: Path) -> None:
    source, codes = list_with_groups(tmp_path, "9"), tmp_path / "codes.csv"
    codes.write_text("column,from,to\nabo_blood_group,AB,AB\nabo,O,3\n")
    done = rhcard("prepare", source, "--map", codes)
    assert done.code == 3
    assert f"{codes}: 2 errors. No batch was written." in done.err
    rows = [line.split()[:3] for line in done.out.splitlines() if line.strip()[:1].isdigit()]
    assert rows == [["2", "errors"], ["2", "to", "AB"], ["3", "column", "abo"]]
    assert rhcard("prepare", source, "--map", tmp_path / "none.csv").code == 2
