"""The bench of the rule on the flow of information: AgentDojo, whose model is replaced by its worst case."""
