"""What a sandbox is: profiles, limits, egress rules, tokens. Models and pure decisions; it reads files, nothing more."""
