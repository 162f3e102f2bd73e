# The embedded model server: TensorFlow's shared library without its Python part; not root, nothing to write but /tmp.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
COPY deploy/docker/install /install/
COPY deploy/docker/requirements /install/requirements
RUN /install/install packages model-server && /install/install keep-library
WORKDIR /source
COPY . .
RUN rm -r training/weights && /install/install scenery

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="scenery-model-server" \
      org.opencontainers.image.description="A drop-in for tensorflow_model_server on one machine" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /venv /venv
USER 65534:65534
ENV PATH=/venv/bin:$PATH
EXPOSE 8500 8501
ENTRYPOINT ["scenery-model-server", "--host=0.0.0.0", "--port=8500", "--rest_api_port=8501"]
