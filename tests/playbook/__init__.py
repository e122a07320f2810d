"""The playbook of the docs against a panel: ``make playbook``."""
