"""A made-up packed set of features, large enough for pools of 32."""

import numpy as np
from finished_folder import swaying_body

from motionmamba.data import MotionDataset, write_dataset
from motionmamba.data.packed import Caption, Prepared, Sample, Source
from motionmamba.motion.skeleton import HUMANML3D

WORDS = ("walk", "run", "jump", "turn", "wave", "sit")
# sizes and words of an evaluator for it
TINY = dict(movement_size=8, motion_size=12, text_size=10, embedding_size=6, word_size=7)
VOCABULARY = ("unk", "sos", "eos", "a", "person", "somebody", "forward", *WORDS)


def write_set(
    folder, tests: int = 70, broken: int = 0, lengths=(40, 120), others=("train",)
) -> MotionDataset:
    """Swaying bodies with captions; `broken` more test clips have NaN in a frame.

    The `others` have 80 clips between them.
    """
    rng = np.random.default_rng(0)
    body = swaying_body(HUMANML3D, 400)
    samples = []
    for i in range(tests + broken + 80):
        split = "test" if i < tests + broken else others[i % len(others)]
        length = int(rng.integers(*lengths))
        start = int(rng.integers(0, len(body) - length))
        features = body[start : start + length] + 0.01 * rng.normal(size=(length, 263))
        if tests <= i < tests + broken:
            features[length // 2] = np.nan
        word = WORDS[i % len(WORDS)]
        captions = [
            Caption(f"a person {word}s forward {i}", f"a/DET person/NOUN {word}/VERB forward/ADV"),
            Caption(f"somebody {word}s {i}", f"somebody/PRON {word}/VERB"),
        ]
        samples.append(Sample(f"{i:03d}", f"{i:03d}", split, captions, features=features))
    statistics = body.mean(0), np.maximum(body.std(0), 0.05)
    prepared = Prepared(samples, {"x": Source("x", "CC0", "x")}, statistics=statistics)
    return write_dataset(folder, prepared, "swaying")
