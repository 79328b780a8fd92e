"""What a sandbox is: profiles, limits, egress rules and tokens. Models and pure decisions, no I/O beyond loading files."""
