"""The gateway: the front door; routes, fails over, keeps the custody tree."""
