# The product's image: one for api, edge, worker, beat and every `manage.py` command.
# What runs is chosen by the command, see docker-compose.yml.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# --- build: every requirement by its locked hash -----------------------------------------------
FROM ${PYTHON_IMAGE} AS build
RUN python -m venv /opt/venv
WORKDIR /build
COPY requirements/base.txt requirements/s3.txt requirements/kdb.txt requirements/
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --require-hashes -r requirements/base.txt -r requirements/s3.txt
# The client of kdb+ takes 335 MB: `docker build --build-arg KDB=yes` where TIMESERIES_STORE=kdb.
ARG KDB=
RUN test -z "$KDB" || /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --require-hashes -r requirements/kdb.txt

# --- final: the interpreter, the packages, the product; no root --------------------------------
FROM ${PYTHON_IMAGE}
RUN groupadd --system --gid 10001 adhouse \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /app adhouse \
    && install --directory --owner=adhouse --group=adhouse --mode=0750 /run/adhouse \
        /var/lib/adhouse/pictures
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=config.settings.production \
    RUN_DIR=/run/adhouse \
    PICTURES_DIR=/var/lib/adhouse/pictures \
    BIND_HOST=0.0.0.0
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY manage.py ./
COPY runtime runtime
COPY commons commons
COPY accounts accounts
COPY adserver adserver
COPY counters counters
COPY timeseries timeseries
COPY deploy/kdb deploy/kdb
COPY templates templates
COPY config config
# Compiled once here: the container's file system is read-only while it runs.
RUN python -m compileall -q /app
# Production settings refuse to load without these; none of the values outlives this line.
RUN SECRET_KEY=only-for-collectstatic-0123456789-abcdefghijklmnopqrstuvwxyz ALLOWED_HOSTS=localhost \
    DATABASE_URL=postgresql://build.invalid/none REDIS_URL=redis://build.invalid/0 \
    python manage.py collectstatic --noinput
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000 8010
CMD ["gunicorn", "-c", "config/gunicorn_api.py", "config.asgi:application"]
