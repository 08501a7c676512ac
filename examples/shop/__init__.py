"""Four small real HTTP services that call each other, and the load that keeps them busy."""
