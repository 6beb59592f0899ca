"""Cheap features of texts: words and pieces of words, weighted and reduced to a few dozen numbers.

Source:
    Deerwester et al. 1990, Indexing by Latent Semantic Analysis, JASIS 41(6).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.samples.cheap_features.sampling import stable_choice

MOST_CHARACTERS = 1_000
MOST_FITTED = 4_000
FEW_TEXTS = 500
N_HASHED = 2**16
N_COMPONENTS = 96


def text_features(texts: Sequence[str], seed: int) -> tuple[NDArray[np.float32], int]:
    """Return ``(n, d)`` features of distinct texts, and how many texts decided what they mean.

    Single words, pairs of words and runs of three characters are counted, rare ones weigh more,
    and the counts are projected on the directions in which the texts differ most. The beginning of
    a long text stands for the whole.
    """
    from scipy.sparse import hstack
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    if len(texts) <= 2:
        return np.eye(len(texts), dtype=np.float32), len(texts)
    cut = [text[:MOST_CHARACTERS] for text in texts]
    words = HashingVectorizer(n_features=N_HASHED, ngram_range=(1, 2), alternate_sign=False)
    pieces = HashingVectorizer(
        n_features=N_HASHED, analyzer="char_wb", ngram_range=(3, 3), alternate_sign=False
    )
    counts = hstack([words.transform(cut), pieces.transform(cut)], format="csr")
    fitted = stable_choice(cut, MOST_FITTED, seed)
    in_texts = np.bincount(counts[fitted].indices, minlength=counts.shape[1])
    # What only one of many texts has says nothing of the others; a few texts are kept apart by it.
    least = 2 if len(fitted) > FEW_TEXTS and (in_texts >= 2).any() else 1
    shared = np.flatnonzero(in_texts >= least)
    counts = counts[:, shared]
    weighted = TfidfTransformer(sublinear_tf=True).fit(counts[fitted]).transform(counts)
    n_components = min(N_COMPONENTS, len(fitted) - 1, len(shared) - 1)
    if n_components < 1:
        return weighted.toarray().astype(np.float32), len(fitted)
    reduction = TruncatedSVD(n_components, n_iter=3, random_state=seed)
    with np.errstate(divide="ignore", invalid="ignore"):  # it divides by the variance of all
        reduction.fit(weighted[fitted])
    return reduction.transform(weighted).astype(np.float32), len(fitted)
