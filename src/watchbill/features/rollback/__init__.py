"""Rollback: undoing a bad change on a runner of the team, by the team's rules."""
