"""Rollouts seen in a Kubernetes cluster: Deployments are watched, what they show is told to the ledger of changes."""
