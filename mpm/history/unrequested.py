"""The kinds of events about impossible messages from an agent or in its name."""

UNREQUESTED = "agent.unrequested"
CONTRADICTED = "agent.contradicted"
TOO_MANY = "agent.too_many_changes"
