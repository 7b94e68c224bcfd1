"""The engine behind HTTP: bodies, documents, errors, the application and its process.

The web framework (extra ``serve``) enters the package here and nowhere else; no module outside imports these before the
command that needs them runs.
"""
