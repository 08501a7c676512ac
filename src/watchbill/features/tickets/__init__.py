"""Tickets: alerts of urgency ticket, in the place where their team works."""
