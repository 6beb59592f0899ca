"""Whether there is something to collect; the embedded data set is written where it is wanted."""

from collections.abc import Callable
from pathlib import Path

from tasks.demo.manifest import FILE
from tasks.errors import SourceError
from tasks.params import Params
from tasks.params.collect import lies_elsewhere

DEMO_FOLDER = Path("data/raw/digits-qa")


def require_source(root: Path, params: Params, say: Callable[[str], object]) -> None:
    """See to it that there is something to collect.

    Where all sources are addresses or names of the hub, the folder is made, and stays empty: DVC
    wants every dependency to be there.

    Raises:
        SourceError: The folder of the sources does not exist.
    """
    folder = Path(params.collect.root)
    if folder == DEMO_FOLDER:
        write_demo_data(root, say)
    elif (root / folder).exists():
        return
    elif all(lies_elsewhere(source) for source in params.collect.sources):
        (root / folder).mkdir(parents=True)
        say(f"All sources lie elsewhere; made the empty folder {folder}, which DVC asks for")
    else:
        raise SourceError(
            f"params.yaml: collect.root: expected the folder of the sources, found no '{folder}'; "
            "put the data there, or name another folder"
        )


def write_demo_data(root: Path, say: Callable[[str], object]) -> None:
    """Write digits-qa unless it is there; it appears whole or not at all, its manifest with it."""
    if (root / DEMO_FOLDER / FILE).is_file():
        return
    from tasks.demo.digits_qa import ensure_digits_qa  # takes seconds to import

    if ensure_digits_qa(root / DEMO_FOLDER):
        say(f"The embedded data set digits-qa is now in {DEMO_FOLDER}")
