"""Does a text match a pattern of `*` (any characters) and `?` (exactly one), from end to end?"""


def matches(text: str, pattern: str) -> bool:
    """Tell whether the whole text matches.

    Only the last `*` is ever tried again, since what an earlier one took can stay taken. So the
    steps are at most text times pattern, however many stars there are.
    """
    at, want = 0, 0
    star, resume = -1, 0
    text_length, pattern_length = len(text), len(pattern)
    while at < text_length:
        sign = pattern[want] if want < pattern_length else ""
        if sign == "*":
            star, resume = want, at
            want += 1
        elif sign and (sign == "?" or sign == text[at]):
            at += 1
            want += 1
        elif star >= 0:  # let the last star take one character more
            resume += 1
            at, want = resume, star + 1
        else:
            return False
    while want < pattern_length and pattern[want] == "*":
        want += 1
    return want == pattern_length
