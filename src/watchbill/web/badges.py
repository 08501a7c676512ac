"""Badges: one small picture of one SLO's state, for whoever has its signed address."""

from __future__ import annotations

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath
from markupsafe import escape

from watchbill.api.slo_report import BADGE
from watchbill.features import slo
from watchbill.features.slo import SloView
from watchbill.kernel.errors import NotFound
from watchbill.web.shell import GivenWeb

_COLOURS = {"ok": "#1f7a45", "recovering": "#8a5a00", "firing": "#b3261e", "unmeasured": "#5c6370"}
_CHARACTER = 6.6
"""Width of a character of 11 px Verdana or its kin, roughly; the text is fitted to it."""


@get("/badges/{signed:str}", sync_to_thread=True)
def badge(web: GivenWeb, signed: FromPath[str]) -> Response[bytes]:
    """The picture. An address that was not made here is as unknown as any other."""
    if not signed.endswith(".svg"):
        raise NotFound("there is no such badge")
    with web.screens.transaction() as tx:
        claims = web.signer.verify(BADGE, signed.removesuffix(".svg"), now=tx.now)
        view = slo.slo_detail(tx, id=UUID(claims["slo"])).view
    return Response(
        draw(view).encode(),
        media_type="image/svg+xml",
        headers={"Cache-Control": "max-age=60, public", "Cross-Origin-Resource-Policy": "cross-origin"},
    )


def draw(view: SloView) -> str:
    """An SVG of 20 px height, in the form of the badges people know."""
    state = view.state.state if view.state else "unmeasured"
    left = f"{view.operation} {view.slo.target.normalize():f} %"
    remaining = view.state.budget_remaining if view.state else None
    right = {"firing": "burning"}.get(state, state)
    if remaining is not None and state != "unmeasured":
        right += f", {100 * remaining:.0f} % left"
    widths = [int(len(text) * _CHARACTER) + 14 for text in (left, right)]
    total = sum(widths)
    words = escape(f"{left}: {right}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="20" role="img" aria-label="{words}">'
        f'<title>{words}</title><rect width="{total}" height="20" rx="3" fill="#3b4048"/>'
        f'<path d="M{widths[0]} 0h{widths[1] - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1 -3 3h-{widths[1] - 3}z"'
        f' fill="{_COLOURS[state]}"/><g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="7" y="14" textLength="{widths[0] - 14}">{escape(left)}</text>'
        f'<text x="{widths[0] + 7}" y="14" textLength="{widths[1] - 14}">{escape(right)}</text></g></svg>'
    )


handlers = [badge]
