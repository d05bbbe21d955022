"""`python -m observe` is the command line."""

from observe.cli import main

if __name__ == "__main__":
    main()
