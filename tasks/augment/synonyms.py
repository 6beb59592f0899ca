"""The table of synonyms: from the settings, from a file, or from both."""

import csv
from collections.abc import Mapping
from pathlib import Path

from tasks.errors import ParamsError
from tasks.params.augment import AugmentParams, SynonymsFile
from tasks.samples.folders import sha256


def read_synonyms(params: AugmentParams, root: Path) -> Mapping[str, tuple[str, ...]]:
    """Return what may stand for each word; what the settings say goes before what a file says.

    Raises:
        ParamsError: The file is missing, is not what its digest says, or a row holds no synonym.
    """
    of_file = _read_file(params.synonyms_file, root) if params.synonyms_file else {}
    inline = {word.lower(): others for word, others in params.synonyms.items() if others}
    return {**of_file, **inline}


def _read_file(file: SynonymsFile, root: Path) -> dict[str, tuple[str, ...]]:
    path = root / file.path
    place = "augment.synonyms_file"
    if not path.is_file():
        raise ParamsError([f"{place}: expected a CSV file, found nothing at '{file.path}'"])
    found = sha256(path)
    if found != file.sha256:
        raise ParamsError(
            [
                f"{place}.sha256: '{file.path}' has the digest {found}, not {file.sha256}; "
                "write the new digest if the change is meant"
            ]
        )
    table: dict[str, tuple[str, ...]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            for number, row in enumerate(csv.reader(text), start=1):
                cells = [cell.strip() for cell in row if cell.strip()]
                if len(cells) == 1:
                    raise ParamsError(
                        [f"{file.path}:{number}: expected a word and its synonyms, found one word"]
                    )
                if cells:
                    word = cells[0].lower()
                    table[word] = (*table.get(word, ()), *cells[1:])
    except UnicodeDecodeError as fault:
        raise ParamsError([f"{file.path}: expected UTF-8 ({fault}); convert the file"]) from None
    return table
