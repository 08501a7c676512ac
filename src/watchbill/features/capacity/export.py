"""Recommended replica bounds as manifests: a Kubernetes HorizontalPodAutoscaler (autoscaling/v2) or a KEDA
ScaledObject (keda.sh/v1alpha1, Prometheus scaler)."""

from __future__ import annotations

from typing import Any, Literal

from watchbill.kernel.errors import Invalid

Format = Literal["hpa", "keda"]
_COUNTER = "http_server_request_duration_seconds_count"
FILL = 0.8
"""A replica is meant to run at this share of what it carries, so that scaling comes before shortage."""


def bounds_manifest(
    format: str, *, service: str, least: int, most: int, per_replica: float, metric: str = "http_requests_per_second"
) -> str:
    """The YAML; ``least`` and ``most`` replicas, scaled by requests per second of each.

    Raises:
        Invalid: another format.
    """
    target = per_replica * FILL
    if format == "hpa":
        return _dump(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": service},
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": service},
                    "minReplicas": least,
                    "maxReplicas": max(least, most),
                    "metrics": [
                        {
                            "type": "Pods",
                            "pods": {
                                "metric": {"name": metric},
                                "target": {"type": "AverageValue", "averageValue": f"{round(1000 * target)}m"},
                            },
                        }
                    ],
                },
            }
        )
    if format == "keda":
        return _dump(
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": {"name": service},
                "spec": {
                    "scaleTargetRef": {"name": service},
                    "minReplicaCount": least,
                    "maxReplicaCount": max(least, most),
                    "triggers": [
                        {
                            "type": "prometheus",
                            "metadata": {
                                "serverAddress": "http://prometheus.monitoring:9090",
                                "query": f'sum(rate({_COUNTER}{{job="{service}"}}[2m]))',
                                "threshold": f"{target:.4g}",
                            },
                        }
                    ],
                },
            }
        )
    raise Invalid(f"'{format}' is not a format of export", field="format", hint="hpa or keda")


def _dump(data: dict[str, Any]) -> str:
    import yaml as pyyaml

    text: str = pyyaml.safe_dump(data, sort_keys=False)
    return text
