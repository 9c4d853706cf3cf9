#!/usr/bin/env bash
# Identity pools with the AWS CLI: guests who become users, the enhanced and the basic flow, roles by rules, by token and by
# tags into different S3 prefixes, developers' identities, a role of another account, unlinking and deleting; and what the
# operator can ask.
. "$(dirname "$0")/lib.sh"
start_usher
account=$(aws sts get-caller-identity --query Account --output text)

pool=$(aws cognito-idp create-user-pool --pool-name people --schema Name=dept,AttributeDataType=String --query UserPool.Id --output text)
client=$(aws cognito-idp create-user-pool-client --user-pool-id "$pool" --client-name app --explicit-auth-flows ALLOW_USER_PASSWORD_AUTH \
  --query UserPoolClient.ClientId --output text)
idpool=$(aws cognito-identity create-identity-pool --identity-pool-name app --allow-unauthenticated-identities --allow-classic-flow \
  --developer-provider-name login.corp --cognito-identity-providers "ProviderName=cognito-idp.us-east-1.amazonaws.com/$pool,ClientId=$client" \
  --query IdentityPoolId --output text)
aws_key=cognito-idp.us-east-1.amazonaws.com/$pool host_key=127.0.0.1:$port/$pool

add_user() { # NAME DEPT
  aws cognito-idp admin-create-user --user-pool-id "$pool" --username "$1" --message-action SUPPRESS --user-attributes "Name=custom:dept,Value=$2" >/dev/null
  aws cognito-idp admin-set-user-password --user-pool-id "$pool" --username "$1" --password "Password-1!" --permanent
}
sign_in() { # NAME prints the ID token
  public cognito-idp initiate-auth --client-id "$client" --auth-flow USER_PASSWORD_AUTH --auth-parameters "USERNAME=$1,PASSWORD=Password-1!" \
    --query AuthenticationResult.IdToken --output text
}
logins() { jq -nc --arg k "$1" --arg v "$2" '{($k):$v}'; } # KEY TOKEN
get_id() { public cognito-identity get-id --identity-pool-id "$idpool" "$@" --query IdentityId --output text; }
get_credentials() { public cognito-identity get-credentials-for-identity --identity-id "$@" --output json; }
# vend IDENTITY [LOGINS [flag…]] sets c to credentials and id to the identity that they are of.
vend() {
  local identity=$1 with=()
  shift
  [ $# -eq 0 ] || { with=(--logins "$1"); shift; }
  get_credentials "$identity" "${with[@]}" "$@" >"$work/vended.json"
  mapfile -t c < <(jq -r '.Credentials | .AccessKeyId, .SecretKey, .SessionToken' "$work/vended.json")
  id=$(jq -r .IdentityId "$work/vended.json")
}
role_of_c() { as "${c[@]}" sts get-caller-identity --query Arn --output text | cut -d/ -f2; }
make_role() { # NAME AMR RESOURCE prints the ARN
  aws iam create-role --role-name "$1" --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{
    "StringEquals":{"cognito-identity.amazonaws.com:aud":"'"$idpool"'"},"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"'"$2"'"}}}]}'
  aws iam put-role-policy --role-name "$1" --policy-name data --policy-document '{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::data/'"$3"'"}]}'
}
set_roles() { # MAPPING-JSON or nothing
  aws cognito-identity set-identity-pool-roles --identity-pool-id "$idpool" --roles "authenticated=$own,unauthenticated=$guest" \
    --role-mappings "{${1:+\"$aws_key:$client\":$1}}"
}
put() { as "${c[@]}" s3 cp --only-show-errors "$work/note.txt" "s3://data/$1"; }
aws s3 mb s3://data >/dev/null
echo note >"$work/note.txt"
add_user ada sales
add_user bob art
own=$(make_role own authenticated 'own/${cognito-identity.amazonaws.com:sub}/*')
guest=$(make_role guest unauthenticated 'public/*')
sales=$(make_role sales "$aws_key" 'sales/*')
art=$(make_role art "$aws_key" 'art/*')
by_tag=$(make_role by-tag "$aws_key" 'by-tag/${aws:PrincipalTag/dept}/*')

step "a guest reads and writes what the guest's role allows, and becomes a user with the identity kept"
refused "Invalid identity pool configuration" get_credentials "$(get_id)"
set_roles
visitor=$(get_id)
vend "$visitor"
put public/guest.txt
refused AccessDenied put own/x/note.txt
refused AccessDenied as "${c[@]}" iam list-roles
ada=$(sign_in ada)
vend "$visitor" "$(logins "$aws_key" "$ada")"
equal "$id" "$visitor"
put "own/$id/note.txt"
refused AccessDenied put public/guest.txt
refused "Access to Identity '$visitor' is forbidden." get_credentials "$visitor"

step "every spelling of the login key"
for key in "$aws_key" "$host_key" "https://$aws_key" "http://$host_key"; do
  equal "$(get_id --logins "$(logins "$key" "$ada")")" "$visitor" "$key"
done
refused "Token is not from a supported provider" get_id --logins "$(logins "example.org/$pool" "$ada")"
refused "Logins don't match" get_credentials "$visitor" --logins "$(logins "$aws_key" "$(sign_in bob)")"
other=$(get_id)
vend "$other" "$(logins "$host_key" "$ada")" # the id of a guest who turns out to be ada
equal "$id" "$visitor"
refused "Access to Identity '$other' is forbidden." get_credentials "$other"

step "roles by rules: each into its own prefix"
rule() { echo '{"Claim":"custom:dept","MatchType":"Equals","Value":"'"$1"'","RoleARN":"'"$2"'"}'; }
set_roles '{"Type":"Rules","AmbiguousRoleResolution":"Deny","RulesConfiguration":{"Rules":['"$(rule sales "$sales"),$(rule art "$art")"']}}'
vend "$visitor" "$(logins "$aws_key" "$ada")"
equal "$(role_of_c)" sales
put sales/note.txt
refused AccessDenied put art/note.txt
refused AccessDenied put "own/$id/note.txt"
bob=$(sign_in bob)
bobs=$(get_id --logins "$(logins "$host_key" "$bob")")
vend "$bobs" "$(logins "$host_key" "$bob")"
put art/note.txt
refused AccessDenied put sales/note.txt
refused "The ambiguous role mapping rules for" get_credentials "$visitor" --logins "$(logins "$aws_key" "$ada")" --custom-role-arn "$art"
add_user eve law
eve=$(sign_in eve)
eves=$(get_id --logins "$(logins "$aws_key" "$eve")")
refused "The ambiguous role mapping rules for: $aws_key:$client denied this request." get_credentials "$eves" --logins "$(logins "$aws_key" "$eve")"
has "$(explained public cognito-identity get-credentials-for-identity --identity-id "$eves" --logins "$(logins "$aws_key" "$eve")")" \
  'rule 2 wants custom:dept Equals "art"; the login has ["law"]'

step "roles by token: the group's role"
aws cognito-idp create-group --user-pool-id "$pool" --group-name sellers --role-arn "$sales" --precedence 1 >/dev/null
aws cognito-idp create-group --user-pool-id "$pool" --group-name painters --role-arn "$art" --precedence 2 >/dev/null
for group in sellers painters; do aws cognito-idp admin-add-user-to-group --user-pool-id "$pool" --username ada --group-name "$group"; done
set_roles '{"Type":"Token","AmbiguousRoleResolution":"AuthenticatedRole"}'
ada=$(sign_in ada)
vend "$visitor" "$(logins "$aws_key" "$ada")"
put sales/by-token.txt
refused AccessDenied put art/by-token.txt
vend "$visitor" "$(logins "$aws_key" "$ada")" --custom-role-arn "$art"
put art/by-token.txt
refused AccessDenied put sales/by-token.txt
refused "Access to Role '$by_tag' is forbidden" get_credentials "$visitor" --logins "$(logins "$aws_key" "$ada")" --custom-role-arn "$by_tag"
vend "$bobs" "$(logins "$aws_key" "$bob")" # in no group
equal "$(role_of_c)" own

step "a claim becomes a session tag, and the tag a prefix"
own=$by_tag set_roles
aws cognito-identity set-principal-tag-attribute-map --identity-pool-id "$idpool" --identity-provider-name "$aws_key" --principal-tags dept=custom:dept >/dev/null
vend "$visitor" "$(logins "$host_key" "$ada")"
put by-tag/sales/note.txt
refused AccessDenied put by-tag/art/note.txt
vend "$bobs" "$(logins "$aws_key" "$bob")"
put by-tag/art/note.txt
refused AccessDenied put by-tag/sales/note.txt
set_roles

step "the basic flow: any role that trusts the pool, with a session name and duration of the client's"
token=$(public cognito-identity get-open-id-token --identity-id "$visitor" --logins "$(logins "$aws_key" "$ada")" --query Token --output text)
equal "$(claim "$token" iss)" "$endpoint/identity"
equal "$(claim "$token" https://aws.amazon.com/tags)" '{"principal_tags":{"dept":["sales"]}}'
assume() { public sts assume-role-with-web-identity --role-arn "$1" --role-session-name me --web-identity-token "$2" --duration-seconds 900 --output json; }
mapfile -t c < <(assume "$by_tag" "$token" | jq -r '.Credentials | .AccessKeyId, .SecretAccessKey, .SessionToken')
put by-tag/sales/basic.txt
refused AccessDenied put by-tag/art/basic.txt
refused "Not authorized to perform sts:AssumeRoleWithWebIdentity" assume "$guest" "$token"
strict=$(aws cognito-identity create-identity-pool --identity-pool-name strict --allow-unauthenticated-identities --query IdentityPoolId --output text)
refused "Basic (classic) flow is not enabled, please use enhanced flow." public cognito-identity get-open-id-token \
  --identity-id "$(public cognito-identity get-id --identity-pool-id "$strict" --query IdentityId --output text)"

step "a role of another account: only if its trust policy names the pool"
usher account create research >>"$AWS_SHARED_CREDENTIALS_FILE"
cross_role() { # NAME CONDITION
  AWS_PROFILE=research aws iam create-role --role-name "$1" --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{'"$2"'}}]}'
}
cross=$(cross_role door '"StringEquals":{"cognito-identity.amazonaws.com:aud":"'"$idpool"'"}')
refused MalformedPolicyDocument cross_role open '"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"authenticated"}'
like=$(cross_role like '"StringLike":{"cognito-identity.amazonaws.com:aud":"us-east-1:*"}')
assume "$cross" "$token" >/dev/null
refused "Not authorized" assume "$like" "$token"
own=$cross set_roles
vend "$visitor" "$(logins "$aws_key" "$ada")"
has "$(as "${c[@]}" sts get-caller-identity --query Arn --output text)" ":assumed-role/door/CognitoIdentityCredentials"
own=$like set_roles
has "$(explained public cognito-identity get-credentials-for-identity --identity-id "$visitor" --logins "$(logins "$aws_key" "$ada")")" "another account"
set_roles

