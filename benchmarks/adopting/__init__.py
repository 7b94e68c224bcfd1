"""What adopters may expect: score against labelled rows, by contender, on eight public data sets."""
