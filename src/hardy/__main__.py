"""`python -m hardy`: the same as the `hardy` command."""

from hardy.cli.main import main

if __name__ == "__main__":
    main()
