"""How often the intervals of core/stats hold the truth, and how often its tests claim a difference that is not there.

    python benchmarks/coverage.py                       some minutes on one core; numpy and scipy only
    python benchmarks/coverage.py --draws 40 --print    to see that it works; nothing is written

Proportions and McNemar's tests are summed exactly over all outcomes; the rest is simulated from seed 0. A proportion's
coverage is shown over true values p from 0.50 to 0.99. Scores of several seeds come from a table with two random
margins, right answers = (difficulty of the row + luck of the seed + rest > 0): none of the luck of
seeds, about as much of it as of 100 rows, or three times as much.

Knows the package's statistics; no prompts and no models.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rig.results import parser_of, publish
from scipy import stats

from softprompt.core.stats import (
    Interval,
    bootstrap,
    clopper_pearson,
    mcnemar_exact,
    mcnemar_midp,
    mean_over_seeds,
    paired_permutation,
    seeds_then_items,
    t_interval,
    wilson,
)

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "img" / "coverage.svg"
SIZES = (20, 50, 200)
TRUTHS = np.round(np.arange(0.50, 0.995, 0.005), 3)
PROPORTIONS: dict[str, Callable[[int, int], Interval]] = {"Wilson": wilson, "exact": clopper_pearson}
TESTS: dict[str, Callable[[int, int], float]] = {"exact": mcnemar_exact, "mid-p": mcnemar_midp}
LEVELS = (0.01, 0.05, 0.10)
DISCORDANCE = 0.2

Held = dict[str, float]


def proportion_coverage(method: Callable[[int, int], Interval], n: int) -> Float[np.ndarray, " P"]:
    """Coverage at each true value: the binomial probability of all counts whose interval holds it."""
    found = [method(k, n) for k in range(n + 1)]
    low, high = (np.array([getattr(one, end) for one in found])[:, None] for end in ("low", "high"))
    weights = stats.binom.pmf(np.arange(n + 1)[:, None], n, TRUTHS)
    return np.asarray((weights * ((low <= TRUTHS) & (high >= TRUTHS))).sum(axis=0))


def mcnemar_claims(test: Callable[[int, int], float], n: int, level: float) -> float:
    """Share of test sets of two equally good systems on which the test claims a difference."""
    total = 0.0
    for m, weight in enumerate(stats.binom.pmf(np.arange(n + 1), n, DISCORDANCE)):
        if weight > 1e-12:
            claims = [test(b, m - b) <= level for b in range(m + 1)]
            total += weight * float(stats.binom.pmf(np.arange(m + 1), m, 0.5) @ np.array(claims))
    return total


def permutation_claims(n: int, draws: int) -> list[float]:
    """P-values of equally good systems whose scores are skewed numbers."""
    rng = np.random.default_rng(n)
    found = []
    for i in range(draws):
        a, b = (_with_ones(scores) for scores in rng.exponential(1, (2, n)))
        found.append(paired_permutation(a, b, _mean, resamples=999, seed=i))
    return found


def bootstrap_coverage(n: int, draws: int) -> float:
    """Of the default interval of an F1 whose true value is known."""
    rng, held, true = np.random.default_rng(n), 0, 0.6 / 0.85
    for i in range(draws):
        right = rng.random(n) < 0.4
        said = np.where(rng.random(n) < 0.75, right, ~right)
        one = bootstrap(np.column_stack([right & said, right != said]).astype(float), _f1, resamples=1000, seed=i)
        held += one.low <= true <= one.high
    return held / draws


#: Ways to an interval of the mean over seeds, from right answers by seed and row.
SEED_METHODS: dict[str, Callable[[Float[np.ndarray, "S n d"], int], Interval]] = {
    "seeds and rows, t": lambda items, i: mean_over_seeds(items, _mean).interval(bounds=(0.0, 1.0)),
    "t of the seeds' scores alone": lambda items, i: t_interval(items[:, :, 0].mean(axis=1)),
    "bootstrap, S seeds drawn": lambda items, i: seeds_then_items(
        items, _mean, resamples=400, seed=i, draws=len(items)
    ),
    "bootstrap, S - 1 seeds drawn": lambda items, i: seeds_then_items(items, _mean, resamples=400, seed=i),
    "bootstrap of the seeds' scores alone": lambda items, i: (
        bootstrap(_with_ones(items[:, :, 0].mean(axis=1)), _mean, resamples=400, seed=i, method="percentile")
        if np.ptp(items[:, :, 0].mean(axis=1))
        else t_interval(items[:, :, 0].mean(axis=1))
    ),
}


def seed_coverage(num_seeds: int, luck: float, rows: int, draws: int) -> Held:
    """Share of the intervals of each method that hold the true score: mean over all seeds and rows there could be."""
    rng, held = np.random.default_rng(num_seeds), dict.fromkeys(SEED_METHODS, 0)
    spread = np.sqrt(luck**2 + 1.0 + 0.25)
    true = float(stats.norm.cdf(0.9 / spread))
    for i in range(draws):
        seeds, hard = luck * rng.standard_normal((num_seeds, 1)), rng.standard_normal((1, rows))
        right = 0.9 + seeds + hard + 0.5 * rng.standard_normal((num_seeds, rows)) > 0
        items = np.stack([right, np.ones_like(right)], axis=-1).astype(float)
        for name, method in SEED_METHODS.items():
            one = method(items, i)
            held[name] += one.low <= true <= one.high
    return {name: count / draws for name, count in held.items()}


def page(draws: int) -> tuple[str, dict[int, Held]]:
    """The text of the result, and the coverage of seeds' intervals for the picture."""
    parts = ["Nominal level 95 %.", "", "## Proportions, p from 0.50 to 0.99", ""]
    parts += ["| n | interval | mean | least | most |", "| ---: | --- | ---: | ---: | ---: |"]
    for n in SIZES:
        for name, method in PROPORTIONS.items():
            found = proportion_coverage(method, n)
            parts.append(
                f"| {n} | {name} | {_percent(found.mean())} | {_percent(found.min())} | {_percent(found.max())} |"
            )
    parts += [
        "",
        f"## McNemar: share of equals that are told apart (one disagreement in {1 / DISCORDANCE:.0f} rows)",
        "",
    ]
    parts += [
        "| n | test | " + " | ".join(f"p ≤ {a}" for a in LEVELS) + " |",
        "| ---: | --- |" + " ---: |" * len(LEVELS),
    ]
    for n in SIZES:
        for name, test in TESTS.items():
            shares = " | ".join(f"{mcnemar_claims(test, n, a):.4f}" for a in LEVELS)
            parts.append(f"| {n} | {name} | {shares} |")
    parts += ["", f"## Permutation: p-values of equals, skewed scores, {draws:,} draws", ""]
    parts += ["| n | " + " | ".join(f"p ≤ {a}" for a in LEVELS) + " | p ≤ 0.5 | Kolmogorov-Smirnov p |"]
    parts += ["| ---: |" + " ---: |" * (len(LEVELS) + 2)]
    for n in SIZES:
        p = np.array(permutation_claims(n, draws))
        shares = " | ".join(f"{np.mean(p <= a):.3f}" for a in (*LEVELS, 0.5))
        parts.append(f"| {n} | {shares} | {stats.kstest(p, 'uniform').pvalue:.2f} |")
    parts += [
        "",
        f"## Bootstrap of F1 (BCa, spread to Student's t), {draws:,} draws",
        "",
        "| n | held |",
        "| ---: | ---: |",
    ]
    parts += [f"| {n} | {_percent(bootstrap_coverage(n, draws))} |" for n in SIZES]
    parts += ["", f"## Mean over seeds, 100 test rows, {draws:,} draws", ""]
    parts += [
        "| seeds | luck of seeds | " + " | ".join(SEED_METHODS) + " |",
        "| ---: | --- |" + " ---: |" * len(SEED_METHODS),
    ]
    drawn = {}
    for num_seeds in (3, 5):
        for luck, said in ((0.0, "none"), (0.15, "about that of rows"), (0.6, "three times that of rows")):
            drawn[num_seeds] = found = seed_coverage(num_seeds, luck, 100, draws)
            parts.append(f"| {num_seeds} | {said} | " + " | ".join(map(_percent, found.values())) + " |")
    return "\n".join([*parts, ""]), drawn


