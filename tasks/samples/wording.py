"""How figures and the user's own words are written: rounded, and harmless."""

import re
import unicodedata

_BOUNDED = {"accuracy", "balanced_accuracy", "macro_f1", "mcc", "r2"}
_KEPT_CONTROLS = "\n\t"
_BLANKS = re.compile(r"\s+")


def number(value: float | None, metric: str = "") -> str:
    """Write a figure: three decimals where it is bounded by one, four significant digits else.

    >>> number(0.93456, "accuracy"), number(2.5, "rmse"), number(12345.6), number(None)
    ('0.935', '2.500', '12,346', 'undefined')
    """
    if value is None:
        return "undefined"
    if metric in _BOUNDED:
        return f"{value:.3f}"
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:#.4g}".removesuffix(".")


def percent(value: float) -> str:
    """Write a part as percent, with one decimal.

    >>> percent(0.9345)
    '93.5 %'
    """
    return f"{100 * value:.1f} %"


def level(confidence: float) -> str:
    """Write a confidence.

    >>> level(0.95), level(0.995)
    ('95 %', '99.5 %')
    """
    return f"{100 * confidence:g} %"


def harmless(text: str) -> str:
    r"""Take out what a reader does not see but a page or a terminal obeys.

    Control characters, and the marks that turn the direction of writing, go; unpaired surrogates,
    which cannot be written at all, become question marks.

    >>> harmless("a\x1b[31mb\u202ec")
    'a[31mbc'
    """
    kept = (c for c in text if c in _KEPT_CONTROLS or not (_controls(c) or _turns(c)))
    return "".join(kept).encode("utf-8", "replace").decode("utf-8")


def _controls(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def _turns(character: str) -> bool:
    code = ord(character)
    return 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 or code in (0x200E, 0x200F, 0x061C)


def short(text: str, most: int = 40) -> str:
    r"""Write a label on one line and cut it where it is long.

    >>> short("a  long\nlabel", most=8)
    'a long …'
    """
    line = _BLANKS.sub(" ", harmless(text)).strip()
    return line if len(line) <= most else line[: most - 1] + "…"


def squeezed(label: str, most: int) -> str:
    """Cut a label in its middle, since labels that start alike often differ at their end.

    >>> squeezed("class number 017", most=10)
    'class …017'
    """
    line = short(label, len(label) + 1)
    if len(line) <= most:
        return line
    tail = max(1, most // 3)
    return f"{line[: most - 1 - tail]}…{line[-tail:]}"
