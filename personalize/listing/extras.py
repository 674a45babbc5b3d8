"""Packages that are not always installed: the extras of this program."""

from cardlib.errors import CardError


class ExtraMissing(CardError):
    """A package is missing that only some need. The message says how to install it."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs the package {package}: run pip install 'rhcard[{extra}]'")
