"""Training weights: rows change a copy of the model, wholly or by low-rank updates, and the copy is asked."""
