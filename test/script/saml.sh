#!/usr/bin/env bash
# SAML federation with the AWS CLI: the responses of an identity provider become credentials of roles, once each, and
# attacks get nothing.
. "$(dirname "$0")/lib.sh"
start_usher
account=$(aws sts get-caller-identity --query Account --output text)

make_idp() { # FOLDER
  mkdir -p "$work/$1"
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=idp.example.org -keyout "$work/$1/key.pem" -out "$work/$1/cert.pem" 2>/dev/null
}
idp() { node "$root/test/npm/saml-idp.mjs" "$@" 2>/dev/null; }

step "a provider from the metadata of an identity provider"
make_idp corp
idp metadata "$work/corp" >"$work/metadata.xml"
provider=$(aws iam create-saml-provider --name corp --saml-metadata-document "file://$work/metadata.xml" --tags Key=team,Value=it --query SAMLProviderArn --output text)
equal "$provider" "arn:aws:iam::$account:saml-provider/corp"
has "$(aws iam get-saml-provider --saml-provider-arn "$provider" --query SAMLMetadataDocument --output text)" https://idp.example.org/samlify
equal "$(aws iam list-saml-provider-tags --saml-provider-arn "$provider" --query 'Tags[0].Value' --output text)" it
refused EntityAlreadyExists aws iam create-saml-provider --name corp --saml-metadata-document "file://$work/metadata.xml"
head -c 1200 "$work/metadata.xml" >"$work/cut.xml"
refused "Could not parse metadata." aws iam create-saml-provider --name cut --saml-metadata-document "file://$work/cut.xml"

