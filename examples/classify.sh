#!/bin/sh
# Photos sent to the proxy with curl, in every form that it reads.
#
#   sh examples/classify.sh [http://127.0.0.1:8080]
#
# Where the proxy asks for a key, add -H "Authorization: Bearer $KEY" to each.
set -eu
proxy=${1:-http://127.0.0.1:8080}
cd "$(dirname "$0")"
# This machine is not asked by way of a web proxy.
export no_proxy="127.0.0.1,localhost,${no_proxy:-}"

echo "# One photo: its bytes are the body."
curl -sS -H 'Content-Type: image/jpeg' --data-binary @sample.jpg "$proxy/v1/classify"

echo "# The two surest labels only, from a score of 0.9."
curl -sS -H 'Content-Type: image/jpeg' --data-binary @sample.jpg "$proxy/v1/classify?top=2&threshold=0.9"

echo "# Two photos: the files of a form. Each has its own answer, or its own error."
curl -sS -F file=@sample.jpg -F file=@README.md "$proxy/v1/classify"

echo "# JSON: the bytes in base64. They grow by a third; send them as they are where you can."
printf '{"photos": [{"file": "sample.jpg", "b64": "%s"}]}' "$(base64 < sample.jpg | tr -d '\n')" |
    curl -sS -H 'Content-Type: application/json' --data-binary @- "$proxy/v1/classify"

echo "# No photo: a problem document says why, with status 415."
curl -sS -w 'status %{http_code}\n' -H 'Content-Type: image/jpeg' --data-binary @README.md "$proxy/v1/classify"

echo "# A version that is not served: status 404."
curl -sS -w 'status %{http_code}\n' -H 'Content-Type: image/jpeg' --data-binary @sample.jpg \
    "$proxy/v1/classify?version=999999"
