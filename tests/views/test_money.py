import pytest

from streams.views.money import format_yuan


@pytest.mark.parametrize(
    ("fen", "text"),
    [
        (0, "0.00"),
        (2, "0.02"),
        (12_345, "123.45"),
        (1_234_567_890, "12,345,678.90"),
        (2**63 - 1, "92,233,720,368,547,758.07"),  # a float would say ….08
        (-5, "-0.05"),
    ],
)
def test_fen_read_as_yuan_to_the_last_fen(fen, text):
    assert format_yuan(fen) == text
