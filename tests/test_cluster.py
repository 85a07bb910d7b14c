"""serve.yaml: what Ray Serve is told to run."""

import json
from dataclasses import replace

import pytest

from avatar import cluster
from avatar.planner import GIB, NO_CARD, Plan, Share
from avatar.settings import Settings

USABLE = ("moonshine", "llamacpp", "espeak")


def test_each_stage_is_an_application_of_the_best_engine_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "absence", lambda rung, settings: None if rung.name in USABLE else object())
    made = cluster.config(Settings(), NO_CARD, "0.0.0.0", 8000, 4)
    assert [(app["name"], app["args"]["rung"]) for app in made["applications"]] == [
        ("stt", "moonshine"),
        ("llm", "llamacpp"),
        ("tts", "espeak"),
    ]
    mouth = made["applications"][2]["deployments"][0]
    assert mouth["max_ongoing_requests"] == 1 and mouth["autoscaling_config"]["max_replicas"] == 4
    assert "num_gpus" not in mouth["ray_actor_options"]
    json.dumps(made)


def test_the_plan_says_how_much_of_a_card_each_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "absence", lambda rung, settings: None)
    share = Share("f5", 1, 4 * GIB, 24 * GIB)
    plan = Plan(shares={"f5": share}, replicas={"f5": (replace(share, card=2),)})
    mouth = cluster.config(Settings(), plan, "127.0.0.1", 8000, 1)["applications"][2]
    assert mouth["args"]["rung"] == "f5" and mouth["args"]["share"]["bytes"] == 4 * GIB
    deployment = mouth["deployments"][0]
    assert deployment["ray_actor_options"]["num_gpus"] == 0.17
    assert deployment["autoscaling_config"]["min_replicas"] == 2
    assert deployment["max_ongoing_requests"] == 2, "a clause, and a first one in the middle of it"


def test_without_an_engine_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cluster, "absence", lambda rung, settings: object())
    assert cluster.main([]) == 1
    assert "No engine for stt" in capsys.readouterr().err
