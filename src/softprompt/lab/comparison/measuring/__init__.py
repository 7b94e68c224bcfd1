"""What work takes: counters of the machine become seconds, bytes and joules. Knows no contender."""
