"""How many replicas of an engine Ray Serve keeps: in its controller, which imports this and nothing else of AVATAR.

Its own count knows nothing of questions that come by lane (engines/lanes.py), so that the replicas count them all.
"""

from typing import Any

QUESTIONS = "questions"  # what a replica calls them


def replicas(context: Any) -> tuple[float, dict[str, Any]]:
    """A policy of Ray Serve, which adds its delays and limits. `context`: a ray.serve.config.AutoscalingContext."""
    asked = sum((context.aggregated_metrics or {}).get(QUESTIONS, {}).values()) + context.total_queued_requests
    return asked / context.config.get_target_ongoing_requests(), {}
