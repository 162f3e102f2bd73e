# The proxy: no TensorFlow, not root, nothing to write.
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY scenery scenery
COPY training training
COPY export export
COPY serving serving
COPY rollout rollout
COPY proxy proxy
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir '.[proxy]'

FROM python:3.12-slim
COPY --from=build /venv /venv
USER 65534:65534
ENV SCENERY_LISTEN_HOST=0.0.0.0
EXPOSE 8080
ENTRYPOINT ["/venv/bin/scenery", "proxy"]
