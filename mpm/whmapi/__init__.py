"""WHM API 1 under ``/json-api/``: the functions of EasyApache 4, so that a script written for
WHM works when it is pointed here."""
