"""``arn serve``: maps, overlays and cutouts over HTTP, and a page to drop pictures on."""

from __future__ import annotations

import importlib
import math
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from arn.config.compose import run_hydra
from arn.config.requests import ServeRequest
from arn.data.decoders import limit_megapixels
from arn.errors import ArnError
from arn.verbs.predict import choose_method, described

PACKAGES = ("uvicorn", "starlette", "python_multipart", "prometheus_client")

console = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    run_hydra("serve", recipe, arguments)


def recipe(config: DictConfig) -> None:
    request = ServeRequest.of(config)
    require_packages()
    import uvicorn

    from arn.serving.app import make_app
    from arn.serving.limits import Limits

    limit_megapixels(request.max_megapixels)
    with ends_on_sigterm(), listen(request.host, request.port) as listener:
        method = choose_method(request)
        method.maps([np.zeros((64, 64, 3), np.uint8)])  # what is compiled, or fails, at the first picture does so now
        limits = Limits(request.max_megabytes, request.max_megapixels, request.max_requests, request.timeout)
        options = uvicorn.Config(
            make_app(method, limits, method.batch_size, [request.host, *request.hosts]),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=math.ceil(request.timeout),
        )
        console.print(f"{method.name} on {described(method)}")
        console.print(f"{address(listener)} (Ctrl-C ends it)")
        uvicorn.Server(options).run(sockets=[listener])


def require_packages() -> None:
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ArnError(f"{package} is needed and not installed: pip install 'arn-saliency[serve]'") from error


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections already. Raises ArnError where the address or the port is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ArnError(
            f"host={host} port={port}: {why}; choose another port, or port=0 for any that is free"
        ) from error


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def ends_on_sigterm() -> Iterator[None]:
    """SIGTERM, too, ends the service as it should: uvicorn finishes what was begun, and the exit status is 0."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
