"""Find texts that are odd: garbled, meaning "nothing", with commands, secrets or people in them.

Arrow looks for candidates with one regular expression a batch, which costs little; only those are
looked at one by one. What is found in a text is named, but never repeated where it may be secret.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.samples.wording import short

NULL_LIKE = ("na", "n/a", "#n/a", "nan", "null", "none", "nil", "<na>", "-", "--", "?", "missing")
_LONGEST_NULL_BYTES = 16

_LEADS = "[\u00c2-\u00f4\u0420\u0421\u221a]"
"""UTF-8 bytes that open a character, read as another encoding: cp1252, cp1251, Mac Roman."""

_CONTINUES = (
    "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u0401-\u040f"
    "\u0451-\u045f\u0490\u0491\u2013-\u203a\u20ac\u2116\u2122\u00c0-\u00ff\u2202-\u25ca\ufb01\ufb02]"
)
_MOJIBAKE = _LEADS + _CONTINUES

_CONTROLS = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F\x{80}-\x{9F}]"
_HIDDEN = r"[\x{200B}\x{2060}\x{FEFF}]"
_TURNING = r"[\x{202A}-\x{202E}\x{2066}-\x{2069}]"
_STACKED = r"\p{M}{5,}"
_REPLACED = r"\x{FFFD}"
_REMOVED = f"{_CONTROLS}|{_HIDDEN}|{_TURNING}"
_ODD = f"{_REMOVED}|{_STACKED}|{_REPLACED}"
_ODD_KINDS = {
    "control characters": _CONTROLS,
    "characters of no width": _HIDDEN,
    "marks that turn the direction of writing": _TURNING,
    "accents stacked five high or more": _STACKED,
    "the mark for bytes that could not be read": _REPLACED,
}

_SPECIAL = (
    r"<\|[A-Za-z_]{2,30}\|>|\[(?:SEP|CLS|MASK|PAD|UNK|BOS|EOS|INST|/INST)\]|</?s>"
    r"|<(?:pad|unk|mask|bos|eos|image|audio|video|start_of_turn|end_of_turn)>"
)
_SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----",
    "an access key": (
        r"\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
        r"|\bsk-[A-Za-z0-9_-]{20,}|\bAIza[0-9A-Za-z_-]{35}"
    ),
    "a signed token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}",
    "a password": r"(?i:\bpassword|\bpasswd|\bpwd)\s?[:=]\s?[^\s,;]{6,}",
}
_PEOPLE = {
    "an e-mail address": r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}\.[A-Za-z]{2,}",
    "a telephone number": r"\+[0-9][0-9 ()/-]{7,18}[0-9]",
    "a card number": r"\b[0-9](?:[ -]?[0-9]){12,18}\b",
    "a bank account": r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
}
_CANDIDATES = "|".join([_SPECIAL, *_SECRETS.values(), *_PEOPLE.values()])


class OddText(NamedTuple):
    """Something odd about one text.

    Attributes:
        place: Of the text in its column.
        check: What it is called.
        detail: The same in words.
    """

    place: int
    check: str
    detail: str


def odd_texts(column: pa.Array, checks: Iterable[str]) -> Iterator[OddText]:
    """Yield what is odd about the texts of a column, for the checks that are asked for."""
    wanted = set(checks)
    if "null_like" in wanted:
        for place in places_of(null_like(column)):
            yield OddText(place, "null_like", f"{column[place].as_py()!r} often means no value")
    if "odd_characters" in wanted:
        for place in places_of(_matching(column, _ODD)):
            yield OddText(place, "odd_characters", _odd_kinds(column[place].as_py()))
    if "mojibake" in wanted:
        for place, meant in ungarbled(column):
            yield OddText(place, "mojibake", f"probably means {short(meant, 60)!r}")
    if wanted & {"special_token", "secret", "personal_data"}:
        for place in places_of(_matching(column, _CANDIDATES)):
            for check, detail in _named(column[place].as_py()):
                if check in wanted:
                    yield OddText(place, check, detail)


def null_like(column: pa.Array) -> pa.Array:
    """Tell which texts are a word for "no value"; null where there is no text.

    >>> null_like(pa.array(["N/A", "banana", None])).to_pylist()
    [True, False, None]
    """
    brief = pc.less_equal(pc.binary_length(column), _LONGEST_NULL_BYTES)
    if not pc.any(brief).as_py():
        return brief
    bare = pc.utf8_lower(pc.utf8_trim_whitespace(pc.if_else(brief, column, "")))
    found = pc.is_in(bare, pa.array(NULL_LIKE))
    return pc.if_else(pc.is_valid(column), found, pa.scalar(None, pa.bool_()))


def ungarbled(column: pa.Array) -> Iterator[tuple[int, str]]:
    """Yield the place of each text that was decoded wrongly, and what it probably means.

    >>> list(ungarbled(pa.array(["caf\u00c3\u00a9", "caf\u00e9"])))
    [(0, 'café')]
    """
    candidates = places_of(_matching(column, _MOJIBAKE))
    if not candidates:
        return
    from ftfy import fix_encoding

    for place in candidates:
        text = column[place].as_py()
        meant = fix_encoding(text)
        if meant != text:
            yield place, meant


def without_odd_characters(column: pa.Array) -> pa.Array:
    """Return texts without control characters, hidden ones and marks that turn the writing.

    Stacked accents and the mark for unreadable bytes stay, since nothing says what was meant.
    """
    if not places_of(_matching(column, _REMOVED)):
        return column
    return pc.replace_substring_regex(column, _REMOVED, "")


def places_of(mask: pa.Array) -> list[int]:
    """Return where a mask is true; null counts as false."""
    places: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return places


def _matching(column: pa.Array, pattern: str) -> pa.Array:
    return pc.match_substring_regex(column, pattern)


def _odd_kinds(text: str) -> str:
    alone = pa.array([text])
    return ", ".join(
        kind for kind, pattern in _ODD_KINDS.items() if places_of(_matching(alone, pattern))
    )


_SPECIAL_TOKEN = re.compile(_SPECIAL)
_SECRET_KINDS = {kind: re.compile(pattern) for kind, pattern in _SECRETS.items()}
_PEOPLE_KINDS = {kind: re.compile(pattern) for kind, pattern in _PEOPLE.items()}


def _named(text: str) -> Iterator[tuple[str, str]]:
    """Yield (check, detail) for a text that may hold control tokens, secrets or personal data."""
    if found := _SPECIAL_TOKEN.search(text):
        yield "special_token", f"{found[0]!r} may be read as a command to a model"
    if kinds := [kind for kind, pattern in _SECRET_KINDS.items() if pattern.search(text)]:
        yield "secret", f"looks like {' and '.join(kinds)}"
    people = [
        kind
        for kind, pattern in _PEOPLE_KINDS.items()
        if any(_IS_VALID.get(kind, bool)(match[0]) for match in pattern.finditer(text))
    ]
    if people:
        yield "personal_data", f"looks like {' and '.join(people)}"


def is_card_number(text: str) -> bool:
    """Tell whether the last digit checks the others, as in the number of a payment card.

    Source:
        The Luhn algorithm, ISO/IEC 7812-1 annex B.

    >>> is_card_number("4111 1111 1111 1111"), is_card_number("4111 1111 1111 1112")
    (True, False)
    """
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def is_bank_account(text: str) -> bool:
    """Tell whether the two check digits of an international account number (IBAN) are right.

    Source:
        ISO 13616-1, check digits by ISO/IEC 7064 (modulo 97).

    >>> is_bank_account("GB82 WEST 1234 5698 7654 32"), is_bank_account("GB00 WEST 1234 5698")
    (True, False)
    """
    bare = text.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1


_IS_VALID = {"a card number": is_card_number, "a bank account": is_bank_account}
