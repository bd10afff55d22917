"""Ready configurations and deployments; code elsewhere never imports this."""
