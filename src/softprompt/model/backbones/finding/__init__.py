"""What a name stands for: a folder, a hub id, a live model, and which kind of model it is."""
