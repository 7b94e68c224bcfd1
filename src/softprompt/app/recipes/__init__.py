"""What users do, as plain functions: the one way from the command line, the web and Python to the floors below."""
