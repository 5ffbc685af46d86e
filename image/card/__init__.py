"""The SD image: its packages, its files, what boots it, and what makes it."""
