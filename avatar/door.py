"""The way in, put together: what stands before every route, in its order, from the settings. Knows no route itself."""

from collections.abc import Callable

from starlette.middleware import Middleware
from starlette.types import ASGIApp

from avatar.apart import Apart
from avatar.guard import Guard, Hosts
from avatar.guests import Doorman, Guests
from avatar.headers import SecurityHeaders
from avatar.metrics import Metrics
from avatar.owners import OwnerOf
from avatar.settings import Settings
from avatar.throttle import Throttle


def door(
    settings: Settings,
    hosts: Hosts,
    metrics: Metrics,
    guests: Guests | None,
    owner_of: OwnerOf,
    gradio_folder: str,
    login: Callable[..., ASGIApp],
) -> list[Middleware]:
    """The outermost first; `login` is the middleware that asks for the password. The headers are on refusals too; who
    is refused by name or origin costs no token."""
    layers = [
        Middleware(SecurityHeaders),
        Middleware(Guard, settings=settings, hosts=hosts, on_refusal=metrics.refusal),
    ]
    if settings.auth or not settings.loopback:
        layers.append(Middleware(Throttle, on_refusal=metrics.refusal))
    if guests is not None:
        layers.append(Middleware(Doorman, guests=guests))
    if not settings.loopback:
        layers.append(Middleware(Apart, owner_of=owner_of, folder=gradio_folder))
    if settings.auth:
        layers.append(Middleware(login, owner_of=owner_of))
    return layers
