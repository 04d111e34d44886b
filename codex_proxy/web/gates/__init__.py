"""The gates that a request passes before anything is done for it, in this order: connections, hosts, auth, limits."""
