"""Demand, capacity and forecasts: when it runs out, and what to order by when."""
