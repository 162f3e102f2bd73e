# The proxy, the embedded model server and the models of this repository in one container, for places that run just one:
# App Engine, a small virtual machine. Logs go to standard error.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
COPY deploy/docker/install /install/
COPY deploy/docker/requirements /install/requirements
RUN /install/install packages all-in-one && /install/install keep-library
WORKDIR /source
COPY . .
RUN rm -r training/weights && /install/install scenery

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="scenery" \
      org.opencontainers.image.description="Takes a photo, answers with labels; proxy, model server and model in one" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /venv /venv
WORKDIR /scenery
COPY serving.config ./
COPY models models
USER 65534:65534
ENV PATH=/venv/bin:$PATH
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8080/readyz')"]
ENTRYPOINT ["scenery", "serve", "--host=0.0.0.0", "--run-dir=/tmp/scenery", "--log-to-console"]
