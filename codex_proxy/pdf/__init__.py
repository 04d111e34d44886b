"""Convert PDF files to text and page images. The files may be hostile, so they are parsed in a separate process."""
