"""The weights of a frozen model: where they lie, in which precision, whose they are, copies of them."""
