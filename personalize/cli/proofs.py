"""rhcard proofs: card faces and carriers of a batch as a PDF."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import Context
from .exits import Exit
from .options import NewPath, batch_argument, batch_keys_option, json_option, passphrase_option
from .output import print_error, print_line, print_table, progress, say, say_removed

if TYPE_CHECKING:
    from ..preparation.batch import Batch
    from ..preparation.prepared import PreparedCard
    from ..printing.print_faults import PrintFault

FORMS = ("card", "sheet", "carrier")


class CardNumbers(click.ParamType[range]):
    """Numbers of cards in a batch: FIRST-LAST."""

    name = "FIRST-LAST"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        """The numbers; BadParameter when the text is no range."""
        first, dash, last = str(value).partition("-")
        if not (dash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
            self.fail(f"{value!r} is no range of cards: write it as 1-500", param, ctx)
        return range(int(first), int(last) + 1)


@click.command(name="proofs")
@batch_argument
@click.option("--out", type=NewPath(), metavar="FILE", required=True, help="The PDF to write.")
@click.option(
    "--form",
    type=click.Choice(FORMS),
    default="sheet",
    show_default=True,
    help="One card a page in the card's size, 8 cards on A4, or a carrier on A4 for each card.",
)
@click.option("--one", type=click.IntRange(1), metavar="NUMBER", help="Only this card.")
@click.option("--range", "numbers", type=CardNumbers(), help="Only these cards, such as 1-500.")
@click.option(
    "--font",
    "fonts",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    multiple=True,
    help="A font for the texts. May be repeated: each character is taken from the first font that"
    " has it. Noto Sans CJK is the last one, if it is installed.",
)
@batch_keys_option
@passphrase_option
@json_option
@click.pass_obj
def command(
    context: Context,
    folder: Path,
    *,
    out: Path,
    form: str,
    one: int | None,
    numbers: range | None,
    fonts: tuple[Path, ...],
) -> int:
    """Make a PDF of a batch's card faces or carriers.

    It shows what will be printed, to look at before. A face has photo, name, card number, issuer,
    and a QR code of the card number. Texts become smaller, or are broken into lines, until they
    fit. If a text does not fit at the least size, or a font has no glyph for a character, nothing
    is written: every such text is listed.

    The PDF holds personal data and is not encrypted. No card and nothing in the batch is changed.

    \b
    Examples:
      rhcard proofs batch --out proofs.pdf
      rhcard proofs batch --out card-1.pdf --form card --one 1
      rhcard proofs batch --out carriers.pdf --form carrier
    """
    from cardlib.unfinished import remove_unfinished_files, write_new

    from ..printing.card_faces import ProofForm, card_proofs, pages
    from ..printing.print_faults import CannotPrint
    from ..printing.typefaces import opened_typefaces

    if one is not None and numbers is not None:
        raise click.UsageError("--one and --range are both given: leave out one of them")
    if one is not None:
        numbers = range(one, one + 1)
    with opened_typefaces(fonts) as typefaces:
        batch, _, _ = context.batch(folder)
        numbers = _chosen(batch, numbers)
        say_removed(remove_unfinished_files(out.absolute().parent))
        _warn(out, len(numbers))
        try:
            pdf = card_proofs(_opened(batch, numbers), ProofForm(form), typefaces)
        except CannotPrint as error:
            return _report(context, folder, error.faults)
        families = typefaces.families
    write_new(out, pdf)
    count = pages(len(numbers), ProofForm(form))
    if context.as_json:
        document = {"out": str(out), "form": form, "cards": len(numbers), "pages": count}
        return context.answer({**document, "fonts": families, "faults": []})
    print_line(f"{out}: {_counted(len(numbers), 'card')} on {_counted(count, 'page')}")
    return Exit.GOOD


def _chosen(batch: "Batch", numbers: range | None) -> range:
    """The numbers of the cards to print; UsageError when the batch lacks some, or for too many."""
    from ..printing.card_faces import MOST_CARDS

    count = batch.header.count
    numbers = numbers or range(1, count + 1)
    if numbers[-1] > count:
        raise click.UsageError(f"there is no card {numbers[-1]}: the batch has {count}")
    if len(numbers) > MOST_CARDS:
        first = numbers[0]
        part = f"--range {first}-{first + MOST_CARDS - 1}"
        raise click.UsageError(
            f"a PDF has {MOST_CARDS:,} cards at most, and these are {len(numbers):,}:"
            f" make several, the first with {part}"
        )
    return numbers


def _warn(out: Path, count: int) -> None:
    """Say, before anything is written, what the file will hold."""
    say(
        f"{out} will hold names, photos and card numbers of {_counted(count, 'resident')}. It is"
        " not encrypted: keep it as you keep the list, and delete it when you have looked at it."
    )


def _opened(batch: "Batch", numbers: range) -> "Iterator[PreparedCard]":
    """Open each record; shows a progress bar."""
    with progress("Opening") as advance:
        for done, number in enumerate(numbers, 1):
            yield batch.card(number)
            advance(done, len(numbers))


def _report(context: Context, folder: Path, faults: "Sequence[PrintFault]") -> int:
    message = f"{folder}: {_counted(len(faults), 'text')} cannot be printed. No PDF was written."
    if context.as_json:
        rows = [fault.as_dict() for fault in faults]
        return context.answer({"faults": rows, "error": message}, Exit.BAD_INPUT)
    headings = ("card", "line", "column", "problem", "remedy")
    rows_of_text = [(str(f.card), str(f.line), f.field, f.problem, f.remedy) for f in faults]
    print_table("Not printable", headings, rows_of_text)
    print_error(message)
    return Exit.BAD_INPUT


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
