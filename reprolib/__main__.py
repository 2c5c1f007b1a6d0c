"""`python -m reprolib`, for launchers that take a module: `torchrun -m reprolib train ...`."""

from reprolib.commands.main import main

if __name__ == "__main__":
    main()
