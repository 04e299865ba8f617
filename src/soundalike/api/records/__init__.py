"""Answers as plain values: what the command line prints as JSON, and what the HTTP interface answers.

Every record is a frozen dataclass whose field names are the keys. Import the modules directly.
"""
