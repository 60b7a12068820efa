"""`python -m retouch.cli`."""

from retouch.cli import main

raise SystemExit(main())
