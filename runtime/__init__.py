"""The Lockgate runtime: isolates, workers, executions, the portal and the service around them."""
