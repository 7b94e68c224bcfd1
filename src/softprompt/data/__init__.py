"""What is learnt from: sources, formats, splits and the loader."""
