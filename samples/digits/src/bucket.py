"""The bucket that the stages share, by the S3 protocol and the standard library.

BUCKET_HOST, BUCKET_PORT, BUCKET_NAME, AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY are what an ObjectBucketClaim gives a pod. Requests are
signed as AWS Signature Version 4 says.
"""

import datetime
import hashlib
import hmac
import http.client
import os
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree


class Missing(Exception):
    """There is no such object."""


def available():
    return "BUCKET_NAME" in os.environ


class Bucket:
    def __init__(self):
        env = os.environ
        self.host, self.port, self.name = env["BUCKET_HOST"], int(env.get("BUCKET_PORT", "80")), env["BUCKET_NAME"]
        self.key, self.secret = env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]
        self.region = env.get("BUCKET_REGION") or "us-east-1"

    def get(self, key):
        return self.request("GET", key)

    def put(self, key, content):
        self.request("PUT", key, content if isinstance(content, bytes) else content.encode())

    def delete(self, key):
        self.request("DELETE", key)

    def list(self, prefix):
        """Returns the keys with a prefix, sorted."""
        keys, query = [], {"list-type": "2", "prefix": prefix}
        while True:
            page = ElementTree.fromstring(self.request("GET", "", query=query))
            space = page.tag[: page.tag.index("}") + 1] if page.tag.startswith("{") else ""
            keys += [c.findtext(space + "Key") for c in page.iter(space + "Contents")]
            token = page.findtext(space + "NextContinuationToken")
            if not token:
                return sorted(keys)
            query["continuation-token"] = token

    def wait(self, key, patience=300):
        """Returns an object that somebody else is about to write."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return self.get(key)
            except Missing:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def request(self, method, key, body=b"", query=None, attempts=8):
        """Sends a request. A store that is down for a moment is asked again."""
        path = urllib.parse.quote(f"/{self.name}/{key}" if key else f"/{self.name}")
        search = urllib.parse.urlencode(sorted((query or {}).items()), quote_via=urllib.parse.quote)
        for attempt in range(1, attempts + 1):
            try:
                connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
                connection.request(method, path + ("?" + search if search else ""), body, self.signed(method, path, search, body))
                response = connection.getresponse()
                status, content = response.status, response.read()
                connection.close()
            except OSError as problem:
                status, content = 503, str(problem).encode()
            if status < 300:
                return content
            if status == 404:
                raise Missing(key)
            if status < 500 or attempt == attempts:
                raise OSError(f"{method} {key}: the store says {status}: {content[:200].decode(errors='replace')}")
            time.sleep(min(2.0, 0.1 * 2**attempt))

    def signed(self, method, path, search, body):
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        payload = hashlib.sha256(body).hexdigest()
        headers = {"host": f"{self.host}:{self.port}", "x-amz-content-sha256": payload, "x-amz-date": stamp}
        names = ";".join(sorted(headers))
        lines = "".join(f"{k}:{headers[k]}\n" for k in sorted(headers))
        request = "\n".join([method, path, search, lines, names, payload])
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
        key = ("AWS4" + self.secret).encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, Signature={signature}"
        return headers
