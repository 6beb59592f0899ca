"""Evaluate: measure the model on validation and test, with intervals and floors, and report it.

Reads   data/augment/samples.parquet   the samples with their splits
        data/collect/media             images and recordings
        data/finetune                  the model, training.json, history.csv
        reports/*.json                 what earlier stages said, for the report
Writes  data/evaluate/predictions.parquet   one row for each sample of validation and test
        reports/report.html                 the whole story on one page
        reports/model_card.md               the same in short, for who is handed the model
        reports/evaluate/*.svg              the charts
        reports/plots/*.csv                 what ``dvc plots`` draws
"""

import json
from pathlib import Path

import pyarrow as pa

from tasks.errors import DataError
from tasks.evaluate.evaluation import evaluate
from tasks.evaluate.publishing import publish
from tasks.evaluate.report import EvaluateReport
from tasks.models.inference import Predictor
from tasks.params import Params
from tasks.samples.folders import StageFolders
from tasks.samples.media import sample_media
from tasks.samples.membership import trained_on
from tasks.samples.tables import read_table

READS = ("collect", "align", "augment", "finetune")


def require_trained_on(samples: pa.Table, training: Path) -> None:
    """Fail where the model took its scales, vocabularies and weights from other samples.

    Raises:
        DataError: The training samples of the table are not those the model tells of.
    """
    told = json.loads(training.read_text(encoding="utf-8")).get("train_digest")
    if told != trained_on(samples):
        raise DataError(
            f"{training}: the model was trained on other samples than the train split holds now, "
            "so that test samples may be among them; run `dvc repro finetune`"
        )


def run(params: Params, folders: StageFolders) -> EvaluateReport:
    """Load the model as it was saved, measure it beside its floors, and write what was found."""
    predictor = Predictor.load(folders.of("finetune"), cpu_threads=params.project.cpu_threads)
    samples = read_table(folders.of("augment") / "samples.parquet")
    require_trained_on(samples, folders.of("finetune") / "training.json")
    media = sample_media(folders)

    evaluation = evaluate(predictor, samples, media, params, folders.cache / "decoded")
    publish(evaluation, predictor.schema, media, params, folders)
    return EvaluateReport.describe(evaluation)
