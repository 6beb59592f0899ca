"""params.yaml as frozen typed sections, one module for each stage that reads one."""

from tasks.params.load import load_params
from tasks.params.pipeline import Params

__all__ = ["Params", "load_params"]
