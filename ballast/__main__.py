"""`python -m ballast …` is `ballast …`."""

from __future__ import annotations

from ballast.cli.main import main

if __name__ == "__main__":
    main()
