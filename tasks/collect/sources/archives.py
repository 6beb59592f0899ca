"""Archives where a plain file or a folder is expected: named as what they are, never unpacked."""

from pathlib import Path

_MAGIC = {
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
}
_TAR_ENDINGS = (".tar", ".tgz", ".tar.gz", ".tar.zst")
_ZIPPED_FORMATS = (".xlsx", ".xlsm")


def archive_in(path: Path, kind: str) -> str:
    """Say which archive a source is that cannot be read as one; "" where it is none.

    Args:
        path: Where the source is.
        kind: Its kind; one of kind ``webdataset`` is a tar.
    """
    if not path.is_file() or path.suffix.lower() in _ZIPPED_FORMATS:
        return ""
    with path.open("rb") as file:
        head = file.read(262)
    named = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
    tar = head[257:262] == b"ustar" or path.name.lower().endswith(_TAR_ENDINGS)
    return named or ("a tar archive" if tar and kind != "webdataset" else "")
