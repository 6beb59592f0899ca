"""What the augment stage hands on besides samples: lineage, weights, changes to batches."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from tasks.errors import DataError, listing
from tasks.params.augment import OnlinePolicy
from tasks.samples.schema import PARENT_ID, SAMPLE_ID, SPLIT, WEIGHT

ONLINE = "online.json"


def require_lineage(samples: pa.Table) -> None:
    """Fail where a copy, or what it was made of, is not in train: the model would be told.

    Raises:
        DataError: With the copies in question.
    """
    copies = samples.filter(pc.is_valid(samples[PARENT_ID]))
    in_train = samples.filter(pc.equal(samples[SPLIT], "train"))
    collected = in_train.filter(pc.is_null(in_train[PARENT_ID]))[SAMPLE_ID]
    sound = pc.and_(
        pc.equal(copies[SPLIT], "train"), pc.is_in(copies[PARENT_ID], collected.combine_chunks())
    )
    astray = copies.filter(pc.invert(sound))
    if astray.num_rows:
        raise DataError(
            f"{astray.num_rows:,} augmented copies are not of training samples "
            f"({listing(astray[SAMPLE_ID].to_pylist()[:4], most=3)}); validation and test must "
            "not be trained on: run `dvc repro --force augment`"
        )


def read_online_policy(folder: Path) -> OnlinePolicy:
    """Read what is to be done to training batches.

    Raises:
        DataError: The file is missing, or not what the augment stage writes.
    """
    path = folder / ONLINE
    if not path.is_file():
        raise DataError(f"{path}: missing; run `dvc repro --force augment`")
    try:
        return OnlinePolicy.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as fault:
        raise DataError(
            f"{path}: not what the augment stage writes ({fault.errors()[0]['msg']}); "
            "run `dvc repro --force augment`"
        ) from None


def sample_weights(samples: pa.Table) -> NDArray[np.float32] | None:
    """Return how much each sample counts in the training loss; None where all count alike.

    Raises:
        DataError: A training sample has no weight, or one that is no positive number.
    """
    if WEIGHT not in samples.column_names:
        return None
    weights = samples[WEIGHT].to_numpy()
    broken = np.asarray(pc.equal(samples[SPLIT], "train")) & ~(np.isfinite(weights) & (weights > 0))
    if broken.any():
        name = samples[SAMPLE_ID][int(broken.argmax())].as_py()
        raise DataError(
            f"{int(broken.sum()):,} training samples have no positive weight (first: '{name}'); "
            "run `dvc repro --force augment`"
        )
    return np.asarray(np.nan_to_num(weights, nan=1.0), dtype=np.float32)
