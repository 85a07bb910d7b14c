# AVATAR on the CPU. Build: docker build -t avatar .   Run: see README, "In a container".
# The page is reachable from outside the container, so AVATAR_AUTH must be set.
FROM python:3.12-slim-bookworm
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN useradd --create-home avatar && mkdir -p /data /weights && chown avatar /data /weights
USER avatar
ENV AVATAR_HOST=0.0.0.0 AVATAR_DATA=/data AVATAR_WEIGHTS=/weights
RUN python -m avatar.weights fetch bundled
VOLUME /data
EXPOSE 7860
ENTRYPOINT ["python", "app.py"]
