import pytest

from streams.views.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("免费午餐 é \u3000 שלום 👩‍👧", "免费午餐 é \u3000 שלום 👩‍👧"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\r\nb\t", "a\\r\\nb\\t"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text, shown):
    assert printable(text) == shown
    printable(text).encode()
