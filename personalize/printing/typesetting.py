"""From a template and its data to a PDF, by typst. This is the one module that imports it for that.

The data go into the template as JSON and are shown as text: none of them is read as markup.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cardlib.errors import FormatError

from .print_faults import PrintingUnavailable
from .typefaces import Typefaces, missing_packages

_STANDARD: Final = "a-2u"
"""PDF/A-2u (ISO 19005-2): fonts are in the file, and each glyph has its character. typst then
refuses a glyph that is missing, so one that we overlooked is no box either."""
_NO_GLYPH = "could not be displayed with font"


def typeset(template: str, data: Mapping[str, object], typefaces: Typefaces) -> bytes:
    """Fill a template of this folder, and give the PDF.

    PrintingUnavailable when typst is not installed, or when the fonts lack a character of the
    template. FormatError when typst refuses the data.
    """
    try:
        import typst
    except ImportError:
        raise missing_packages() from None
    source = Path(__file__).with_name(template).read_bytes()
    fonts = typst.Fonts(
        include_system_fonts=False,
        include_embedded_fonts=False,
        font_paths=[str(typefaces.folder)],
    )
    everything = {**data, "families": typefaces.families}
    try:
        return typst.compile(
            source,
            font_paths=fonts,
            ignore_system_fonts=True,
            sys_inputs={"data": json.dumps(everything, ensure_ascii=False)},
            pdf_standards=_STANDARD,
            pdf_tags=False,
        )
    except typst.TypstError as error:
        # Its message may hold a text of the data, which must not be shown.
        if _NO_GLYPH in error.message:
            raise PrintingUnavailable(
                f"{', '.join(typefaces.families)} lacks characters of the form itself: install Noto"
                " Sans CJK (Debian: apt-get install fonts-noto-cjk), or give --font FILE with a"
                " font for Chinese"
            ) from None
        raise FormatError(f"{template}: typst could not make the PDF") from None
