"""What near_duplicates.py runs in the peers' own environment: it imports nothing of this project.

    python near_duplicates_peers.py images FOLDER | texts FILE

prints JSON: codes as hexadecimal text and seconds for each hash of images, or the pairs that
datasketch finds and its seconds.
"""

import json
import sys
import time
import types
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path


def main() -> None:
    what, place = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(images(place) if what == "images" else texts(place)))


def images(folder: Path) -> dict:
    """Hash all images of a folder with imagehash and with imagededup's own code."""
    import imagehash
    from PIL import Image

    # imagededup imports torchvision for its networks, which its hashes do not use.
    for name, member in (("utils.models", "CustomModel"), ("methods.cnn", "CNN")):
        module = types.ModuleType(f"imagededup.{name}")
        setattr(module, member, None)
        sys.modules[module.__name__] = module
    import logging

    from imagededup.methods import DHash, PHash

    logging.disable(logging.INFO)
    hashers: dict[str, Callable[[str], str]] = {
        "imagehash phash": lambda path: str(imagehash.phash(Image.open(path))),
        "imagehash dhash": lambda path: str(imagehash.dhash(Image.open(path))),
        "imagededup PHash": PHash(verbose=False).encode_image,
        "imagededup DHash": DHash(verbose=False).encode_image,
    }
    paths = sorted(str(path) for path in folder.iterdir())
    found = {}
    for name, hasher in hashers.items():
        started = time.process_time()
        found[name] = {
            "codes": [hasher(path) for path in paths],
            "seconds": time.process_time() - started,
        }
    return found


def texts(file: Path) -> dict:
    """Find near duplicates of similarity 0.8 or more with datasketch's MinHash and LSH."""
    from datasketch import MinHash, MinHashLSH

    documents = file.read_text().split("\n")
    started = time.process_time()
    index = MinHashLSH(threshold=0.8, num_perm=128)
    pairs = []
    for place, document in enumerate(documents):
        words = " ".join(document.lower().split()).split(" ")
        sketch = MinHash(num_perm=128)
        sketch.update_batch(
            [word.encode() for word in {*words, *(f"{a} {b}" for a, b in pairwise(words))}]
        )
        pairs += [(int(other), place) for other in index.query(sketch)]
        index.insert(str(place), sketch)
    return {"pairs": pairs, "seconds": time.process_time() - started}


if __name__ == "__main__":
    main()
