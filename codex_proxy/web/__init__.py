"""Law of this room: it knows HTTP, and with demo/ it is the only one that imports aiohttp. Handlers are thin."""
