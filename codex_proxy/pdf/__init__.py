"""PDF files as text and images of their pages. They are hostile, so what parses them runs in a process of its own."""
