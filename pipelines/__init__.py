"""One pipeline per use case; `python -m pipelines --help` runs and compiles them."""
