SENTENCES = [
    ("a fine and warm film", 1),
    ("dull, long and cold", -1),
    ("warm, funny, never dull", 1),
    ("a cold and long evening", -1),
]
