"""One stage of the pipeline a file: a batch in, a fold, a commit."""
