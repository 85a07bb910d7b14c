"""The engine classes, unchanged, as deployments of Ray Serve: python -m avatar.cluster > serve.yaml.

One deployment a stage, each replica one engine of the ladder (replica.py); fronts ask over HTTP (engines/clustered.py).
Ray is imported in `build`, which it calls itself, and nowhere else. docs/scale.md shows how nodes are started.
"""

import argparse
import json
import sys
from typing import Any

from avatar import gpu
from avatar.engines.base import Stage
from avatar.engines.catalog import CATALOG, RAY, STAGES, Rung, allowed, wants_card
from avatar.engines.hindrance import absence
from avatar.errors import AvatarError, SettingsError
from avatar.planner import Plan, plan
from avatar.replica import Replica
from avatar.settings import Settings

QUEUED = 64  # questions that wait for a replica; more are refused, and the front steps down
CONSISTENT = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"


def build(args: dict[str, Any]) -> Any:
    """The application of one stage, from its `args` in serve.yaml: stage, rung, host, share."""
    from ray import serve

    deployment = serve.deployment(Replica).options(name=args["stage"])
    return deployment.bind(args["rung"], args.get("share"), args.get("host", ""))


def config(settings: Settings, made: Plan, host: str, port: int, most: int) -> dict[str, Any]:
    """Of Ray Serve: a stage is an application, with the best engine that can run here. Raises SettingsError."""
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": host, "port": port},
        "logging_config": {"enable_access_log": False},
        "applications": [_application(_best(stage, settings, made), host, most) for stage in STAGES],
    }


def _best(stage: Stage, settings: Settings, made: Plan) -> Rung:
    rungs = [rung for rung in allowed(CATALOG, settings, made) if rung.stage == stage and not rung.hq]
    usable = [rung for rung in rungs if not rung.name.startswith(RAY) and absence(rung, settings) is None]
    if not usable:
        raise SettingsError(f"No engine for {stage} can run here: python app.py says why, on its Status tab.")
    return usable[0]


def _application(rung: Rung, host: str, most: int) -> dict[str, Any]:
    share = rung.share
    args: dict[str, Any] = {"stage": rung.stage, "rung": rung.name, "host": host}
    options: dict[str, float] = {"num_cpus": 1}
    if share is not None:
        kept = ("engine", "bytes", "model", "compute_type", "stages")
        args["share"] = {name: getattr(share, name) for name in kept}
        options["num_gpus"] = round(min(1.0, share.fraction + 0.005), 2)
    deployment: dict[str, Any] = {
        "name": rung.stage,
        "max_ongoing_requests": rung.parallel + rung.beside,
        "max_queued_requests": QUEUED,
        "autoscaling_config": {
            "min_replicas": 1 + len(rung.replicas),
            "max_replicas": max(most, 1 + len(rung.replicas)),
            "target_ongoing_requests": min(rung.parallel, 2),
            "policy": {"policy_function": "avatar.scaling:replicas"},
            "upscale_delay_s": 5,
            "downscale_delay_s": 120,
        },
        "health_check_period_s": 5,
        "health_check_timeout_s": 10,
        "graceful_shutdown_timeout_s": 30,
        "ray_actor_options": options,
    }
    if rung.stage == "llm":  # a seat keeps its replica: there is its prompt cache
        deployment["request_router_config"] = {"request_router_class": CONSISTENT}
    return {
        "name": rung.stage,
        "route_prefix": f"/{rung.stage}",
        "import_path": "avatar.cluster:build",
        "args": args,
        "deployments": [deployment],
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.cluster", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where the proxies of Ray Serve listen")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--replicas", type=int, default=4, help="the most of each engine")
    options = parser.parse_args(argv)
    try:
        settings = Settings.from_env()
        made = plan(gpu.Gpus(settings.vram_gib).memories(), wants_card(settings), settings.max_sessions)
        # JSON is YAML, and needs no package to be written
        print(json.dumps(config(settings, made, options.host, options.port, options.replicas), indent=2))
    except AvatarError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
