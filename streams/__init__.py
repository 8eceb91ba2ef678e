"""everycent: orders in, donations and running totals out, each cent exactly once."""

__version__ = "0.1.0"
