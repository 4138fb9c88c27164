"""A text that nobody has to download: sentences made of a few words, in a fixed order of chance."""

import random

WHO = ["the cluster", "a small pod", "the last node", "every rank", "our gang", "the old queue", "one quiet job"]
DOES = ["waits for", "looks after", "runs beside", "starts before", "never forgets", "counts on", "asks about"]
WHAT = ["the first checkpoint", "a free device", "its own shadow", "the morning batch", "nine more steps", "a better loss"]
HOW = ["in the evening", "without a word", "as it was told", "again and again", "when the light is green"]


def text(sentences=600, seed=5):
    rng = random.Random(seed)
    pick = rng.choice
    return " ".join(f"{pick(WHO)} {pick(DOES)} {pick(WHAT)} {pick(HOW)}." for _ in range(sentences))
