"""The table of docs/reference/emulator-commands.md, made from the card's dispatch table.

`python -m tests.house.command_table` writes it there anew.
"""

from cardlib.commands import name_of
from cardlib.emulator.dispatch import INTERINDUSTRY, PROPRIETARY
from cardlib.emulator.sessions.card_interface import CommandHandler
from tests import ROOT

DOCUMENT = ROOT / "docs" / "reference" / "emulator-commands.md"
BEGIN, END = (
    "<!-- commands: made by a test -->\n",
    "<!-- end of commands -->\n",
)
ABSENT = {
    0x10: "PERFORM SCQL OPERATION", 0x12: "PERFORM TRANSACTION OPERATION",
    0x14: "PERFORM USER OPERATION", 0x21: "VERIFY, BER-TLV",
    0x22: "MANAGE SECURITY ENVIRONMENT", 0x26: "DISABLE VERIFICATION REQUIREMENT",
    0x28: "ENABLE VERIFICATION REQUIREMENT", 0x2A: "PERFORM SECURITY OPERATION",
    0x46: "GENERATE ASYMMETRIC KEY PAIR", 0x86: "GENERAL AUTHENTICATE", 0xA5: "SELECT DATA",
    0xC2: "ENVELOPE", 0xCB: "GET DATA, BER-TLV", 0xCC: "GET NEXT DATA", 0xDB: "PUT DATA, BER-TLV",
}  # fmt: skip
"""Commands of ISO/IEC 7816-4, -8 and -9 in class 0x that this card does not have."""


def command_table() -> str:
    """The table: a row for each command that the card has, and for each that it has not."""
    rows = [(ins, 0x00, entry) for ins, entry in INTERINDUSTRY.items()]
    rows += [(ins, 0x80, entry) for ins, entry in PROPRIETARY.items()]
    lines = ["| class INS | command | supported | what it does |", "| --- | --- | --- | --- |"]
    lines += [_row(cla, ins, entry) for ins, cla, entry in sorted(rows, key=lambda row: row[:2])]
    lines.append("| `00 C0` | GET RESPONSE | yes | What did not fit the answer, or had no Le. |")
    lines += [f"| `00 {ins:02X}` | {name} | no: 6D00 | |" for ins, name in ABSENT.items()]
    return "\n".join(lines) + "\n"


def _row(cla: int, ins: int, entry: CommandHandler) -> str:
    supported = "yes, also with a MAC" if entry.protected else "yes"
    says = (entry.handler.__doc__ or "").split("\n\n")[0]
    text = " ".join(says.split()).replace("|", "\\|")
    odd = ", BER-TLV" if ins & 1 else ""
    return f"| `{cla:02X} {ins:02X}` | {name_of(cla, ins)}{odd} | {supported} | {text} |"


def with_table(document: str) -> str:
    """The document with the table between its marks."""
    head, rest = document.split(BEGIN)
    return head + BEGIN + command_table() + END + rest.split(END)[1]


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
