"""How a prompt is found and judged: training, evaluation, comparison."""
