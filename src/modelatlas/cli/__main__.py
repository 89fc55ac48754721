"""`python -m modelatlas.cli` is the `modelatlas` command."""

from modelatlas.cli.app import main

if __name__ == "__main__":
    main()
