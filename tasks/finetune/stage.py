"""Finetune: train encoders, fusion and head on the train split; keep the best epoch.

Reads   data/augment/samples.parquet   the samples with their splits, augmented copies and weights
        data/augment/online.json       what is done to training batches
        data/collect/media             images and recordings
        data/pretrain                  encoders made by the pretrain stage
Writes  data/finetune                  the model: config.json, model.safetensors, processors,
                                       schema.json, training.json, history.csv
        reports/finetune/history.csv   the curves, for ``dvc plots``
"""

import csv
import io
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.finetune.augmented import read_online_policy, require_lineage, sample_weights
from tasks.finetune.building import build_model, describe_encoders
from tasks.finetune.report import FinetuneReport
from tasks.finetune.resuming import training_key
from tasks.finetune.targets import learn_targets
from tasks.finetune.training import TrainingData, TrainingResult, train
from tasks.models.batches import shared_input
from tasks.models.features import with_frozen_features
from tasks.models.inference import SCHEMA, processor_folder
from tasks.models.online_augmentation import OnlineAugmentation
from tasks.models.prepared import prepare
from tasks.models.runtime import choose_device, fix_randomness, quiet_libraries
from tasks.params import Params
from tasks.samples.folders import StageFolders, folder_digest, write_manifest, write_text
from tasks.samples.media import sample_media
from tasks.samples.membership import trained_on
from tasks.samples.schema import PARENT_ID, SAMPLE_ID, SPLIT, SampleSchema
from tasks.samples.tables import read_table
from tasks.tracking.live import live_run

READS = ("collect", "align", "augment", "pretrain")


def run(params: Params, folders: StageFolders) -> FinetuneReport:
    """Fine-tune, resuming what was killed, and write the model of the best epoch."""
    quiet_libraries()
    fix_randomness(params.project.seed, params.project.cpu_threads)
    augmented = folders.of("augment")
    samples = _training_samples(read_table(augmented / "samples.parquet"))
    schema = SampleSchema.of(samples)
    train_samples = samples.filter(pc.equal(samples[SPLIT], "train"))

    media = sample_media(folders)
    targets = learn_targets(train_samples, schema)
    built = build_model(
        params.finetune,
        schema,
        train_samples,
        targets,
        folders.of("pretrain"),
        folders.root,
        media,
    )
    model = built.model.to(choose_device(params.finetune.device))
    cache = folders.cache / "decoded"
    prepared = prepare(samples, schema.inputs, built.processors, media, cache)
    prepared = with_frozen_features(model, prepared, built.processors, cache)
    labels, n_unknown = targets.labels(samples)
    in_train = np.asarray(samples[SPLIT].to_pylist()) == "train"
    known = labels != -100 if targets.objective == "classification" else np.ones(len(labels), bool)
    trained = {spec["name"]: spec["trained"] != "none" for spec in model.config.inputs}
    rows = np.flatnonzero(in_train)
    shared = shared_input(prepared, trained, rows, params.finetune.batch_size_samples)
    online = OnlineAugmentation.plan(
        read_online_policy(augmented),
        samples,
        prepared,
        built.processors,
        params.project.seed,
        model.fusion.reads_tokens,
    )
    weights = sample_weights(samples)
    data = TrainingData(
        prepared=prepared,
        labels=labels,
        sample_ids=samples[SAMPLE_ID].to_pylist(),
        train=rows,
        validation=np.flatnonzero(~in_train & known),
        shared=shared if params.finetune.share_inputs else None,
        weights=weights,
        online=online if online.any else None,
    )
    key = training_key(params, [folders.of("augment"), folders.of("pretrain")])
    checkpoints = folders.cache / "checkpoints" / key
    with live_run(folders.root, params, resume_key=key) as live:
        result = train(
            model, data, built.processors, params.finetune, params.project.seed, checkpoints, live
        )
        report = FinetuneReport(
            objective=targets.objective,
            fusion=params.finetune.fusion,
            n_train=len(data.train),
            n_augmented=int(pc.sum(pc.is_valid(train_samples[PARENT_ID])).as_py() or 0),
            n_validation=len(data.validation),
            train_digest=trained_on(samples),
            n_parameters=sum(p.numel() for p in model.parameters()),
            n_trained_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
            epochs_run=result.epochs_run,
            best_epoch=result.best_epoch,
            stopped_early=result.epochs_run < params.finetune.epochs,
            best_validation_loss=result.best_validation_loss,
            shared_input=data.shared,
            classes=targets.classes,
            encoders=describe_encoders(built),
            online=online.words(),
            weighted=weights is not None,
            notices=(*_notices(n_unknown), *online.notices),
        )
        model.save_pretrained(folders.output)
        for spec in schema.inputs:
            built.processors[spec.name].save(processor_folder(schema, spec, folders.output))
        write_text(folders.output / SCHEMA, schema.model_dump_json(indent=1) + "\n")
        write_text(folders.output / "training.json", report.model_dump_json(indent=1) + "\n")
        write_text(folders.output / "history.csv", _history_table(result))
        write_text(folders.reports / "finetune" / "history.csv", _history_table(result))
        write_manifest(folders.output)
        live.finish(folder_digest(folders.output))
    shutil.rmtree(checkpoints)
    return report


def _training_samples(samples: pa.Table) -> pa.Table:
    """Return the rows of train and validation; the test rows are not looked at here."""
    require_lineage(samples)
    return samples.filter(pc.is_in(samples[SPLIT], pa.array(["train", "validation"])))


def _notices(n_unknown: int) -> tuple[str, ...]:
    if not n_unknown:
        return ()
    return (f"{n_unknown:,} validation samples have a class that training never saw; left out",)


def _history_table(result: TrainingResult) -> str:
    names = ("epoch", "step", "split", "loss", "accuracy", "learning_rate", "grad_norm")
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(result.history)
    return text.getvalue()
