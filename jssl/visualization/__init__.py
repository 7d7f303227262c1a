"""Pictures and pages made of arrays; nothing here knows a config or an experiment."""
