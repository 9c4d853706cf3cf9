#!/usr/bin/env bash
# Web identity with the AWS CLI: ID tokens of a real external OpenID Connect provider, and tokens in the shape of GitHub's and
# of a Kubernetes cluster's whose keys are uploaded. `usher trust` sets up each.
. "$(dirname "$0")/lib.sh"
start_usher
account=$(aws sts get-caller-identity --query Account --output text)
assume() { # ROLE TOKEN options…
  local role=$1 token=$2; shift 2
  public sts assume-role-with-web-identity --role-arn "arn:aws:iam::$account:role/$role" --role-session-name s1 --web-identity-token "$token" "$@"
}
denied="Not authorized to perform sts:AssumeRoleWithWebIdentity"

step "an external provider"
issuer_port=$(free_port)
issuer=http://127.0.0.1:$issuer_port
node "$root/test/npm/oidc-issuer.mjs" "$issuer_port" >"$work/issuer.log" 2>&1 &
pids+=($!)
for _ in $(seq 200); do grep -q ready "$work/issuer.log" && break; sleep 0.05; done
sign_in() { node "$root/test/npm/oidc-signin.mjs" "$issuer" "$@"; }
token=$(sign_in workload ada)
refused "No OpenIDConnect provider found in your account for $issuer" assume data "$token"

step "trusted for one audience and one subject"
said=$(usher trust oidc --issuer "$issuer" --audience workload --subject ada --role data --policy AmazonS3ReadOnlyAccess)
has "$said" "aws iam create-open-id-connect-provider --url $issuer --client-id-list workload"
has "$said" "aws iam create-role --role-name data"
refused "more than wildcards" usher trust oidc --issuer "$issuer" --audience workload --subject '*' --role anybody
assume data "$token" >"$work/session.json"
equal "$(jq -r '[.SubjectFromWebIdentityToken, .Audience, .Provider] | join(" ")' "$work/session.json")" "ada workload $issuer"
mapfile -t s < <(jq -r '.Credentials | .AccessKeyId, .SecretAccessKey, .SessionToken' "$work/session.json")
has "$(as "${s[@]}" sts get-caller-identity --query Arn --output text)" ":assumed-role/data/s1"
as "${s[@]}" s3api list-buckets >/dev/null
refused "because no identity-based policy allows the s3:CreateBucket action" as "${s[@]}" s3api create-bucket --bucket mine

step "nobody else, and nothing that was changed"
refused "$denied" assume data "$(sign_in workload eve)"
refused "Incorrect token audience" assume data "$(sign_in stranger ada)"
refused InvalidIdentityToken assume data "${token%.*}.$(sign_in workload eve | cut -d. -f3)"
unsigned=$(node -e 'const p=process.argv[1].split(".");console.log(Buffer.from(`{"alg":"none"}`).toString("base64url")+"."+p[1]+".")' "$token")
refused InvalidIdentityToken assume data "$unsigned"

step "elliptic-curve signatures too"
usher trust oidc --issuer "$issuer" --audience workload-ec --subject ada --role data-ec >/dev/null
assume data-ec "$(sign_in workload-ec ada)" >/dev/null
refused "$denied" assume data-ec "$token"

step "GitHub, with the keys uploaded"
mkdir "$work/github" "$work/cluster"
node "$root/test/npm/jwt.mjs" keys "$work/github"
github() { # SUBJECT claims…
  node "$root/test/npm/jwt.mjs" sign "$work/github" '{"iss":"https://token.actions.githubusercontent.com","aud":"sts.amazonaws.com","sub":"'"$1"'","repository":"acme/site","actor":"ada"'"${2:-}"'}'
}
usher trust github --repo acme/site --branch main --role deploy --jwks "$work/github/jwks.json" >/dev/null
usher trust github --repo acme/site --branch 'release/*' --role release >/dev/null
usher trust github --repo acme/site --environment production --role production >/dev/null
assume deploy "$(github repo:acme/site:ref:refs/heads/main)" >/dev/null
assume release "$(github repo:acme/site:ref:refs/heads/release/7)" >/dev/null
assume production "$(github repo:acme/site:environment:production)" >/dev/null
for attempt in "deploy repo:acme/site:ref:refs/heads/main2" "deploy repo:acme/site:pull_request" "deploy repo:ACME/site:ref:refs/heads/main" \
  "release repo:acme/site:ref:refs/heads/releases" "release repo:acme/site-fork:ref:refs/heads/release/7" "production repo:acme/site:environment:production-2"; do
  refused "$denied" assume "${attempt%% *}" "$(github "${attempt#* }")"
done

step "a policy that would let all of GitHub in is refused with the reason"
provider=arn:aws:iam::$account:oidc-provider/token.actions.githubusercontent.com
trust() { aws iam update-assume-role-policy --role-name deploy --policy-document '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"'"$provider"'"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":'"$1"'}}'; }
refused "must restrict the shared OIDC provider token.actions.githubusercontent.com" trust '{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"}}'
for everybody in '*' 'repo:*' '*:ref:refs/heads/main' '${token.actions.githubusercontent.com:sub}'; do
  refused "a pattern must begin with what names you there" trust '{"StringLike":{"token.actions.githubusercontent.com:sub":"'"$everybody"'"}}'
done
refused "must restrict the shared OIDC provider" trust '{"StringEquals":{"token.actions.githubusercontent.com:sub":"${token.actions.githubusercontent.com:sub}"}}'
trust '{"StringEquals":{"token.actions.githubusercontent.com:repository":"acme/site"}}'
assume deploy "$(github repo:acme/site:pull_request)" >/dev/null

step "a denial is explained"
has "$(explained assume production "$(github repo:acme/site:environment:staging)")" 'StringEquals token.actions.githubusercontent.com:sub ["repo:acme/site:environment:production"] not met: the request has ["repo:acme/site:environment:staging"]'

step "a cluster that is not connected"
node "$root/test/npm/jwt.mjs" keys "$work/cluster"
cluster=https://kubernetes.default.svc.cluster.local
usher trust kubernetes --issuer "$cluster" --namespace shop --service-account checkout --role checkout --jwks "$work/cluster/jwks.json" >/dev/null
pod() { node "$root/test/npm/jwt.mjs" sign "$work/cluster" '{"iss":"'"$cluster"'","aud":["sts.amazonaws.com"],"sub":"system:serviceaccount:'"$1"'"}'; }
assume checkout "$(pod shop:checkout)" >/dev/null
refused "$denied" assume checkout "$(pod shop:admin)"
refused "$denied" assume checkout "$(pod evil:checkout)"
