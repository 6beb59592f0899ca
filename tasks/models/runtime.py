"""The device, the number of threads and the seeds: what makes two runs give the same bytes."""

import logging
import os
import random

import numpy as np
import torch

from tasks.errors import TrainingError

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def choose_device(wanted: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` means here.

    Raises:
        TrainingError: ``cuda`` is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError("finetune.device is cuda, but torch sees no CUDA device; use auto")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def fix_randomness(seed: int, cpu_threads: int) -> None:
    """Seed every generator, and fix the threads: sums in another order are other sums."""
    random.seed(seed)
    np.random.seed(seed)  # libraries draw from the global generator
    torch.manual_seed(seed)
    torch.set_num_threads(cpu_threads)


def quiet_libraries() -> None:
    """Keep the libraries' own chatter out of the log; their warnings still come through."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("accelerate").setLevel(logging.WARNING)
