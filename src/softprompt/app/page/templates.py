"""Templates of pages: a package's own, with the sheet, the pictures and the words that all pages share."""

from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined

from softprompt.app.page import charts, words

__all__ = ["environment"]

HERE = "softprompt.app.page"


def environment(package: str = HERE) -> Environment:
    """Templates of a package, else of this one; every text is escaped, and a name that is not there is an error.

    >>> environment().from_string("{{ 0.515 | percent }} {{ name }}").render(name="<b>")
    '51.5 &lt;b&gt;'
    """

    def part(name: str) -> str:
        found = resources.files(package) / name
        return (found if found.is_file() else resources.files(HERE) / name).read_text("utf-8")

    made = Environment(
        loader=FunctionLoader(part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {name: getattr(words, name) for name in words.__all__}
    made.globals |= {"axis": charts.axis, "bars": charts.bars, "interval_row": charts.interval_row}
    return made
