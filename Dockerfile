# Skycue from its wheel, for a server without a GPU. NOT TESTED: written where no Docker is.
#   make wheel && docker build -t skycue . && docker run -p 8000:8000 -v /data:/data:ro -e SKYCUE_TOKEN=... skycue
FROM python:3.11-slim

COPY constraints.txt dist/skycue-*.whl /tmp/skycue/
# The CPU build of torch: the default one brings 3 GB of CUDA.
RUN pip install --no-cache-dir --constraint /tmp/skycue/constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu torch \
    && pip install --no-cache-dir --constraint /tmp/skycue/constraints.txt "$(ls /tmp/skycue/*.whl)[serve,cloud]" \
    && rm -r /tmp/skycue

RUN useradd --create-home skycue
USER skycue
WORKDIR /home/skycue
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v1/health')"]
ENTRYPOINT ["skycue"]
CMD ["serve", "/data", "--host", "0.0.0.0", "--port", "8000", "--state", "/home/skycue/state"]
