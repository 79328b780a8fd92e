"""Child processes whose way out is the egress proxy: commands of an operator's own, and MCP servers over stdio."""
