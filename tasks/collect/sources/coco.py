"""Sources of kind ``coco``: JSON files of images, boxes and categories, one record a box."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from tasks.collect.cells import BadCell
from tasks.collect.media_files import read_regular_file, resolve_inside
from tasks.collect.rows import Fault, Notes, RawRow, excerpt, source_kinds
from tasks.collect.sources.boxes import Annotated, Box, box_rows
from tasks.collect.sources.table_files import files_of
from tasks.errors import SourceError
from tasks.params.collect import AnySource, CocoSource

MAX_JSON_BYTES = 2**30
_IMAGE_KEYS = ("id", "file_name", "width", "height")
_BOX_KEYS = ("id", "image_id", "category_id", "bbox", "iscrowd")
_NEEDED = frozenset(("images", "annotations", "categories", "name", *_IMAGE_KEYS, *_BOX_KEYS))


@source_kinds.register("coco")
def read_coco(source: AnySource, root: Path, notes: Notes) -> Iterator[RawRow]:
    """Read the boxes image by image, in the order in which the images are listed.

    Raises:
        SourceError: A file is not JSON of this layout, or there is no box.
    """
    assert isinstance(source, CocoSource)
    files = files_of(root, source.path, ("json",), notes)
    n_boxes = 0
    for path in files:
        part = path.stem if len(files) > 1 else None
        for row in _file_rows(source, root, path, part, notes):
            n_boxes += 1
            yield row
    notes.counts = +notes.counts
    if n_boxes == 0:
        raise SourceError(f"{root / source.path}: no rows; expected a box at least")


def _file_rows(
    source: CocoSource, root: Path, path: Path, part: str | None, notes: Notes
) -> Iterator[RawRow]:
    file, real_root = path.relative_to(root).as_posix(), Path(os.path.realpath(root))
    told = _read(path, real_root, file)
    categories = {_key(c): str(c["name"]) for c in told["categories"] if "name" in c}
    images = _images(path, told["images"])
    boxes: dict[Any, list[Box]] = defaultdict(list)
    ids: set[Any] = set()
    for number, item in enumerate(told["annotations"], 1):
        box = _box(item, number, file, categories, images, ids)
        if box.fault and item.get("image_id") not in images:
            yield RawRow(file, number, (), box.raw, box.fault, box.name)
        else:
            boxes[item["image_id"]].append(box)
    for key, image in images.items():
        name = (PurePosixPath(source.images) / str(image["file_name"])).as_posix()
        annotated = Annotated(path=name, size=_size(image), part=part, file=file)
        notes.counts["images without a box"] += key not in boxes
        yield from box_rows(source, real_root, annotated, boxes.pop(key, []), notes)


def _read(path: Path, real_root: Path, file: str) -> dict[str, Any]:
    """Read a file without the outlines, which are most of it.

    Raises:
        SourceError: It is not JSON of this layout.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON value")

    try:
        content = read_regular_file(resolve_inside(real_root, file), file, MAX_JSON_BYTES)
        told = json.loads(content, object_hook=_lean, parse_constant=refuse)
    except BadCell as bad:
        raise SourceError(f"{path}: {bad.reason}: {bad.detail}") from None
    except (ValueError, RecursionError) as fault:
        raise SourceError(f"{path}: not readable as JSON ({fault}); write it again") from None
    lists = ("images", "annotations", "categories")
    wrong = not isinstance(told, dict) or not all(isinstance(told.get(k), list) for k in lists)
    if wrong or not all(isinstance(item, dict) for key in lists for item in told[key]):
        raise SourceError(
            f"{path}: expected COCO's layout, an object with the lists images, annotations and "
            "categories"
        )
    return dict(told)


def _lean(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key in _NEEDED}


def _key(item: dict[str, Any]) -> Any:
    """Return the id of an item; what cannot be one is None."""
    key = item.get("id")
    return key if isinstance(key, (int, str)) else None


def _images(path: Path, items: list[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for number, item in enumerate(items, 1):
        key = _key(item)
        if key is None or not isinstance(item.get("file_name"), str):
            raise SourceError(f"{path}: image {number} needs an id and a file_name")
        if key in found:
            raise SourceError(f"{path}: two images have the id {key}; give each an id of its own")
        found[key] = item
    return found


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    stated = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
    return (int(width), int(height)) if stated else None  # type: ignore[arg-type]


def _box(
    item: dict[str, Any],
    number: int,
    file: str,
    categories: dict[Any, str],
    images: dict[Any, dict[str, Any]],
    ids: set[Any],
) -> Box:
    raw = json.dumps(item, sort_keys=True)
    key = _key(item)
    name = f"{file}@{number}" if key is None else f"{file}#{key}"
    fault = _fault_of(item, key, categories, images, ids)
    if fault is not None:
        return Box(number, f"{name}@{number}", raw, fault=fault)
    ids.add(key)
    left, top, width, height = map(repr, item["bbox"])
    label = categories[item["category_id"]]
    return Box(number, name, raw, label, left, top, width, height, item.get("iscrowd") == 1)


def _fault_of(
    item: dict[str, Any],
    key: Any,
    categories: dict[Any, str],
    images: dict[Any, dict[str, Any]],
    ids: set[Any],
) -> Fault | None:
    image, category, corners = item.get("image_id"), item.get("category_id"), item.get("bbox")
    if not isinstance(image, (int, str)) or image not in images:
        return Fault("unknown_image", f"no image has the id {excerpt(str(image))}", "image")
    if not isinstance(category, (int, str)) or category not in categories:
        return Fault(
            "unknown_category", f"no category has the id {excerpt(str(category))}", "label"
        )
    if key is not None and key in ids:
        return Fault("conflicting_id", f"another box has the id {key}")
    numbers = isinstance(corners, list) and len(corners) == 4
    if not numbers or not all(type(n) in (int, float) for n in corners):  # type: ignore[union-attr]
        return Fault("missing_fields", f"bbox is {excerpt(str(corners))}, not four numbers", "x")
    return None
