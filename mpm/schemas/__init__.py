"""One schema per resource, the same in REST, ``--json``, exports, history and webhooks.

``id`` is the last part of a resource's address: the number of a change or an event, the key id of
a token, 32 hexadecimal digits of a webhook, delivery, plan or repair. A server has its ``name``
there.
Every time is UTC with milliseconds and ``Z``.
"""
