"""What is learnt: everything inside the forward pass."""
