"""``python -m avcurate``."""

from avcurate.cli.app import main

if __name__ == "__main__":
    main()
