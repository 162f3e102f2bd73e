# The proxy: no TensorFlow, not root, nothing to write but /tmp.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
COPY deploy/docker/install /install/
COPY deploy/docker/requirements /install/requirements
RUN /install/install packages proxy && /install/install verify
WORKDIR /source
COPY . .
RUN rm -r training/weights && /install/install scenery

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="scenery-proxy" \
      org.opencontainers.image.description="Takes a photo, answers with labels; in front of TensorFlow Serving" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /venv /venv
# Where a volume for sampled photos may be mounted (SCENERY_SAMPLE_FOLDER): it takes over whose the folder is.
RUN install --directory --owner 65534 --group 65534 /var/lib/scenery
USER 65534:65534
ENV PATH=/venv/bin:$PATH SCENERY_LISTEN_HOST=0.0.0.0
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8080/readyz')"]
ENTRYPOINT ["scenery", "proxy"]
