"""The packages on a whole machine with systemd as process 1: ``make machine-test``."""