STYLE = """<style>
  text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 13px }
  .quiet { fill: #6e7781 } .line { fill: none; stroke-width: 1.6 }
  .wilson { stroke: #0b6e69 } .exact { stroke: #b35900 }
  .axis { stroke: #c8ccd1; fill: none } .nominal { stroke: #6e7781; stroke-dasharray: 3 3 }
  .bar { fill: #9aa4af } .ours { fill: #0b6e69 } .wilson-text { fill: #0b6e69 } .exact-text { fill: #b35900 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .wilson { stroke: #5cc4b8 } .exact { stroke: #f0a35e }
    .axis { stroke: #3d444d } .nominal { stroke: #9198a1 } .bar { fill: #59636e } .ours { fill: #5cc4b8 }
    .wilson-text { fill: #5cc4b8 } .exact-text { fill: #f0a35e } }
</style>"""


def picture(seeds: dict[int, Held]) -> str:
    """Coverage of proportions by true value, a panel a size; below, the seeds' intervals."""
    width, high = 250, 150
    low_end, high_end = 0.86, 1.0
    parts = []
    for i, n in enumerate(SIZES):
        x0, y0 = 46 + i * (width + 22), 48

        def place(p: float, held: float, x0: int = x0, y0: int = y0) -> str:
            y = y0 + high * (high_end - max(held, low_end)) / (high_end - low_end)
            return f"{x0 + width * (p - 0.5) / 0.49:.1f},{y:.1f}"

        parts.append(f'<text class="title" x="{x0}" y="{y0 - 12}">{n} rows</text>')
        parts.append(f'<path class="axis" d="M{x0} {y0}V{y0 + high}H{x0 + width}"/>')
        for held in (0.90, 0.95, 1.00):
            y = float(place(0.5, held).split(",")[1])
            if not i:
                parts.append(
                    f'<text class="quiet" x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * held:.0f}</text>'
                )
        y = float(place(0.5, 0.95).split(",")[1])
        parts.append(f'<path class="nominal" d="M{x0} {y:.1f}H{x0 + width}"/>')
        for name, method in PROPORTIONS.items():
            path = " ".join(place(p, held) for p, held in zip(TRUTHS, proportion_coverage(method, n), strict=True))
            parts.append(f'<polyline class="line {name.lower()}" points="{path}"/>')
        for p, anchor in ((0.5, "start"), (0.75, "middle"), (0.99, "end")):
            at = place(p, 0.9).split(",")[0]
            parts.append(f'<text class="quiet" x="{at}" y="{y0 + high + 16}" text-anchor="{anchor}">{p:g}</text>')
    middle = 46 + 1.5 * width + 22
    parts.append(f'<text class="quiet" x="{middle}" y="232" text-anchor="middle">true share of right answers</text>')
    parts.append('<text x="46" y="18" class="title">How often a 95 % interval holds the truth, in %</text>')
    parts.append(
        '<text x="420" y="18" class="wilson-text">Wilson</text><text x="480" y="18" class="exact-text">exact</text>'
    )
    y = 268
    parts.append(f'<text x="46" y="{y}" class="title">The mean over seeds that differ much, 100 rows</text>')
    for num_seeds, held in seeds.items():
        y += 24
        parts.append(f'<text x="46" y="{y}" class="quiet">{num_seeds} seeds</text>')
        for name, share in held.items():
            y += 19
            size = 400 * share
            kind = "ours" if name == next(iter(SEED_METHODS)) else "bar"
            parts.append(f'<text x="280" y="{y}" text-anchor="end">{name}</text>')
            parts.append(f'<rect class="{kind}" x="290" y="{y - 10}" width="{size:.1f}" height="12" rx="2"/>')
            parts.append(f'<text x="700" y="{y}">{100 * share:.0f}</text>')
    at = 290 + 400 * 0.95
    parts.append(f'<path class="nominal" d="M{at} 284V{y + 8}"/>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 866 {y + 18}" width="866" height="{y + 18}" role="img">'
    )
    return "\n".join([head, "<title>Coverage of 95 % intervals by simulation</title>", STYLE, *parts, "</svg>", ""])


def _mean(sums: Float[np.ndarray, " d"]) -> float:
    return float(sums[0] / sums[1])


def _f1(sums: Float[np.ndarray, " d"]) -> float:
    return float(2 * sums[0] / max(1.0, 2 * sums[0] + sums[1]))


def _with_ones(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    return np.column_stack([values, np.ones(len(values))])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, and write page and picture."""
    parser = parser_of(__doc__)
    parser.add_argument("--draws", type=int, default=1000, help="simulated data sets a line")
    chosen = parser.parse_args(arguments)
    text, seeds = page(chosen.draws)
    publish("coverage", "Coverage of intervals, and claims of tests", text, only_print=chosen.print)
    if not chosen.print:
        PICTURE.write_text(picture(seeds), encoding="utf-8")


if __name__ == "__main__":
    main()
