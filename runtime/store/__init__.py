"""What outlives the gateway: one interface, with SQLite and PostgreSQL behind it."""
