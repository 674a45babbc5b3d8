"""The commands of rhcard batch for sites: offers, transfers, certificates, destroyed keys."""

from pathlib import Path
from uuid import UUID

import click

from cardlib.errors import CardKeyError, file_error
from cardlib.unfinished import write_new

from .context import Context
from .exits import Exit
from .options import (
    NewPath,
    batch_argument,
    batch_keys_option,
    configured_keys_option,
    json_option,
    passphrase_option,
    trusted_option,
)
from .output import print_line, say

_NO_PURGE = (
    "only a key agent can destroy the keys of a batch, and none is configured. With a key store,"
    " whoever has a copy of it and of the batch can open the batch for ever: remove both"
)


@click.command()
@click.option("--site", required=True, metavar="NAME", help="The name of this site.")
@click.option("--out", required=True, type=NewPath(), metavar="FILE", help="The new offer.")
@configured_keys_option
@passphrase_option
@json_option
@click.pass_obj
def offer(context: Context, *, site: str, out: Path) -> int:
    """Offer a key of this site, for records of one batch.

    The offer is a public key, signed. Send the file to those who prepare the batch, or who transfer
    records to this site. The private key stays at the key agent, or beside the key store.

    \b
    Examples:
      rhcard batch offer --site north --out north.offer --keys keys.json
    """
    if not 1 <= len(site) <= _LONGEST_SITE or not site.isprintable():
        raise click.BadParameter(f"a name has 1 to {_LONGEST_SITE} characters", param_hint="--site")
    context.take_configured_keys()
    issuer, _ = context.issuer()
    _write(out, issuer.offer_site_key(site))
    if context.as_json:
        return context.answer({"offer": str(out), "site": site})
    print_line(f"{out}: an offer of site {site}, for one batch")
    return Exit.GOOD


_LONGEST_SITE = 64


@click.command()
@click.option("--out", required=True, type=NewPath(), metavar="FILE", help="The new PEM file.")
@configured_keys_option
@passphrase_option
@json_option
@click.pass_obj
def certificate(context: Context, *, out: Path) -> int:
    """Write the certificate of those who prepare batches.

    Sites with other keys put it into their folder of --trusted. It has no secret.

    \b
    Examples:
      rhcard batch certificate --keys keys.json --out preparation.pem
    """
    from asn1crypto import pem

    from cardlib.pki.self_issued import parsed

    context.take_configured_keys()
    issuer, _ = context.issuer()
    found = parsed(issuer.preparation_certificate)
    _write(out, pem.armor("CERTIFICATE", found.der))
    if context.as_json:
        ends = found.ends.isoformat()
        return context.answer({"certificate": str(out), "name": found.name, "valid_to": ends})
    print_line(f"{out}: {found.name}, valid to {found.ends:%Y-%m-%d}")
    return Exit.GOOD


@click.command()
@batch_argument
@click.argument(
    "offer_file", metavar="OFFER", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option(
    "--records", required=True, metavar="FIRST-LAST", help="The records that the other site gets."
)
@batch_keys_option
@trusted_option
@passphrase_option
@json_option
@click.pass_obj
def transfer(context: Context, folder: Path, *, offer_file: Path, records: str) -> int:
    """Give records of a batch to another site.

    The signed transfer is written into the folder of the batch. Send that file to the other site,
    which puts it into its own copy of the batch. From then on the key agent of this site opens none
    of these records. With a key store it is the file in the folder alone that keeps them here.

    \b
    Examples:
      rhcard batch transfer batch south.offer --records 2-3 --keys keys.json
    """
    from cardlib.keys.issuer import Share

    from ..preparation.batch_signature import read_manifest
    from ..preparation.batch_transfers import NoRegister, read_transfers, transfer_records
    from ..preparation.sites import parse_share, read_offer

    _, first, last = parse_share(f"{offer_file}:{records}")
    _, issuer, _ = context.batch(folder)
    known = context.trust().with_own(issuer.preparation_certificate)
    site = read_offer(offer_file, known)
    manifest, _ = read_manifest(folder)
    taken = read_transfers(folder, manifest, known.check)
    share = Share(site.site, first, last, site)
    path = transfer_records(folder, manifest, taken, issuer, share, NoRegister())
    if context.as_json:
        members = {"site": site.site, "first": first, "last": last}
        return context.answer({"transfer": str(path), **members})
    print_line(f"{path}: records {first} to {last} are for site {site.site} now")
    say(f"Send {path.name} to that site. No card of these records is made here any more.")
    return Exit.GOOD


@click.command()
@batch_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def purge(context: Context, folder: Path, *, yes: bool) -> int:
    """Destroy the keys that open a batch, in the key agent. This cannot be undone.

    No copy of the batch can be opened any more: no card of it is made or verified, and no PIN of it
    is shown. The agent's log says that you did it. You must be a custodian in its policy.

    \b
    Examples:
      rhcard batch purge batch
    """
    from cardlib.keys.agent.agent_connection import AgentConnection

    from ..preparation.batch_signature import read_manifest
    from ..preparation.batch_transfers import read_transfers

    context.take_configured_keys()
    if context.agent is None:
        raise CardKeyError(_NO_PURGE)
    manifest, _ = read_manifest(folder)
    given = [each.to for each in read_transfers(folder, manifest, lambda _: None)]
    batch = UUID(manifest.header.batch_id)
    count = manifest.header.count
    if not yes:
        click.confirm(
            f"Destroy the keys of batch {batch} with {count} cards, for ever?", abort=True, err=True
        )
    named = [each.key_id.bytes for each in (*manifest.ranges, *given)]
    connection = AgentConnection(context.agent)
    found = connection.call("purge-batch", batch=batch.bytes, key_ids=named)
    if context.as_json:
        return context.answer({"batch": str(folder), "batch_id": str(batch), "keys": found["keys"]})
    print_line(f"{folder}: {found['keys']} keys destroyed; no copy of it opens here any more")
    return Exit.GOOD


def _write(path: Path, content: bytes) -> None:
    try:
        write_new(path, content)
    except OSError as error:
        raise file_error(CardKeyError, error, path) from None