step "a role for it"
saml_role() { # NAME CONDITION
  aws iam create-role --role-name "$1" --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Federated":"'"$provider"'"},"Action":["sts:AssumeRoleWithSAML","sts:TagSession","sts:SetSourceIdentity"],"Condition":{"StringEquals":{"SAML:aud":"'"$2"'"}}}]}'
}
role=$(saml_role staff https://signin.aws.amazon.com/saml)
aws iam put-role-policy --role-name staff --policy-name data --policy-document '{"Version":"2012-10-17","Statement":[
  {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::data/${aws:PrincipalTag/team}/${saml:sub}/*"}]}'
aws s3 mb s3://data >/dev/null

attributes='"https://aws.amazon.com/SAML/Attributes/Role":["arn:aws:iam::123456789012:role/x,arn:aws:iam::123456789012:saml-provider/x","'$role,$provider'"],"https://aws.amazon.com/SAML/Attributes/RoleSessionName":["ada"]'
respond() { # FOLDER SIGN [MORE-ATTRIBUTES [AGE [RECIPIENT [AUDIENCE]]]]
  idp respond "$work/$1" '{"sign":"'"$2"'","age":'"${4:-0}"',"recipient":"'"${5:-https://signin.aws.amazon.com/saml}"'","audience":"'"${6:-urn:amazon:webservices}"'","nameId":"ada@example.org","attributes":{'"$attributes${3:-}"'}}'
}
assume() { public sts assume-role-with-saml --role-arn "${2:-$role}" --principal-arn "${3:-$provider}" --saml-assertion "$1"; }

step "credentials for a signed assertion, a signed response, and both"
for sign in assertion message both; do
  assume "$(respond corp $sign ',"https://aws.amazon.com/SAML/Attributes/PrincipalTag:team":["blue"],"https://aws.amazon.com/SAML/Attributes/SourceIdentity":["ada.l"]')" >"$work/$sign.json"
done
equal "$(jq -r '[.Subject,.SubjectType,.Issuer,.Audience,.SourceIdentity,.NameQualifier]|join(" ")' "$work/both.json")" \
  "ada@example.org persistent https://idp.example.org/samlify https://signin.aws.amazon.com/saml ada.l $(printf %s "https://idp.example.org/samlify$account/corp" | openssl sha1 -binary | base64)"
mapfile -t c < <(jq -r '.Credentials | .AccessKeyId, .SecretAccessKey, .SessionToken' "$work/assertion.json")
equal "$(as "${c[@]}" sts get-caller-identity --query Arn --output text)" "arn:aws:sts::$account:assumed-role/staff/ada"

step "exactly the objects that session tag and subject name"
echo mine >"$work/mine.txt"
as "${c[@]}" s3 cp --quiet "$work/mine.txt" s3://data/blue/ada@example.org/mine.txt
refused AccessDenied as "${c[@]}" s3api put-object --bucket data --key red/ada@example.org/mine.txt --body "$work/mine.txt"
refused AccessDenied as "${c[@]}" s3api put-object --bucket data --key blue/bob@example.org/mine.txt --body "$work/mine.txt"
refused AccessDenied as "${c[@]}" iam list-saml-providers

step "responses to this server's own address, where the role says so"
own=$(saml_role own "$endpoint/saml")
attributes=${attributes/"$role"/"$own"}
assume "$(respond corp assertion "" 0 "$endpoint/saml" "$endpoint/saml")" "$own" >/dev/null
refused "Not authorized to perform sts:AssumeRoleWithSAML" assume "$(respond corp assertion)" "$own"
attributes=${attributes/"$own"/"$role"}

step "each response counts once, also after a restart"
once=$(respond corp assertion)
assume "$once" >/dev/null
refused "has been used already" assume "$once"
kill "$usher_pid" && wait "$usher_pid" 2>/dev/null || true
start_usher
refused "has been used already" assume "$once"

step "attacks"
edit() { base64 -d <<<"$1" | sed "$2" | base64 -w0; }
refused "Response signature invalid" assume "$(edit "$(respond corp assertion)" 's/ada@example.org/root@example.org/')"
refused "Response signature invalid" assume "$(edit "$(respond corp assertion)" 's/<ds:Signature .*<\/ds:Signature>//')"
refused "Invalid SAMLResponse" assume "$(edit "$(respond corp assertion)" 's/ada@example.org/ada@<!-- -->example.org/')"
refused "Invalid SAMLResponse" assume "$(edit "$(respond corp assertion)" '1s/^/<!DOCTYPE x [<!ENTITY e SYSTEM "file:\/\/\/etc\/passwd">]>/')"
refused "Invalid SAMLResponse" assume "$(edit "$(respond corp assertion)" 's/\(<saml:Assertion .*<\/saml:Assertion>\)/\1\1/')"
refused "must be redeemed within 5 minutes" assume "$(respond corp assertion "" 301)"
refused "required audience" assume "$(respond corp assertion "" 0 https://signin.aws.amazon.com/saml urn:other)"
refused "required recipient" assume "$(respond corp assertion "" 0 https://elsewhere.example.org/saml)"
make_idp thief
refused "Response signature invalid" assume "$(respond thief both)"
refused "Not authorized to perform sts:AssumeRoleWithSAML" assume "$(respond corp assertion)" "arn:aws:iam::$account:role/admin"
refused "Specified provider doesn't exist" assume "$(respond corp assertion)" "$role" "$provider-2"

step "an identity pool: identity, role by an attribute, session tag, each response once"
idpool=$(aws cognito-identity create-identity-pool --identity-pool-name app --no-allow-unauthenticated-identities --allow-classic-flow \
  --saml-provider-arns "$provider" --query IdentityPoolId --output text)
pool_role() { # NAME
  aws iam create-role --role-name "$1" --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{
    "StringEquals":{"cognito-identity.amazonaws.com:aud":"'"$idpool"'"},"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"'"$provider"':SAML:*"}}}]}'
  aws iam put-role-policy --role-name "$1" --policy-name data --policy-document '{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::data/'"$1"'/${aws:PrincipalTag/team}/*"}]}'
}
plain=$(pool_role plain)
sales=$(pool_role sales)
aws cognito-identity set-identity-pool-roles --identity-pool-id "$idpool" --roles "authenticated=$plain" --role-mappings '{"'"$provider"'":{"Type":"Rules",
  "AmbiguousRoleResolution":"AuthenticatedRole","RulesConfiguration":{"Rules":[{"Claim":"dept","MatchType":"Equals","Value":"sales","RoleARN":"'"$sales"'"}]}}}'
aws cognito-identity set-principal-tag-attribute-map --identity-pool-id "$idpool" --identity-provider-name "$provider" --principal-tags team=team >/dev/null
all_attributes=$attributes attributes='"mail":["ada@example.org"]' # without the attribute Role
logins() { jq -nc --arg k "$provider" --arg v "$1" '{($k):$v}'; }
getid() { public cognito-identity get-id --identity-pool-id "$idpool" --logins "$(logins "$1")" --query IdentityId --output text; }
vend() { public cognito-identity get-credentials-for-identity --identity-id "$1" --logins "$(logins "$2")" --output json; }
ada=$(respond corp both ',"dept":["sales"],"team":["blue"]')
identity=$(getid "$ada")
equal "$(getid "$ada")" "$identity"
equal "$(getid "$(respond corp message)")" "$identity"
refused "not supported with SAML" public cognito-identity get-open-id-token --identity-id "$identity" --logins "$(logins "$ada")"
vend "$identity" "$ada" >"$work/vended.json"
mapfile -t c < <(jq -r '.Credentials | .AccessKeyId, .SecretKey, .SessionToken' "$work/vended.json")
equal "$(as "${c[@]}" sts get-caller-identity --query Arn --output text)" "arn:aws:sts::$account:assumed-role/sales/CognitoIdentityCredentials"
as "${c[@]}" s3 cp --quiet "$work/mine.txt" s3://data/sales/blue/mine.txt
refused AccessDenied as "${c[@]}" s3api put-object --bucket data --key sales/red/mine.txt --body "$work/mine.txt"
refused AccessDenied as "${c[@]}" s3api put-object --bucket data --key plain/blue/mine.txt --body "$work/mine.txt"
refused "has been used already" vend "$identity" "$ada"
refused "has been used already" getid "$ada"
vend "$identity" "$(respond corp assertion ',"team":["red"]')" >"$work/vended.json"
mapfile -t c < <(jq -r '.Credentials | .AccessKeyId, .SecretKey, .SessionToken' "$work/vended.json")
as "${c[@]}" s3 cp --quiet "$work/mine.txt" s3://data/plain/red/mine.txt
refused AccessDenied as "${c[@]}" s3api put-object --bucket data --key sales/red/mine.txt --body "$work/mine.txt"
refused "Response signature invalid" getid "$(edit "$(respond corp both)" 's/ada@example.org/root@example.org/')"
refused "Response signature invalid" getid "$(respond thief both)"
refused "required audience" getid "$(respond corp both "" 0 https://signin.aws.amazon.com/saml urn:other)"
refused "required recipient" getid "$(respond corp both "" 0 https://elsewhere.example.org/saml)"
refused "must be redeemed within 5 minutes" getid "$(respond corp both "" 301)"
attributes=$all_attributes

step "other keys, and no provider any more"
idp metadata "$work/thief" >"$work/rotated.xml"
aws iam update-saml-provider --saml-provider-arn "$provider" --saml-metadata-document "file://$work/rotated.xml" >/dev/null
refused "Response signature invalid" assume "$(respond corp assertion)"
assume "$(respond thief assertion)" >/dev/null
aws iam delete-saml-provider --saml-provider-arn "$provider"
refused "Specified provider doesn't exist" assume "$(respond thief assertion)"
