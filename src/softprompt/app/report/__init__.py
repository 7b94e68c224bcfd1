"""Runs beside each other as one page without network, as JSON, as Markdown, and as a model card for a hub.

    sources     what a run left in its folder -> lines with evaluations
    beside      lines of several runs as one table: verdicts where the rows are the same
    closer      confusions, calibration, slices, rows that flip, the surest mistakes
    document    all of it as plain data: what report.json keeps and everything else is made from
    view        plain data -> what the page writes; pictures draws, page.html.j2 places
    markdown    the same for a repository or a ticket
    hub         a model card with front matter

Knows what runs leave; trains and asks nothing.
"""

from softprompt.app.report.document import Report

__all__ = ["Report"]
