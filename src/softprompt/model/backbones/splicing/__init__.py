"""From row trees to lines of tokens, and the one place where prompts meet them. Knows no architecture."""
