"""What the benchmarks measure with: settings, contenders, clocks, memory and pictures."""
