"""The programme `charity-items`: what a line with a pledge donates. Source: docs/contract.md, "The rule"."""

from schemas.order import FixedPledge, Pledge

BPS_PER_WHOLE = 10_000
MINIMUM_RATE_DONATION_FEN = 2  # 0.02 yuan, the programme's minimum for a pledge by rate


def donation_fen(pledge: Pledge, paid_fen: int) -> int:
    """What a line for which `paid_fen` was paid donates, in fen: at least 1, never more than was paid.

    A fixed pledge gives its amount. A rate gives `paid_fen * bps / 10000`, rounded half up to a whole fen, but at least
    the programme's minimum.
    """
    if isinstance(pledge, FixedPledge):
        return min(pledge.fen, paid_fen)
    share_fen = (paid_fen * pledge.bps + BPS_PER_WHOLE // 2) // BPS_PER_WHOLE
    return min(max(share_fen, MINIMUM_RATE_DONATION_FEN), paid_fen)