step "developers' identities: a token by a signed call, linked, looked up, merged, unlinked"
developer() { aws cognito-identity get-open-id-token-for-developer-identity --identity-pool-id "$idpool" "$@" --output json; }
refused "" public cognito-identity get-open-id-token-for-developer-identity --identity-pool-id "$idpool" --logins login.corp=u1
mapfile -t dev < <(developer --logins login.corp=u1 --principal-tags dept=law --token-duration 86400 | jq -r '.IdentityId, .Token')
developer_logins=$(logins cognito-identity.amazonaws.com "${dev[1]}")
own=$(make_role dev login.corp 'by-tag/${aws:PrincipalTag/dept}/*') set_roles
vend "${dev[0]}" "$developer_logins"
put by-tag/law/dev.txt
refused AccessDenied put by-tag/sales/dev.txt
refused "Can't pass in a Cognito token" get_id --logins "$developer_logins"
refused "less than or equal to 86400" developer --logins login.corp=u1 --token-duration 86401
equal "$(aws cognito-identity lookup-developer-identity --identity-pool-id "$idpool" --developer-user-identifier u1 --query IdentityId --output text)" "${dev[0]}"
refused "Logins don't match" developer --identity-id "$visitor" --logins login.corp=ada # even the developer shows a login that it has
with_ada() { jq -nc --arg u "$1" --arg k "$aws_key" --arg v "$ada" '{"login.corp":$u,($k):$v}'; }
equal "$(developer --identity-id "$visitor" --logins "$(with_ada ada)" | jq -r .IdentityId)" "$visitor"
refused DeveloperUserAlreadyRegisteredException developer --identity-id "$visitor" --logins "$(with_ada u1)"
equal "$(aws cognito-identity merge-developer-identities --identity-pool-id "$idpool" --developer-provider-name login.corp \
  --source-user-identifier u1 --destination-user-identifier ada --query IdentityId --output text)" "$visitor"
