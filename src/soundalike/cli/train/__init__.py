"""`soundalike train`, one module per command."""
