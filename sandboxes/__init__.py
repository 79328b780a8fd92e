"""What a sandbox is: profiles, limits, egress rules, tokens. Models and pure decisions; files are only read."""
