"""Learning curves in reports: found, drawn within their scale, and no band where nothing is known of one."""

import json
import re
from pathlib import Path

from softprompt.app.recipes.report import report
from softprompt.app.report.pictures import learning_curves
from softprompt.lab.learning_curve import LearningCurve
from tests.app.report.runs import curve, write_curve, write_run


def test_a_curve_alone_is_reported_and_found_beside_a_run(tmp_path: Path) -> None:
    alone = report([write_curve(tmp_path / "curve")])
    assert alone.verdict == curve().sentences[0]
    assert "What more labels bring" in alone.to_html()
    assert "| soft prompt |" in alone.to_markdown()
    folder = write_run(tmp_path / "topic")
    write_curve(folder / "curve")
    assert len(report([folder]).document["curves"]) == 1


def test_a_forecast_goes_on_from_the_last_point_with_a_band_of_its_own() -> None:
    picture = str(learning_curves(curve().to_dict(), share=True))
    lines = re.findall(r'class="(line|line ahead|band ahead)" points="([^"]+)"', picture)
    places = {kind: [tuple(map(float, one.split(","))) for one in points.split()] for kind, points in lines}
    assert places["line ahead"][0] == places["line"][-1]  # of the second contender, as all of these
    heights = [y for _, y in places["line ahead"]]
    assert heights == sorted(heights, reverse=True)  # more rows lie higher
    assert len(places["band ahead"]) == 2 * len(heights)
    assert set(places["line ahead"][1:]) & set(places["band ahead"]) == set()


def test_bands_of_few_draws_are_cut_at_the_ends_of_the_scale() -> None:
    found = curve().to_dict()
    found["curves"][0]["by_size"]["32"] |= {"low": -0.4, "high": 1.3}  # Student's t of two draws knows no end
    picture = str(learning_curves(found, share=True))
    bottom, *_, top = (float(y) for y in re.findall(r'class="grid"[^>]* y1="([^"]+)"', picture))
    bands = [
        [tuple(map(float, one.split(","))) for one in points.split()]
        for points in re.findall(r'class="band[^"]*" points="([^"]+)"', picture)
    ]
    heights = [y for band in bands for _, y in band]
    assert (min(heights), max(heights)) == (top, bottom)
    # where an edge leaves the scale between two sizes, the band ends there and not at the next size
    sizes = {x for x, _ in re.findall(r'<circle class="point" cx="([^"]+)" cy="([^"]+)"', picture)}
    assert any(f"{x:.1f}" not in sizes for x, y in bands[0] if y in (top, bottom))


def test_a_curve_of_one_draw_has_no_band(tmp_path: Path) -> None:
    found = LearningCurve.from_dict(json.loads(json.dumps(curve(draws=1).to_dict())))
    page = report([write_curve(tmp_path / "curve", found)]).to_html()
    assert 'class="band' not in page.split("</style>")[1]
    assert "cannot be told from one draw" in page
