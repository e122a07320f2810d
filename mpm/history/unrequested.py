"""The kinds of events that say that an agent, or somebody in its name, told what cannot be."""

UNREQUESTED = "agent.unrequested"
CONTRADICTED = "agent.contradicted"
TOO_MANY = "agent.too_many_changes"
