"""Methods: parameters -> PromptTensors, one file each; and where they start."""
