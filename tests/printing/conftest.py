"""Fonts for what is printed, opened once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from personalize.printing.typefaces import Typefaces, opened_typefaces
from tests.printing.made_fonts import font_of


@pytest.fixture(scope="session")
def typefaces() -> Iterator[Typefaces]:
    """Noto Sans CJK, as it is installed."""
    with opened_typefaces() as found:
        yield found


@pytest.fixture(scope="session")
def rare_font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A font that has only U+2A6D6, which Noto Sans CJK lacks."""
    return font_of(tmp_path_factory.mktemp("fonts") / "rare.ttf", "Rare", "\U0002a6d6")
