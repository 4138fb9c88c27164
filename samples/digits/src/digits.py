"""Digits drawn on 8x8 pixels: glyphs of our own, shifted, faded and noised."""

import random

GLYPHS = [
    "..##.. .#..#. #....# #....# #....# #....# .#..#. ..##..",
    "...#.. ..##.. .#.#.. ...#.. ...#.. ...#.. ...#.. .#####",
    ".####. #....# .....# ....#. ...#.. ..#... .#.... ######",
    ".####. #....# .....# ..###. .....# .....# #....# .####.",
    "....#. ...##. ..#.#. .#..#. #...#. ###### ....#. ....#.",
    "###### #..... #..... #####. .....# .....# #....# .####.",
    "..###. .#.... #..... #####. #....# #....# #....# .####.",
    "###### .....# ....#. ....#. ...#.. ...#.. ..#... ..#...",
    ".####. #....# #....# .####. #....# #....# #....# .####.",
    ".####. #....# #....# #....# .##### .....# ....#. .###..",
]


def draw(digit, rng):
    """Returns one sample: the pixels that are not blank, as (index, ink from 0 to 1)."""
    shift = rng.choice((0, 1, 2))
    ink = rng.uniform(0.6, 1.0)
    pixels = []
    for y, line in enumerate(GLYPHS[digit].split()):
        row = [0.0] * 8
        for x, dot in enumerate(line):
            if dot == "#" and rng.random() > 0.08:
                row[x + shift] = ink
        for x in range(8):
            value = min(1.0, max(0.0, row[x] + rng.gauss(0.0, 0.12)))
            if value > 0.05:
                pixels.append((y * 8 + x, value))
    return pixels


def load(seed, train=1200, held_out=400):
    """Returns the training samples and the held-out ones, the same for a seed."""
    rng = random.Random(seed)
    samples = [(draw(i % 10, rng), i % 10) for i in range(train + held_out)]
    rng.shuffle(samples)
    return samples[:train], samples[train:]
