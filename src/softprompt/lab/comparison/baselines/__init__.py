"""Learning without a prompt: rows become features, features a classifier, and its probabilities predictions."""
