"""How well planted label errors and swapped pairs are found, and at what cost.

    python benchmarks/suspects.py [--shared ../shared]

Labels: 5 % of the targets of scikit-learn's digits (as a table), of digits spoken and written and
of questions about pictures are replaced. Baseline: cleanlab on a logistic regression on the same
features put side by side, its five folds drawn without regard to shared inputs.
Pairs: 5 % of the recordings of written digits are swapped. Baseline: the cosine of a linear ridge
regression from each input to the other, out of fold.
Cost: CPU seconds and peak memory over the start, for these and for 1,000,000 rows of a table.
"""

import argparse
import csv
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.align.suspects.equality import input_codes
from tasks.align.suspects.judging import gather, label_suspects, pair_suspects
from tasks.params.align import SuspectParams
from tasks.samples.cheap_features.extract import features_of
from tasks.samples.schema import InputSpec, SampleSchema, TabularColumn
from tasks.samples.tables import write_table

PART = 0.05
SEED = 7


class Files:
    """Media named by their paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, digest: str) -> bytes:
        """Return the bytes of a file."""
        return (self.folder / digest).read_bytes()


class Task:
    """Samples, with what was planted in them."""

    def __init__(self, name: str, columns: dict, inputs: tuple, media: Files | None) -> None:
        self.name, self.columns, self.inputs, self.media = name, columns, inputs, media
        self.wrong = np.zeros(len(columns["target"]), dtype=bool)

    def spoil_labels(self, among: list | None = None) -> "Task":
        """Replace targets by others, of those that the same value of ``among`` has elsewhere."""
        rng = np.random.default_rng(SEED)
        targets = self.columns["target"]
        key = among or [""] * len(targets)
        known: dict = {}
        for k, target in zip(key, targets, strict=True):
            known.setdefault(k, set()).add(target)
        self.wrong = rng.random(len(targets)) < PART
        for at in np.flatnonzero(self.wrong):
            others = sorted(known[key[at]] - {targets[at]})
            if others:
                targets[at] = str(rng.choice(others))
            else:
                self.wrong[at] = False
        return self

    def swap(self, column: str, meaning: Callable[[str], str]) -> "Task":
        """Shuffle some values of a column; wrong are those that mean something else then."""
        rng = np.random.default_rng(SEED)
        values = self.columns[column]
        before = list(values)
        at = np.flatnonzero(rng.random(len(values)) < PART)
        for place, other in zip(at, np.roll(rng.permutation(at), 1), strict=True):
            values[place] = before[other]
        self.wrong = np.array(
            [meaning(a) != meaning(b) for a, b in zip(before, values, strict=True)]
        )
        return self

    def table(self) -> pa.Table:
        """Return the samples."""
        schema = SampleSchema(inputs=self.inputs, target_column="y", target_kind="category")
        ids = [f"s{i:07d}" for i in range(len(self.wrong))]
        return schema.attach(pa.table({"sample_id": ids, **self.columns}))


def spec(name: str, modality: str) -> InputSpec:
    return InputSpec.model_validate({"name": name, "modality": modality, "column": name})


def digits_table() -> Task:
    digits = load_digits()
    names = [f"p{i}" for i in range(64)]
    columns = {n: digits.data[:, i].tolist() for i, n in enumerate(names)}
    columns["target"] = [str(v) for v in digits.target]
    kinds = tuple(TabularColumn(name=n, kind="number") for n in names)
    inputs = (InputSpec(name="tabular", modality="tabular", columns=kinds),)
    return Task("digits as a table", columns, inputs, None).spoil_labels()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def spoken_digits(folder: Path) -> Task:
    rows = rows_of(folder / "pairs_same_digit.csv")
    columns = {name: [row[name] for row in rows] for name in ("image", "audio")}
    columns["target"] = [row["digit"] for row in rows]
    inputs = (spec("image", "image"), spec("audio", "audio"))
    return Task("written and spoken digits", columns, inputs, Files(folder))


def questions(folder: Path) -> Task:
    rows = rows_of(folder / "questions.csv")
    columns = {name: [row[name] for row in rows] for name in ("image", "question")}
    columns["target"] = [row["answer"] for row in rows]
    inputs = (spec("image", "image"), spec("question", "text"))
    task = Task("questions about pictures", columns, inputs, Files(folder))
    return task.spoil_labels(among=columns["question"])


def million_rows() -> Task:
    rng = np.random.default_rng(SEED)
    numbers = rng.normal(size=(1_000_000, 8))
    target = np.where(numbers[:, 0] + numbers[:, 1] * numbers[:, 2] > 0, "yes", "no").astype(object)
    columns = {f"x{i}": pa.array(numbers[:, i]) for i in range(8)} | {"target": target}
    kinds = tuple(TabularColumn(name=f"x{i}", kind="number") for i in range(8))
    inputs = (InputSpec(name="tabular", modality="tabular", columns=kinds),)
    task = Task("1,000,000 rows", columns, inputs, None)
    task.wrong = rng.random(len(target)) < PART
    target[task.wrong] = np.where(target[task.wrong] == "yes", "no", "yes")
    return task


def ours(task: Task, pairs: bool) -> str:
    """Judge a task in this process, and return the line about it."""
    settings = SuspectParams.model_validate({"labels": "off" if pairs else "flag"})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samples.parquet"
        table = task.table()
        write_table(table, path)
        schema, targets = SampleSchema.of(table), pa.array(table["target"].to_pylist())
        del table
        before, started = peak_megabytes(), time.process_time()
        codes = {s.name: input_codes(path, s) for s in schema.inputs}
        evidence = gather(schema, path, targets, codes, lambda: task.media, settings, SEED)
        if pairs:
            (found,) = pair_suspects(settings, schema, evidence, path.parent, SEED)
            told = f"told apart {found.findings.told_apart:.3f}"
        else:
            found = label_suspects(settings, schema, evidence, SEED)
            judged = found.findings
            trusted = "" if judged.trusted else ", NOT trusted"
            told = f"accuracy {judged.value:.3f}, floor {judged.floor:.3f}, {judged.model}{trusted}"
        cost = time.process_time() - started
        peak = peak_megabytes() - before
    wrong = task.wrong[evidence.at]
    known = np.isfinite(found.score)
    hit = (found.flagged & wrong).sum()
    return (
        f"AUROC {roc_auc_score(wrong[known], found.score[known]):.4f}   flagged "
        f"{found.flagged.sum():,}, of them wrong {hit:,} of {wrong[known].sum():,}   {told}   "
        f"{cost:.1f} CPU-s, +{peak:,.0f} MB"
    )


def side_by_side(task: Task) -> str:
    """Rank labels by cleanlab on a logistic regression on all features side by side."""
    from cleanlab.rank import get_label_quality_scores

    started = time.process_time()
    table, at = first_rows(task)
    features = np.hstack(
        [features_of(table, s, task.media, SEED).of_samples() for s in task.inputs]
    )
    label = np.unique(np.array(table["target"].to_pylist()), return_inverse=True)[1]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    said = cross_val_predict(model, np.nan_to_num(features), label, method="predict_proba")
    score = 1 - get_label_quality_scores(label, said)
    cost = time.process_time() - started
    return f"AUROC {roc_auc_score(task.wrong[at], score):.4f}   {cost:.1f} CPU-s"


def linear_ridge(task: Task) -> str:
    """Rank pairs by the cosine of what each input says of the other, out of fold."""
    started = time.process_time()
    table, at = first_rows(task)
    left, right = (
        StandardScaler().fit_transform(features_of(table, s, task.media, SEED).of_samples())
        for s in task.inputs
    )
    fit = 0.0
    for a, b in ((left, right), (right, left)):
        said = cross_val_predict(Ridge(alpha=100.0), a, b)
        norms = np.linalg.norm(said, axis=1) * np.linalg.norm(b, axis=1)
        fit = fit + (said * b).sum(axis=1) / norms
    cost = time.process_time() - started
    return f"AUROC {roc_auc_score(task.wrong[at], -fit):.4f}   {cost:.1f} CPU-s"


def first_rows(task: Task) -> tuple[pa.Table, np.ndarray]:
    """Return the rows of a task that a baseline is given: 5,000 at most, drawn at random."""
    n = len(task.wrong)
    at = np.sort(np.random.default_rng(SEED).permutation(n)[:5_000])
    return task.table().take(pa.array(at)), at


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(title: str, make: Callable[[], Task], ways: dict[str, Callable[[Task], str]]) -> None:
    """Run each way in a process of its own, so that peaks are its own."""
    print(f"\n{title}", flush=True)
    for name, way in ways.items():
        context = multiprocessing.get_context("fork")
        process = context.Process(
            target=lambda way=way, name=name: print(f"  {name:14} {way(make())}", flush=True)
        )
        process.start()
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    data = parser.parse_args().shared.resolve() / "data"
    labels = {"suspects": lambda task: ours(task, pairs=False), "side by side": side_by_side}
    say("Labels: digits as a table", digits_table, labels)
    if data.is_dir():
        digits, easy = data / "av_mnist", data / "easy_vqa"
        spoiled = lambda: spoken_digits(digits).spoil_labels()  # noqa: E731
        say("Labels: written and spoken digits", spoiled, labels)
        say("Labels: questions about pictures", lambda: questions(easy), labels)
        swapped = lambda: spoken_digits(digits).swap("audio", lambda n: Path(n).name[0])  # noqa: E731
        ways = {"suspects": lambda task: ours(task, pairs=True), "linear ridge": linear_ridge}
        say("Pairs: written and spoken digits", swapped, ways)
    say("Cost: 1,000,000 rows", million_rows, {"suspects": labels["suspects"]})


if __name__ == "__main__":
    main()
