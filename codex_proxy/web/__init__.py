"""HTTP. Rule: only this package and demo/ import aiohttp, and handlers are thin."""
