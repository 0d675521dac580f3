"""The dpdrun command as a script, for `accelerate launch cli.py train recipe.yaml` and `torchrun cli.py ...`."""

from dpdrun.__main__ import main

if __name__ == "__main__":
    main()
