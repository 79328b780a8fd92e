"""What a sandbox is: profiles, limits, egress rules, tokens. Models and pure decisions; files are read, nothing more."""
