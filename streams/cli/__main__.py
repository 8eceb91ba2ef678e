"""`python -m streams.cli`: the same as `everycent`."""

from streams.cli import main

main()
