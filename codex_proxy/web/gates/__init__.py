"""The gates that every request passes first, in this order: connections, hosts, auth, limits."""
