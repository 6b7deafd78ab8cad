"""The site that `make docs` builds of README.md and docs/."""
