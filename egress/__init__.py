"""The egress proxy: the only process that holds secrets and the only way out. Decides, injects, records."""
