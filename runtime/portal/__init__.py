"""Upstreams, catalog, search, declarations, and the MCP server: any number of tools behind two."""
