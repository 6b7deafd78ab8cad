"""The site that `make docs` builds of README.md and docs/: what mkdocs.yml can't say."""
