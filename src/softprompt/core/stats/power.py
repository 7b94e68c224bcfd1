"""What a test set of a given size can show, and how many rows a question needs.

All of it supposes a true difference; which one a user cares about, or what was seen on few rows, is the caller's word.
Knows nothing of metrics. Source: Connor, Biometrics 43 (1987) 207-211; Card et al., EMNLP 2020, 9263-9274.
"""

import math

from scipy import optimize, stats

from softprompt.core.errors import ConfigError
from softprompt.core.stats.intervals import Interval, normal_quantile

__all__ = ["minimum_detectable_difference", "rows_for", "rows_needed", "rows_to_decide"]


def minimum_detectable_difference(
    n: int, *, discordance: float = 0.2, power: float = 0.8, level: float = 0.95
) -> float:
    """Smallest true difference of two proportions on ``n`` shared items that a paired test finds with ``power``.

    Solves n = (z_a sqrt(psi) + z_b sqrt(psi - delta^2))^2 / delta^2 for delta, with psi the ``discordance`` (share of
    items where exactly one of the two is right). A difference cannot exceed the discordance: where the solution would,
    psi = delta is taken. ``inf`` when not even a difference of 1 would be found.

    Source: Connor, Biometrics 43 (1987) 207-211; Card et al., EMNLP 2020, 9263-9274 (why it matters).

    >>> round(minimum_detectable_difference(300), 3), round(minimum_detectable_difference(3000), 3)
    (0.072, 0.023)
    """
    if n < 1 or not 0 < discordance <= 1 or not 0.5 <= power < 1:
        raise ConfigError(
            "config.invalid",
            f"n must be >= 1, discordance in (0, 1], power in [0.5, 1); got {n}, {discordance}, {power}",
        )
    z_a, z_b = normal_quantile(level), _power_quantile(power)
    root = n - z_a**2 + z_b**2
    if root >= 0:
        delta = math.sqrt(discordance) * (z_a * math.sqrt(n) + z_b * math.sqrt(root)) / (n + z_b**2)
        if delta <= discordance:
            return delta
    if n < z_a**2:
        return math.inf
    return float(optimize.brentq(lambda d: n * d - (z_a + z_b * math.sqrt(1 - d)) ** 2, 0.0, 1.0))


def rows_needed(difference: float, *, discordance: float = 0.2, power: float = 0.8, level: float = 0.95) -> int:
    """Rows on which a paired test finds a true difference of two proportions with ``power``.

    The same equation as :func:`minimum_detectable_difference`, read the other way. A discordance below the difference
    cannot be; then the difference itself is taken.

    Raises:
        ConfigError: ``config.invalid``: a difference of 0, which no number of rows finds, or one beyond 1.

    >>> rows_needed(0.05), rows_needed(0.02)
    (626, 3923)
    """
    delta = abs(difference)
    if not 0 < delta <= 1 or not 0 < discordance <= 1 or not 0.5 <= power < 1:
        message = f"difference and discordance must lie in (0, 1], power in [0.5, 1); got {difference}, {discordance}"
        raise ConfigError("config.invalid", f"{message}, {power}")
    psi = max(discordance, delta)
    z_a, z_b = normal_quantile(level), _power_quantile(power)
    return math.ceil((z_a * math.sqrt(psi) + z_b * math.sqrt(psi - delta**2)) ** 2 / delta**2)


def rows_to_decide(difference: Interval, n: int, *, power: float = 0.8, of_seeds: float = 0.0) -> int | None:
    """Rows in all that would decide, with ``power``, if the difference that was seen on ``n`` rows were the true one.

    The interval's half width shrinks with the root of the rows, so with a standard error e of the difference d that is
    n (z_a + z_b)^2 e^2 / d^2; ``n`` itself where the interval leaves 0 out already. It holds for any metric and for
    rows in groups (as many new groups as new rows then). What was seen is itself uncertain: a plan, not a promise.
    With several seeds a share of e^2 is theirs (``of_seeds``) and stays whatever the rows.

    Returns:
        None where no number of rows can be named: no difference was seen, its spread is unknown, or the seeds alone
        differ too much.

    >>> rows_to_decide(Interval(0.03, -0.03, 0.09, 0.95, "any"), 200)
    1635
    >>> rows_to_decide(Interval(0.03, -0.01, 0.07, 0.95, "any"), 200, of_seeds=0.1)
    1027
    >>> rows_to_decide(Interval(0.03, 0.01, 0.05, 0.95, "any"), 200)
    200
    """
    if not 0.5 <= power < 1:
        raise ConfigError("config.invalid", f"power must lie in [0.5, 1), got {power}")
    if not difference.low <= 0 <= difference.high:
        return n
    half = (difference.high - difference.low) / 2
    if not math.isfinite(half) or not difference.estimate:
        return None
    z_a, z_b = normal_quantile(difference.level), _power_quantile(power)
    found = rows_for(((z_a + z_b) / z_a * half / difference.estimate) ** 2, n, of_seeds=of_seeds)
    return None if found is None else max(n, found)


def rows_for(times: float, n: int, *, of_seeds: float = 0.0) -> int | None:
    """Rows in all that lessen a variance seen on ``n`` rows so many times, where a share of it is the seeds' and stays.

    With v(n') = v (s + (1 - s) n / n') and v / v(n') = times: n' = n (1 - s) / (1 / times - s).

    >>> rows_for(2.0, 100), rows_for(2.0, 100, of_seeds=0.25), rows_for(2.0, 100, of_seeds=0.5)
    (200, 300, None)
    """
    left = 1 / times - of_seeds if times > 0 else math.inf
    return math.ceil(n * (1 - of_seeds) / left) if left > 0 else None


def _power_quantile(power: float) -> float:
    return float(stats.norm.ppf(power))
