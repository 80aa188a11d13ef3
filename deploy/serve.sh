#!/bin/bash
# What a container of the management server runs: web | sockets | worker | watcher | deltas | beat | gateway | manage ARGUMENTS.
set -euo pipefail

# The database is brought up to date by `web` alone; the others wait for it.
await_database() {
    until python manage.py migrate --check > /dev/null 2>&1; do
        echo "Waiting for the database to be up to date."
        sleep 2
    done
}

case "${1:-}" in
    web)
        python manage.py migrate --noinput
        exec gunicorn config.wsgi:application --bind 0.0.0.0:8000 --worker-class gthread --workers 2 --threads 16 \
            --worker-tmp-dir /dev/shm --timeout 120 --forwarded-allow-ips '*' --limit-request-field_size 98304
        ;;
    sockets)
        await_database
        exec uvicorn config.asgi:application --host 0.0.0.0 --port 8001 --workers 2 --lifespan off \
            --no-access-log --no-proxy-headers
        ;;
    worker)
        await_database
        exec celery --app config worker --queues celery --concurrency 2 --loglevel INFO
        ;;
    watcher)
        await_database
        exec celery --app config worker --queues watch --concurrency 1 --loglevel INFO
        ;;
    deltas)
        await_database
        exec nice -n 10 celery --app config worker --queues deltas --concurrency 1 --loglevel INFO
        ;;
    beat)
        await_database
        exec celery --app config beat --schedule /tmp/beat --pidfile '' --loglevel INFO
        ;;
    gateway)
        await_database
        exec python manage.py gateway
        ;;
    manage)
        shift
        exec python manage.py "$@"
        ;;
    *)
        echo "Say what to run: web, sockets, worker, watcher, deltas, beat, gateway, or manage with its arguments." >&2
        exit 2
        ;;
esac