aws cognito-identity unlink-developer-identity --identity-pool-id "$idpool" --developer-provider-name login.corp --identity-id "$visitor" --developer-user-identifier u1
refused ResourceNotFoundException aws cognito-identity lookup-developer-identity --identity-pool-id "$idpool" --developer-user-identifier u1

step "the operator finds the user of an identity and the identity of a user"
has "$(usher identity of "$idpool" "$pool" ada)" "$visitor is a user's"
has "$(usher identity show "$visitor")" "$(claim "$ada" sub) (ada) of $aws_key"
has "$(usher identity show "$visitor")" "ada of login.corp"
has "$(usher identity of "$idpool" login.corp ada)" "$visitor"
has "$(usher identity show "$other")" "disabled: it was merged into $visitor"
refused "has no identity" usher identity of "$idpool" login.corp nobody

step "unlink and delete"
public cognito-identity unlink-identity --identity-id "$bobs" --logins "$(logins "$aws_key" "$bob")" --logins-to-remove "$host_key"
refused "Access to Identity '$bobs' is forbidden." get_credentials "$bobs"
refused "Logins don't match" get_credentials "$bobs" --logins "$(logins "$aws_key" "$bob")"
has "$(usher identity show "$bobs")" "nobody can use it any more"
[ "$(get_id --logins "$(logins "$aws_key" "$bob")")" != "$bobs" ] || fail "an unlinked login has its identity back"
equal "$(aws cognito-identity delete-identities --identity-ids-to-delete "$visitor" --query 'length(UnprocessedIdentityIds)' --output text)" 0
refused "Identity '$visitor' not found." aws cognito-identity describe-identity --identity-id "$visitor"
[ "$(get_id --logins "$(logins "$aws_key" "$ada")")" != "$visitor" ] || fail "a deleted identity is back"
usher rotate-keys identity >/dev/null
equal "$(curl -fsS "$endpoint/identity/.well-known/jwks_uri" | jq -c '[.keys[].kid]')" '["us-east-1-1","us-east-1-2"]'
assume "$by_tag" "$token" >/dev/null
usher rotate-keys identity --discard >/dev/null
refused InvalidIdentityToken assume "$by_tag" "$token"
aws cognito-identity delete-identity-pool --identity-pool-id "$idpool"
refused "IdentityPool '$idpool' not found." get_id
