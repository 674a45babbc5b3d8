"""Messages a second under SCP03, version 1 and version 2, beside yubikit and bare cryptography."""

import sys
from collections.abc import Sequence

from benchmarks import scp03_arrangements as scp03
from benchmarks import version2_arrangements as version2
from benchmarks.rates import rates
from benchmarks.report import Bar, arguments, report
from benchmarks.scp03_arrangements import Call
from cardlib.crypto import Cipher

SIZES = (16, 239)
EMERGENCY_APDUS = 6
"""Commands of an emergency read, from SELECT DDF1 to READ RECORD (card specification 5)."""


def measure_scp03() -> tuple[dict[str, float], list[Bar]]:
    """SCP03 wrap and unwrap at 16 and 239 bytes, session set-up."""
    figures: dict[str, float] = {}
    bars: list[Bar] = []

    def compare(what: str, candidates: dict[str, Call], promised: dict[str, float]) -> None:
        found = rates(candidates)
        figures.update({f"{what}, {who}": found.median(who) for who in candidates})
        for floor, bar in promised.items():
            bars.append(Bar.at_least(f"{what} / {floor}", found.ratio("ours", floor), bar))

    for size in SIZES:
        data = bytes(range(size))
        wraps = {
            "ours": scp03.our_wrap(data),
            "yubikit": scp03.yubikit_wrap(data),
            "bare": scp03.bare_wrap(data),
        }
        compare(f"scp03 wrap {size} B", wraps, {"yubikit": 8, "bare": 0.70})
        unwraps = {"ours": scp03.our_unwrap(data), "yubikit": scp03.yubikit_unwrap(data)}
        compare(f"scp03 unwrap {size} B", unwraps, {"yubikit": 6})
    set_ups = {"ours": scp03.our_set_up(), "yubikit": scp03.yubikit_set_up()}
    compare("scp03 set-up", set_ups, {"yubikit": 2.5})
    return figures, bars


def measure_version_2() -> tuple[dict[str, float], list[Bar]]:
    """A protected READ BINARY of 223 bytes, a version-1 update, what an emergency read takes."""
    figures: dict[str, float] = {}
    bars: list[Bar] = []
    for cipher, bar in ((Cipher.AES, 1.7), (Cipher.SM4, 1.4)):
        what = f"v2 read 223 B {cipher.name}"
        found = rates(
            {
                "kept": version2.kept(cipher),
                "rebuilt": version2.rebuilt(cipher),
                "crypto": version2.crypto_only(cipher),
                "v1": version2.version_1_update(cipher),
            }
        )
        figures[f"{what}, ours"] = found.median("kept")
        figures[f"{what}, rebuilt"] = found.median("rebuilt")
        figures[f"{what}, share of crypto"] = found.ratio("kept", "crypto")
        figures[f"v1 update 20 B {cipher.name}, ours"] = found.median("v1")
        bars.append(Bar.at_least(f"{what} / rebuilt", found.ratio("kept", "rebuilt"), bar))
    for protocol in (1, 2):
        emergency = version2.emergency_read(protocol)
        figures[f"v{protocol} emergency read, bytes"] = emergency.bytes_both_ways
        figures[f"v{protocol} emergency read, card ms"] = emergency.card_ms
        name = f"emergency_apdus_v{protocol}"
        bars.append(Bar.at_most(name, emergency.commands, EMERGENCY_APDUS))
    return figures, bars


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and say by the exit code whether every bar is met."""
    options = arguments(__doc__).parse_args(argv)
    figures, bars = measure_scp03()
    more_figures, more_bars = measure_version_2()
    return report(figures | more_figures, bars + more_bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
