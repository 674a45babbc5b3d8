"""`python -m apdu_scripts NAME|FILE ...` is `rhcard apdu run NAME|FILE ...`."""

import sys

from personalize.cli import main

if __name__ == "__main__":
    words = sys.argv[1:]
    main(["apdu", "list"] if words == ["--list"] else ["apdu", "run", *words])
