"""What looks like personal data in texts: mail addresses, phone numbers, bank accounts, payment cards, IP addresses.

Only what can be recognised by its form is found: names and postal addresses are not. Account and card numbers count
when their check digits are right (ISO 13616 modulo 97; Luhn, ISO/IEC 7812-1), so order numbers seldom do.
"""

import re
from collections.abc import Iterable

__all__ = ["FORMS", "find_personal", "masked", "personal_counts"]

_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]\d)")
_PHONE = re.compile(r"(?<![\w.,/-])(?:\+|00|\(?0)[\d(][\d ()/.-]{5,18}\d(?![\w-]|[.,]\d)")
_IP = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\d|\.\d)")
_DATE = re.compile(r"0?\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")

#: What is looked for, as messages say it.
FORMS: tuple[str, ...] = ("mail address", "bank account", "payment card", "phone number", "IP address")


def find_personal(text: str) -> list[tuple[str, str]]:
    """What looks like personal data: (form, value); a value is counted once, as the first form that it has.

    >>> find_personal("Write to ada@example.org or +49 30 901820")
    [('mail address', 'ada@example.org'), ('phone number', '+49 30 901820')]
    >>> find_personal("IBAN DE89 3704 0044 0532 0130 00, not DE88370400440532013000")
    [('bank account', 'DE89 3704 0044 0532 0130 00')]
    >>> find_personal("order 4111 1111 1111 1112 of 03.04.2024"), find_personal("card 4111 1111 1111 1111")
    ([], [('payment card', '4111 1111 1111 1111')])
    """
    if not any(mark.isdigit() or mark == "@" for mark in text):
        return []
    found: list[tuple[str, str]] = []
    for form, pattern, counts in (
        ("mail address", _MAIL, lambda value: True),
        ("bank account", _IBAN, _is_account),
        ("payment card", _CARD, _is_card),
        ("IP address", _IP, lambda value: True),
        ("phone number", _PHONE, _is_phone),
    ):
        for match in pattern.finditer(text):
            if counts(match[0]):
                found.append((form, match[0]))
                text = text[: match.start()] + "\0" * len(match[0]) + text[match.end() :]  # no second form
    return found


def personal_counts(texts: Iterable[str]) -> dict[str, int]:
    """Texts by the form of personal data that stands in them; forms that do not occur are left out.

    >>> personal_counts(["a@b.de and c@d.de", "nothing", "x@y.org"])
    {'mail address': 2}
    """
    counts = dict.fromkeys(FORMS, 0)
    for text in texts:
        for form in {form for form, _ in find_personal(text)}:
            counts[form] += 1
    return {form: count for form, count in counts.items() if count}


def masked(text: str) -> str:
    """The text with what looks personal cut to its first character.

    >>> masked("Write to ada@example.org!")
    'Write to a…!'
    """
    for _, value in find_personal(text):
        text = text.replace(value, value[0] + "…")
    return text


def _is_account(value: str) -> bool:
    """Check digits of an IBAN: letters become 10 to 35, the first four characters go to the end, modulo 97 is 1."""
    compact = value.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(mark, 36)) for mark in compact[4:] + compact[:4])) % 97 == 1


def _is_card(value: str) -> bool:
    """Luhn: every second digit from the right doubled, digits summed, divisible by ten; issuers begin with 2 to 6."""
    digits = [int(mark) for mark in value if mark.isdigit()]
    if len(digits) < 13 or digits[0] not in {2, 3, 4, 5, 6}:
        return False
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (doubled + sum(digits[-1::-2])) % 10 == 0


def _is_phone(value: str) -> bool:
    return 8 <= sum(mark.isdigit() for mark in value) <= 15 and not _DATE.fullmatch(value)
