"""The SD image."""
