"""`soundalike library`, one module per action."""
