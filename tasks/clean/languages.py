"""Tell which language a text is in; needs the extra ``language``."""

import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import ParamsError, nearest

MIN_CHARACTERS = 20
MAX_CHARACTERS = 1000
MIN_CERTAINTY = 0.9


def require_languages(languages: Sequence[str]) -> None:
    """Check that texts can be told apart by language, and that the languages exist.

    Raises:
        ParamsError: The extra is not installed, or a language is not known.
    """
    if not languages:
        return
    if importlib.util.find_spec("py3langid") is None:
        raise ParamsError(
            [
                "clean.languages: telling languages apart needs the package py3langid, which is "
                "not installed; run `pip install 'fuseline[language]'` or leave languages empty"
            ]
        )
    known = {str(code) for code in _identifier().nb_classes}
    faults = [
        f"clean.languages: no language has the code '{code}'; write codes such as 'en' or 'de'."
        f"{nearest(code, known)}"
        for code in languages
        if code not in known
    ]
    if faults:
        raise ParamsError(faults)


def in_other_languages(column: pa.Array, languages: Sequence[str]) -> list[tuple[int, str, float]]:
    """Return texts that are in another language than those expected, as far as that is certain.

    Args:
        column: Texts; those under 20 characters are too short to tell.
        languages: Two-letter codes.

    Returns:
        Place, language found and how certain that is, from 0.9 to 1.
    """
    long_enough = pc.greater_equal(pc.utf8_length(column), MIN_CHARACTERS)
    places = pc.indices_nonzero(pc.fill_null(long_enough, False)).to_pylist()
    texts = column.take(pa.array(places, pa.int64())).to_pylist()
    told = {text: _identifier().classify(text[:MAX_CHARACTERS]) for text in set(texts)}
    return [
        (place, language, float(certainty))
        for place, text in zip(places, texts, strict=True)
        for language, certainty in [told[text]]
        if language not in languages and certainty >= MIN_CERTAINTY
    ]


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
