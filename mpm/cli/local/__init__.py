"""The commands on the panel's machine: in process, without a token, a web server or a network."""
