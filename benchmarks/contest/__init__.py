"""A fair contest on labelled rows: who learns what, who is judged on what, and what may be said of it."""
