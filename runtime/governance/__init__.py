"""Who decides over what leaves: approvals, dry runs and rollbacks."""
