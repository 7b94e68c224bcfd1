"""Who asks: command line, HTTP and web, all through recipes."""
