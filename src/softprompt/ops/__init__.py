"""How a prompt lives: saved, exported, served, watched."""
