"""`python -m modelatlas.cli` is the `modelatlas` command."""

from modelatlas.cli.start import main

if __name__ == "__main__":
    main()
