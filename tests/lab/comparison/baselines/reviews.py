"""Short reviews of which a single word decides."""

import numpy as np

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset

TASK = Task.classify(["good", "bad"])
GOOD = ["lovely", "great", "wonderful", "perfect", "delightful"]
BAD = ["broken", "awful", "terrible", "useless", "horrible"]
THINGS = ["lamp", "kettle", "chair", "parcel", "table", "mug"]


def reviews(count, *, seed=0, name="rows"):
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(count):
        label = ("good", "bad")[n % 2]
        word, thing = rng.choice(GOOD if label == "good" else BAD), rng.choice(THINGS)
        rows.append(Example({"text": f"The {thing} was {word}."}, target=label, id=f"{name}-{n}"))
    return Dataset(tuple(rows), name, TASK.names)
