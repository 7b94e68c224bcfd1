"""Training: settings, the loop over K prompts, optimisers, memory and checkpoints."""
