# Two images from one file:
#   panel  web, control worker and beat: no root, no compiler, nothing writable but /tmp
#   agent  the same code with dnf, rpm and Apache: an agent and a lab server to manage

FROM debian:12-slim AS python
RUN apt-get update -q \
 && apt-get install -q -y --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/*
ENV PATH=/srv/ea4/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
WORKDIR /srv/ea4

FROM python AS build
RUN apt-get update -q && apt-get install -q -y --no-install-recommends python3-venv
COPY requirements/runtime.lock requirements/runtime.lock
RUN python3 -m venv .venv \
 && .venv/bin/pip install -q --no-cache-dir --require-hashes --only-binary :all: \
      -r requirements/runtime.lock
COPY manage.py pyproject.toml LICENSE ./
COPY easyapache easyapache
COPY mpm mpm
COPY templates templates
COPY static static
COPY locale locale
COPY docs docs
# A key for this one command; the image holds none.
RUN SECRET_KEY="$(python3 -c 'import secrets; print(secrets.token_hex())')" VAR_DIR=/srv/ea4/var \
    python3 -m compileall -q easyapache mpm \
 && SECRET_KEY="$(python3 -c 'import secrets; print(secrets.token_hex())')" VAR_DIR=/srv/ea4/var \
    .venv/bin/python manage.py collectstatic --no-input -v 0

FROM python AS panel
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin ea4panel
COPY --from=build /srv/ea4 /srv/ea4
ENV VAR_DIR=/srv/ea4/var HOME=/tmp
USER 10001:10001
EXPOSE 8000
# Whatever starts first: the web part waits for its tables by itself.
CMD ["python", "manage.py", "when_ready", "--", \
     "gunicorn", "--preload", "easyapache.wsgi:application", "--bind", "0.0.0.0:8000", \
     "--worker-class", "easyapache.web_worker.WholeRequests", "--workers", "2", "--threads", "8", \
     "--timeout", "60", "--graceful-timeout", "10", "--keep-alive", "15", \
     "--worker-tmp-dir", "/tmp", "--no-control-socket", "--access-logfile", "-"]

FROM python AS agent
COPY lab/system.py /tmp/system.py
RUN apt-get update -q \
 && apt-get install -q -y --no-install-recommends $(python3 /tmp/system.py --list) \
 && rm -rf /var/lib/apt/lists/* /tmp/system.py
COPY --from=build /srv/ea4 /srv/ea4
COPY lab lab
COPY demo demo
ENV EA4_DATA=/var/lib/ea4 EA4_LAB_CACHE=/var/lib/ea4/cache
VOLUME /var/lib/ea4
# Root, because a package manager needs it: inside this container only.
CMD ["python", "-m", "demo.agent"]
