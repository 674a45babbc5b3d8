"""The pages that are made from the code say what the code says today."""

from pathlib import Path

import pytest

from cardlib.layout import FILES

from . import (
    agent_page,
    card_page,
    cli_page,
    configuration_page,
    exits_page,
    fault_codes_page,
    operators_page,
    register_page,
    token_page,
    troubles,
)
from .generated import with_part

MODULES = (
    agent_page,
    cli_page,
    card_page,
    configuration_page,
    exits_page,
    fault_codes_page,
    operators_page,
    register_page,
    token_page,
    troubles,
)
PARTS = [
    pytest.param(module.PAGE, name, part, id=f"{module.PAGE.name}-{name}")
    for module in MODULES
    for name, part in module.PARTS.items()
]


@pytest.mark.parametrize(("page", "name", "part"), PARTS)
def test_a_generated_part_is_up_to_date(page: Path, name: str, part: "object") -> None:
    assert callable(part)
    text = page.read_text("utf-8")
    assert with_part(text, name, part()) == text, "python -m tests.docs.generated --write"


def test_every_field_that_is_shown_has_a_label_in_both_languages() -> None:
    fields = [field for file in FILES for field in file.fields]
    assert all(field.label_en and field.label_zh for field in fields)
