# Sourced by the scripts: starts a real usher in a folder of its own and gives a few words to say what must hold.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
pids=()
cleanup() {
  code=$?
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ $code -ne 0 ] && [ -f "$work/usher.log" ]; then echo "--- usher's log:" >&2; tail -n 15 "$work/usher.log" | cut -c1-400 >&2; fi
  rm -rf "$work"
  exit $code
}
trap cleanup EXIT

free_port() { node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }

port=$(free_port)
endpoint=http://127.0.0.1:$port
export USHER_LISTEN=127.0.0.1:$port USHER_DATA=$work/data
export AWS_ENDPOINT_URL=$endpoint AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_PAGER='' AWS_EC2_METADATA_DISABLED=true
export AWS_CONFIG_FILE=$work/aws-config AWS_SHARED_CREDENTIALS_FILE=$USHER_DATA/credentials
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN

# start_usher [flag…] starts the server and waits until it answers.
start_usher() {
  "$root/bin/usher" serve "$@" >>"$work/usher.log" 2>&1 &
  usher_pid=$!
  pids+=("$usher_pid")
  for _ in $(seq 200); do
    curl -fsS -o /dev/null "$endpoint/_usher/health" 2>/dev/null && return
    kill -0 "$usher_pid" 2>/dev/null || fail "usher did not start"
    sleep 0.05
  done
  fail "usher does not answer"
}

# start_mailbox starts a real SMTP server; mails arrive in $work/mail.
start_mailbox() {
  smtp_port=$(free_port)
  mkdir -p "$work/mail"
  node "$root/test/npm/mailbox.mjs" "$smtp_port" "$work/mail" >"$work/mailbox.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 100); do grep -q ready "$work/mailbox.log" 2>/dev/null && return; sleep 0.05; done
  fail "the SMTP server does not start"
}

# mailed_code N prints the six digits in the Nth mail.
mailed_code() {
  for _ in $(seq 200); do
    [ -f "$work/mail/$1.eml" ] && { sed '1,/^\r*$/d' "$work/mail/$1.eml" | tr -d '\r' | sed 's/=$//' | tr -d '\n' | grep -oE '[0-9]{6}' | head -n 1; return; }
    sleep 0.05
  done
  fail "mail $1 did not arrive"
}

# The AWS CLI of any version: older ones do not read AWS_ENDPOINT_URL.
aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }
# as ACCESS SECRET TOKEN command… runs aws with other credentials.
as() { local a=$1 s=$2 t=$3; shift 3; AWS_ACCESS_KEY_ID=$a AWS_SECRET_ACCESS_KEY=$s AWS_SESSION_TOKEN=$t aws "$@"; }
public() { aws --no-sign-request "$@"; }
usher() { "$root/bin/usher" "$@"; }
# explained COMMAND… must be denied; prints what usher says about it.
explained() {
  local id
  id=$("$@" --debug 2>&1 | grep -oiE "x-amzn?-request-?id': '[^']+" | tail -n 1 | sed "s/.*'//") || true
  [ -n "$id" ] || fail "no request id: $*"
  usher explain "$id"
}

fail() { echo "FAIL: $*" >&2; exit 1; }
step() { echo "  - $*"; }
equal() { [ "$1" = "$2" ] || fail "${3:-}: got '$1', want '$2'"; }
has() { case "$1" in *"$2"*) ;; *) fail "${3:-}: '$1' does not have '$2'" ;; esac; }
# refused TEXT command… must fail and say TEXT.
refused() {
  local want=$1 out
  shift
  if out=$("$@" 2>&1); then fail "was not refused: $*: $out"; fi
  has "$out" "$want" "refusal of: $*"
}
# claim TOKEN NAME prints a claim of a JWT.
claim() { node -e 'const [t,n]=process.argv.slice(1);const v=JSON.parse(Buffer.from(t.split(".")[1],"base64url"))[n];console.log(typeof v==="string"?v:JSON.stringify(v))' "$1" "$2"; }
