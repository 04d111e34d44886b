"""PDF files for tests: small ones that are whole, and some that are not."""

import base64
from collections.abc import Sequence

PASSWORD = b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (b"41" * 32, b"42" * 32)

_STRING = 30_000  # bytes: PDFium reads a string to 32 kB


def pdf(texts: Sequence[str], *, box: str = "0 0 612 792", encrypt: bytes = b"") -> bytes:
    """A page for each text."""
    bodies = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in texts:
        pieces = [text[at : at + _STRING] for at in range(0, len(text), _STRING)]
        content = b"BT /F1 24 Tf 72 700 Td %s ET" % b" ".join(b"(%s) Tj" % piece.encode() for piece in pieces)
        bodies.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents {len(bodies)} 0 R"
        bodies.append(page.encode() + b" /Resources << /Font << /F1 3 0 R >> >> >>")
        kids.append(b"%d 0 R" % len(bodies))
    bodies[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    bodies[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(kids))
    return _file(bodies, encrypt)


def _file(bodies: list[bytes], encrypt: bytes) -> bytes:
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        places.append(b"%010d 00000 n \n" % len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    more = b"/Encrypt %s /ID [<41> <41>]" % encrypt if encrypt else b""
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(bodies) + 1, b"".join(places))
    trailer = b"trailer << /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, more, len(out))
    return out + table + trailer


def file_data(content: bytes, kind: str = "application/pdf") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
