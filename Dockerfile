# One image for the service and for the node agent. Build: docker build -t observe .
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/observe
COPY requirements-run.lock ./
RUN /opt/observe/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements-run.lock
RUN python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir hatchling editables
COPY pyproject.toml README.md ./
COPY observe ./observe
COPY collectors ./collectors
COPY detectors ./detectors
COPY alerts ./alerts
COPY dashboards ./dashboards
RUN /opt/build/bin/python -m hatchling build -t wheel -d /dist \
 && /opt/observe/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl \
 && /opt/observe/bin/python -m compileall -q /opt/observe

FROM python:3.11-slim
# the root file system may be mounted read-only: rows go to /var/lib/observe, nothing else is written but /tmp
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin observe \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/observe
COPY --from=build /opt/observe /opt/observe
ENV PATH=/opt/observe/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DO_NOT_TRACK=1
USER 10001:10001
VOLUME /var/lib/observe
EXPOSE 8080 4318 8050 9400
# of the service, plain or with server.tls; an agent answers elsewhere or nowhere: docker run --no-healthcheck … agent
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import ssl, urllib.request as u\nc = ssl.create_default_context()\nc.check_hostname, c.verify_mode = False, ssl.CERT_NONE\ntry: u.urlopen('http://127.0.0.1:8080/healthz', timeout=2)\nexcept Exception: u.urlopen('https://127.0.0.1:8080/healthz', timeout=2, context=c)"]
ENTRYPOINT ["observe"]
CMD ["up", "-c", "/etc/observe/observe.yaml"]
