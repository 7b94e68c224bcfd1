"""How a prompt lives once it is trained."""
