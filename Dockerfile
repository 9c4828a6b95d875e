# A small image of pyjobs: no compiler, no root, data and logs in volumes.
#   docker build -t pyjobs . && docker run -p 8000:8000 -e IP_WHITELIST=172.17.0.0/16 pyjobs
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY completions completions
COPY src src
RUN python -m venv /opt/pyjobs && /opt/pyjobs/bin/pip install --no-cache-dir '.[mysql]'

FROM python:3.12-slim
LABEL org.opencontainers.image.title="pyjobs" org.opencontainers.image.description="A job scheduler"
COPY --from=build /opt/pyjobs /opt/pyjobs
COPY scripts/container.sh /usr/local/bin/container.sh
RUN useradd --system --uid 10001 --home-dir /app pyjobs \
    && mkdir -p /app/data /app/logs /app/functions \
    && chown -R pyjobs:pyjobs /app \
    && chmod 755 /usr/local/bin/container.sh
ENV PATH=/opt/pyjobs/bin:$PATH PYJOBS_HOME=/app HOST=0.0.0.0 PORT=8000
USER 10001
WORKDIR /app
VOLUME ["/app/data", "/app/logs"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["pyjobs", "daemon", "status", "--json"]
ENTRYPOINT ["container.sh"]
CMD ["pyjobs", "daemon", "run"]
