"""`python -m dpdrun`: the command line where its script is not on the path."""

from dpdrun.commands import main

if __name__ == "__main__":
    main()
