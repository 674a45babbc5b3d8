"""rhcard prepare: check a list of residents and seal prepared cards into a batch."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from .context import Context
from .exits import Exit
from .list_report import report, show_filled, show_mapped
from .options import (
    NewPath,
    configured_keys_option,
    json_option,
    passphrase_option,
    trusted_option,
)
from .output import print_line, progress, say

if TYPE_CHECKING:
    from cardlib.keys.issuer import Issuer, Share

    from ..listing.code_map import CodeMap
    from ..listing.photos import PhotoShop
    from ..listing.resident_list import ResidentList
    from ..listing.text_survey import Encoding
    from ..preparation.cluster import Cluster
    from ..preparation.many_residents import CheckedList
    from ..preparation.prepared import PreparedCard
    from ..preparation.workers import Workers

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_WORTH_A_PROCESS = 1000
"""Residents for each process; to start one takes as long as some hundred residents."""


@click.command(name="prepare")
@click.argument(
    "source", metavar="INPUT", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@configured_keys_option
@click.option(
    "--out",
    type=NewPath(),
    metavar="BATCH",
    help="The new folder of the batch. A folder that exists is not overwritten.",
)
@click.option(
    "--encoding",
    type=click.Choice(["utf-8", "gb18030"]),
    default="utf-8",
    show_default=True,
    help="Encoding of INPUT. For GBK and GB 2312 take gb18030.",
)
@click.option(
    "--sheet",
    metavar="NAME",
    help="The sheet of a workbook that is the list. Default: the only one with content.",
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder that photo_file paths start from. Default: the folder of INPUT.",
)
@click.option(
    "--map",
    "map_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="CSV table (column,from,to) that maps the list's own code values to ours.",
)
@click.option(
    "--issue-date",
    type=click.DateTime(["%Y-%m-%d", "%Y%m%d"]),
    metavar="YYYY-MM-DD",
    help="Date of issue on the cards. Default: today.",
)
@click.option(
    "--site",
    "sites",
    multiple=True,
    metavar="OFFER:FIRST-LAST",
    help="These records are for the site of an offer (`rhcard batch offer`). May be repeated. All"
    " others are for this site.",
)
@trusted_option
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Only check the list. This needs no keys and writes nothing.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    metavar="N",
    help="How many processes prepare the list. Default: one for each core, fewer for a short list.",
)
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Prepare on the Dask cluster with this scheduler: tls://HOST:PORT, or on this computer"
    " tcp://127.0.0.1:PORT. The photos must be at the same path on its machines.",
)
@click.option("--dask-ca", type=_FILE, metavar="FILE", help="Certificate of the cluster's CA, PEM.")
@click.option("--dask-cert", type=_FILE, metavar="FILE", help="Our client certificate, PEM.")
@click.option("--dask-key", type=_FILE, metavar="FILE", help="The key of that certificate, PEM.")
@passphrase_option
@json_option
@click.pass_obj
def command(  # noqa: PLR0913  # one for each option
    context: Context,
    source: Path,
    *,
    out: Path | None,
    encoding: str,
    sheet: str | None,
    photos: Path | None,
    map_file: Path | None,
    issue_date: datetime | None,
    sites: tuple[str, ...],
    only_check: bool,
    jobs: int | None,
    dask: str | None,
    dask_ca: Path | None,
    dask_cert: Path | None,
    dask_key: Path | None,
) -> int:
    """Check a list of residents and prepare their cards.

    INPUT is CSV, JSON Lines, an Excel workbook (.xlsx) or Parquet. The whole list is checked first,
    and every error is reported: line, column, value, what is wrong, and how to correct it. Only a
    list without errors becomes a batch. No card is written.

    With --check the list is only checked: no keys, no --out, and exit code 0 if it has no errors.

    If the list has no column for the issuer, or for the city, the values of the configuration are
    taken, and a table says so.

    \b
    Examples:
      rhcard prepare residents.csv --keys keys.json --out new-batch
      rhcard prepare residents.xlsx --check
      rhcard prepare residents.csv --check --jobs 2
    """
    from ..listing.code_map_file import read_code_map
    from ..listing.photos import PhotoShop

    cluster = _cluster(dask, (dask_ca, dask_cert, dask_key), jobs)
    if only_check:
        _check_options(context, out)
    holder = _key_holder(context, out)
    on_cards = (issue_date or datetime.now()).date()
    code_map = None if map_file is None else read_code_map(map_file)
    if map_file is not None and code_map is not None and code_map.faults:
        return report(context, map_file, code_map.faults)
    residents, defaults_from = _read(context, source, encoding, sheet, code_map)
    shop = PhotoShop(source.parent if photos is None else photos)
    with _workers(len(residents.rows), jobs, cluster) as workers:
        checked = _checked(residents, shop, on_cards, workers)
        if checked.faults:
            return report(context, source, checked.faults, residents.sheet)
        if not context.as_json:
            show_filled(residents, defaults_from)
            show_mapped(residents)
        changed = _filled_in_json(residents, defaults_from) | _mapped_in_json(residents, code_map)
        if only_check:
            return _say_good(context, source, residents, changed)
        if holder is None or out is None:
            raise click.UsageError(f"{source} has no errors. {_only_checked(context, out)}")
        work = _Work(residents, checked, shop, on_cards, workers, sites)
        return _sealed(context, work, out, holder, changed)


@dataclass(frozen=True, slots=True)
class _Work:
    """A checked list, and who makes its cards."""

    residents: "ResidentList"
    checked: "CheckedList"
    photos: "PhotoShop"
    issue_date: date
    workers: "Workers"
    sites: tuple[str, ...]


def _sealed(
    context: Context, work: _Work, out: Path, holder: Path, changed: dict[str, object]
) -> int:
    """Make the cards of a list without faults, seal them, and say so."""
    from ..preparation.batch_writing import cut_batches
    from ..preparation.many_residents import made_cards
    from ..preparation.seal import described, seal

    issuer, _ = context.issuer()
    residents, issued = work.residents, work.issue_date
    shares, cut = _shares(context, issuer, work.sites, len(residents.rows)), cut_batches(out)
    cards = made_cards(residents, work.checked, work.photos, issuer, issued, work.workers)
    with progress("Preparing") as advance:
        shown = _counted(cards, len(residents.rows), advance)
        header = seal(out, residents, shown, issuer, keys=holder, issue_date=issued, shares=shares)
    _say_continued(cut, header.batch_id)
    if context.as_json:
        return context.answer({"batch": str(out), **described(header), **changed, "faults": []})
    print_line(f"{out}: {header.count} card{'' if header.count == 1 else 's'} prepared")
    _say_next(context, out, issuer)
    return Exit.GOOD


def _counted(
    cards: "Iterable[PreparedCard]", count: int, advance: Callable[[int, int], None]
) -> "Iterator[PreparedCard]":
    for number, card in enumerate(cards, 1):
        yield card
        advance(number, count)


def _cluster(dask: str | None, files: Sequence[Path | None], jobs: int | None) -> "Cluster | None":
    """The Dask cluster that is to prepare the list. UsageError for options that do not fit."""
    given = [path for path in files if path is not None]
    if dask is None and given:
        raise click.UsageError(
            "--dask-ca, --dask-cert and --dask-key have no effect without --dask"
        )
    if dask is None:
        return None
    if jobs is not None:
        raise click.UsageError("--jobs has no effect with --dask: leave out one of them")
    from ..preparation.cluster import ClientFiles, Cluster

    if not given:
        return Cluster(dask)
    if len(given) < len(files):
        raise click.UsageError("--dask-ca, --dask-cert and --dask-key belong together")
    return Cluster(dask, ClientFiles(*given))


def _workers(
    count: int, jobs: int | None, cluster: "Cluster | None"
) -> "AbstractContextManager[Workers]":
    """Who prepares so many residents: this process alone, if others would take longer to start."""
    if cluster is not None:
        return cluster
    from ..preparation.workers import InProcess, Processes

    wanted = min(len(os.sched_getaffinity(0)), count // _WORTH_A_PROCESS) if jobs is None else jobs
    return Processes(wanted) if wanted > 1 else nullcontext(InProcess())


def _key_holder(context: Context, out: Path | None) -> Path | None:
    """The key agent or key store that a batch is made with; what a killed run left is cleared."""
    from ..preparation.leftovers import clear_unfinished

    if out is not None:
        context.take_configured_keys()
    holder = context.agent or context.keys
    if holder is not None and out is not None:
        if context.agent is None:
            context.key_file()
        for found in clear_unfinished(out):
            say(found)
    return holder


def _shares(
    context: Context, issuer: "Issuer", sites: Sequence[str], count: int
) -> "Sequence[Share]":
    """The shares of --site, each with the offer of its site, and the rest of the records."""
    from ..preparation.sites import parse_share, read_offer, shares_of

    if not sites:
        return ()
    known = context.trust().with_own(issuer.preparation_certificate)
    wanted = [parse_share(each) for each in sites]
    offers = [(read_offer(path, known), first, last) for path, first, last in wanted]
    return shares_of(offers, count)


def _say_continued(cut: dict[Path, str], batch_id: str) -> None:
    """Say of each batch that was cut whether it is the new one now."""
    for place, cut_id in cut.items():
        if cut_id == batch_id:
            say(f"Continued {place}: its records are the same")
        else:
            say(f"Removed {place}: it was of another list or other settings. This batch is new")


def _check_options(context: Context, out: Path | None) -> None:
    """Raise UsageError for an option that has no effect with --check."""
    given = {
        "--keys": context.keys,
        "--out": out,
        "--passphrase-file": context.passphrase_file,
    }
    for name in (name for name, value in given.items() if value is not None):
        raise click.UsageError(f"{name} has no effect with --check: leave out one of them")


def _say_good(
    context: Context, source: Path, residents: "ResidentList", changed: dict[str, object]
) -> int:
    """Say that a list that was only checked has no errors."""
    count = len(residents.rows)
    if context.as_json:
        return context.answer({"residents": count, **changed, "faults": []})
    print_line(f"{source}: {count} resident{'' if count == 1 else 's'}, no errors")
    return Exit.GOOD


def _say_next(context: Context, batch: Path, issuer: "Issuer") -> None:
    """The two ways to issue: software cards use up a batch as real cards do.

    An agent with keys of your own makes no blanks, and with custodians it is no trial.
    """
    from cardlib.issuance.agent_issuer import AgentIssuer

    if isinstance(issuer, AgentIssuer) and not issuer.is_test:
        trial = ("--trial",) if issuer.is_of_one_person else ()
        context.suggest("issue", batch, "--reader", 0, *trial, keys=False)
        return
    reader = ("--reader", 0, "--trial")
    context.suggest("issue", batch, *reader, keys=False, when="for a trial in a reader")
    software = ("--cards", "cards", "--make-blanks")
    context.suggest("issue", batch, *software, keys=False, when="for a trial with software cards")


def _only_checked(context: Context, out: Path | None) -> str:
    """Why a list was only checked."""
    keys = context.keys or context.configuration.key_holder().value
    missing = [name for name, value in (("--keys", keys), ("--out", out)) if value is None]
    are = "is" if len(missing) == 1 else "are"
    return f"It was only checked, because {' and '.join(missing)} {are} missing."


def _read(
    context: Context,
    source: Path,
    encoding: str,
    sheet: str | None,
    code_map: "CodeMap | None",
) -> "tuple[ResidentList, str]":
    """The list, with the defaults of the configuration, and the file where those stand."""
    from ..listing.resident_list import read_list
    from .config_check import list_defaults

    defaults, where = list_defaults(context.configuration)
    named: Encoding = "gb18030" if encoding == "gb18030" else "utf-8"
    residents = read_list(source, named, code_map, defaults, sheet)
    _check_file_options(source, residents, sheet)
    if residents.why_no_city:
        say(f"{residents.why_no_city}. The default stands in {where}.")
    return residents, where


def _check_file_options(source: Path, residents: "ResidentList", sheet: str | None) -> None:
    """Raise UsageError for an option that has no effect on this kind of file."""
    from ..listing.fault_codes import FaultCode

    encoding = click.get_current_context().get_parameter_source("encoding")
    packed = "a workbook" if residents.is_workbook else "a Parquet file"
    if encoding is ParameterSource.COMMANDLINE and (residents.is_workbook or residents.is_parquet):
        raise click.UsageError(f"--encoding has no effect: {source} is {packed}")
    is_text = all(fault.code is not FaultCode.NOT_A_LIST for fault in residents.faults)
    if sheet is not None and not residents.is_workbook and is_text:
        raise click.UsageError(f"--sheet has no effect: {source} is no Excel workbook")


def _checked(
    residents: "ResidentList", photos: "PhotoShop", issue_date: date, workers: "Workers"
) -> "CheckedList":
    """Check each resident; shows a progress bar."""
    from ..preparation.many_residents import check_list

    with progress("Checking") as advance:
        count = len(residents.rows)
        return check_list(residents, photos, issue_date, workers, lambda done: advance(done, count))


def _filled_in_json(residents: "ResidentList", source: str) -> dict[str, object]:
    if not residents.filled:
        return {}
    return {"defaults": [asdict(each) for each in residents.filled], "defaults_from": source}


def _mapped_in_json(residents: "ResidentList", code_map: "CodeMap | None") -> dict[str, object]:
    if code_map is None:
        return {}
    rows = [
        {"column": each.column, "from": own, "to": code, "count": count}
        for each in residents.mapped
        for (own, code), count in sorted(each.counts.items())
    ]
    return {"map_sha256": code_map.sha256, "mapped": rows}
