"""What pre-training gains on the embedded data set, whatever it is.

    python benchmarks/pretrained_against_scratch.py [--seeds 5]

For each seed the same model is fine-tuned on the same split, once from the encoders of the
pretrain stage and once from the same encoders at their random start. Prints the accuracy on the
test split for each, and the mean paired difference with its 95 % interval over seeds (Student's t).
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from scipy import stats

from tasks.__main__ import run_stage
from tasks.demo.digits_qa import write_digits_qa
from tasks.models.inference import Predictor
from tasks.params import Params, load_params
from tasks.samples.media import MediaStore
from tasks.samples.tables import read_table

REPOSITORY = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    n_seeds = parser.parse_args().seeds
    os.environ["FUSELINE_TRACKING"] = "off"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copy(REPOSITORY / "params.yaml", root)
        write_digits_qa(root / "data" / "raw" / "digits-qa")
        params = load_params(root / "params.yaml")
        for stage in ("collect", "clean", "align", "split", "augment"):
            run_stage(stage, params, root)
        pairs = []
        for seed in range(n_seeds):
            pretrained, scratch = (
                test_accuracy(with_seed(params, seed, epochs), root)
                for epochs in (params.pretrain.epochs, 0)
            )
            pairs.append((pretrained, scratch))
            print(f"seed {seed}: pre-trained {pretrained:.4f}, scratch {scratch:.4f}", flush=True)
    differences = np.diff(np.asarray(pairs)[:, ::-1], axis=1)[:, 0]
    mean, error = differences.mean(), stats.sem(differences)
    low, high = stats.t.interval(0.95, n_seeds - 1, loc=mean, scale=error)
    for name, values in zip(("pre-trained", "scratch"), np.asarray(pairs).T, strict=True):
        print(f"{name:12} mean {values.mean():.4f}, sd {values.std(ddof=1):.4f}")
    print(f"difference   mean {mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}")


def with_seed(params: Params, seed: int, epochs: int) -> Params:
    return params.model_copy(
        update={
            "project": params.project.model_copy(update={"seed": seed}),
            "pretrain": params.pretrain.model_copy(update={"epochs": epochs}),
        }
    )


def test_accuracy(params: Params, root: Path) -> float:
    run_stage("pretrain", params, root)
    run_stage("finetune", params, root)
    samples = read_table(root / "data" / "split" / "samples.parquet")
    test = samples.filter(pc.equal(samples["split"], "test"))
    predictor = Predictor.load(root / "data" / "finetune", cpu_threads=params.project.cpu_threads)
    probabilities = predictor.predict(test, MediaStore(root / "data" / "collect" / "media"))
    predicted = [predictor.classes[i] for i in probabilities.argmax(axis=1)]
    return float(
        np.mean([p == t for p, t in zip(predicted, test["target"].to_pylist(), strict=True)])
    )


if __name__ == "__main__":
    main()
