"""The file that MLflow keeps with a model and runs to load it, so that nothing is pickled."""

from mlflow.models import set_model

from tasks.tracking.served_model import ServedModel

set_model(ServedModel())
