"""Sources of kind ``voc``: an XML file for each image, one record a box."""

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from tasks.collect.cells import BadCell
from tasks.collect.media_files import read_regular_file, resolve_inside
from tasks.collect.rows import Fault, Notes, RawRow, source_kinds
from tasks.collect.sources.boxes import Annotated, Box, box_rows
from tasks.errors import SourceError
from tasks.params.collect import AnySource, VocSource

MAX_XML_BYTES = 16 * 2**20
SETS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""The lists of ImageSets that are read, and what each is called."""

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@source_kinds.register("voc")
def read_voc(source: AnySource, root: Path, notes: Notes) -> Iterator[RawRow]:
    """Read the annotations in the order of their names.

    Raises:
        SourceError: A folder is missing, or holds no annotation.
    """
    assert isinstance(source, VocSource)
    base, real_root = root / source.path, Path(os.path.realpath(root))
    annotations = _folder(source, base, source.annotations, "annotations")
    images = _folder(source, base, source.images, "images")
    sets = _sets(base / "ImageSets")
    files = sorted(annotations.glob("*.xml"), key=lambda path: os.fsencode(path))
    if not files:
        raise SourceError(f"{annotations}: no rows; expected an .xml file for each image")
    for path in files:
        name = path.relative_to(root).as_posix()
        content = b""
        try:
            content = read_regular_file(resolve_inside(real_root, name), name, MAX_XML_BYTES)
            tree = _parsed(content)
        except BadCell as bad:
            yield RawRow(name, 0, (), content or name, Fault(bad.reason, bad.detail), name)
            continue
        parts = sets.get(path.stem, set())
        image = Annotated(
            path=_image_of(tree, path, images).relative_to(root).as_posix(),
            size=_size(tree),
            part=next(iter(parts), None),
            file=name,
        )
        torn = None
        if len(parts) > 1:
            torn = Fault("conflicting_set", f"the image is listed in {' and '.join(sorted(parts))}")
        boxes = [
            _box(item, number, image, torn) for number, item in enumerate(tree.iter("object"), 1)
        ]
        notes.counts["images without a box"] += not boxes
        yield from box_rows(source, real_root, image, boxes, notes)
    notes.counts = +notes.counts


def _folder(source: VocSource, base: Path, name: str, key: str) -> Path:
    folder = base / name
    if not folder.is_dir():
        raise SourceError(
            f"source '{source.name}': there is no folder {folder}; set `{key}` to where the "
            f"{key} are, relative to {source.path}"
        )
    return folder


def _parsed(content: bytes) -> ElementTree.Element:
    """Parse XML that declares nothing of its own: entities could read files, or grow for ever."""

    def refuse(*_: object) -> None:
        raise BadCell("unsafe_xml", "it has a DOCTYPE or entities, which annotations do not need")

    checker = expat.ParserCreate()
    checker.StartDoctypeDeclHandler = refuse
    checker.EntityDeclHandler = refuse
    try:
        checker.Parse(content, True)
        return ElementTree.fromstring(content)  # noqa: S314  (it was checked above)
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as fault:
        raise BadCell("bad_xml", f"not a whole XML file ({fault})") from None


def _text(item: ElementTree.Element, path: str) -> str:
    return (item.findtext(path) or "").strip()


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    """Return the size that the annotation states; tools that do not know it write zeros."""
    width, height = _text(tree, "size/width"), _text(tree, "size/height")
    stated = width.isdecimal() and height.isdecimal() and int(width) > 0 and int(height) > 0
    return (int(width), int(height)) if stated else None


def _image_of(tree: ElementTree.Element, path: Path, images: Path) -> Path:
    """Return the image of an annotation: the one it names, or else the one named like it."""
    named = images / Path(_text(tree, "filename") or f"{path.stem}.jpg").name
    beside = [images / f"{path.stem}{ending}" for ending in IMAGE_ENDINGS]
    return next((file for file in (named, *beside) if file.is_file()), named)


def _sets(folder: Path) -> dict[str, set[str]]:
    """Return the sets of each image; lists of one class, and of train and val, are not read."""
    found: dict[str, set[str]] = {}
    main = folder / "Main" if (folder / "Main").is_dir() else folder
    for path in sorted(main.glob("*.txt")):
        if path.stem in SETS:
            for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
                if words := line.split():
                    found.setdefault(words[0], set()).add(SETS[path.stem])
    return found


def _box(item: ElementTree.Element, number: int, image: Annotated, torn: Fault | None) -> Box:
    raw = ElementTree.tostring(item, encoding="unicode").strip()
    name = f"{image.path}#{number}"
    corners = [_text(item, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
    label = _text(item, "name")
    if torn or not all(corners) or not label:
        missing = Fault("missing_fields", "a box needs a name, xmin, ymin, xmax and ymax")
        return Box(number, name, raw, fault=torn or missing)
    left, top, right, bottom = corners
    return Box(
        number,
        name,
        raw,
        label,
        left,
        top,
        _difference(right, left),
        _difference(bottom, top),
        marked=_text(item, "difficult") == "1",
    )


def _difference(end: str, start: str) -> str:
    """Return how far apart two numbers are; what is no number stays, to be told of."""
    try:
        return repr(float(end) - float(start))
    except ValueError:
        return end
