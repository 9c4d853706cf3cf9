#!/usr/bin/env bash
# The whole chain with the AWS CLI: sign-up with a code by mail, tokens, identity pool, credentials, and exactly the
# objects that the role allows.
. "$(dirname "$0")/lib.sh"
start_mailbox
start_usher --smtp "127.0.0.1:$smtp_port"

step "the administrator"
me=$(aws sts get-caller-identity --query Arn --output text)
has "$me" ":user/admin"
account=$(aws sts get-caller-identity --query Account --output text)

step "user pool and client"
pool=$(aws cognito-idp create-user-pool --pool-name people --auto-verified-attributes email --query UserPool.Id --output text)
client=$(aws cognito-idp create-user-pool-client --user-pool-id "$pool" --client-name app \
  --explicit-auth-flows ALLOW_USER_PASSWORD_AUTH ALLOW_USER_SRP_AUTH ALLOW_REFRESH_TOKEN_AUTH --query UserPoolClient.ClientId --output text)

step "sign-up, confirmed with the code from the mail"
public cognito-idp sign-up --client-id "$client" --username ada --password 'Analytical-1843' --user-attributes Name=email,Value=ada@example.org >"$work/signup.json"
equal "$(jq -r .CodeDeliveryDetails.Destination "$work/signup.json")" 'a***@e***' "masked destination"
refused UserNotConfirmedException public cognito-idp initiate-auth --client-id "$client" --auth-flow USER_PASSWORD_AUTH --auth-parameters USERNAME=ada,PASSWORD=Analytical-1843
refused CodeMismatchException public cognito-idp confirm-sign-up --client-id "$client" --username ada --confirmation-code 000000x
public cognito-idp confirm-sign-up --client-id "$client" --username ada --confirmation-code "$(mailed_code 1)"
equal "$(aws cognito-idp admin-get-user --user-pool-id "$pool" --username ada --query UserStatus --output text)" CONFIRMED

step "sign-in"
refused "Incorrect username or password." public cognito-idp initiate-auth --client-id "$client" --auth-flow USER_PASSWORD_AUTH --auth-parameters USERNAME=ada,PASSWORD=wrong
public cognito-idp initiate-auth --client-id "$client" --auth-flow USER_PASSWORD_AUTH --auth-parameters USERNAME=ada,PASSWORD=Analytical-1843 >"$work/auth.json"
id_token=$(jq -r .AuthenticationResult.IdToken "$work/auth.json")
access_token=$(jq -r .AuthenticationResult.AccessToken "$work/auth.json")
issuer=$(claim "$id_token" iss)
equal "$issuer" "$endpoint/$pool" issuer
equal "$(curl -fsS "$issuer/.well-known/openid-configuration" | jq -r .issuer)" "$issuer" "discovery"
equal "$(public cognito-idp get-user --access-token "$access_token" --query Username --output text)" ada

step "identity pool with roles for users and guests"
provider=cognito-idp.us-east-1.amazonaws.com/$pool
idpool=$(aws cognito-identity create-identity-pool --identity-pool-name app --allow-unauthenticated-identities --allow-classic-flow \
  --cognito-identity-providers "ProviderName=$provider,ClientId=$client" --query IdentityPoolId --output text)
role() { # NAME AMR POLICY
  aws iam create-role --role-name "$1" --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{
    "StringEquals":{"cognito-identity.amazonaws.com:aud":"'"${4:-$idpool}"'"},"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"'"$2"'"}}}]}'
  aws iam put-role-policy --role-name "$1" --policy-name data --policy-document "$3"
}
user_role=$(role app-user authenticated '{"Version":"2012-10-17","Statement":[
  {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::data/private/${cognito-identity.amazonaws.com:sub}/*"},
  {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/public/*"}]}')
guest_role=$(role app-guest unauthenticated '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/public/*"}]}')
aws cognito-identity set-identity-pool-roles --identity-pool-id "$idpool" --roles "authenticated=$user_role,unauthenticated=$guest_role"

step "the administrator's objects"
aws s3 mb s3://data >/dev/null
echo for everybody >"$work/public.txt"
aws s3 cp --quiet "$work/public.txt" s3://data/public/hello.txt
aws s3 cp --quiet "$work/public.txt" s3://data/private/somebody-else/secret.txt

step "credentials of the user's role"
# The guest comes first: signing in keeps the identity.
guest_id=$(public cognito-identity get-id --identity-pool-id "$idpool" --query IdentityId --output text)
public cognito-identity get-credentials-for-identity --identity-id "$guest_id" >"$work/guest.json"
public cognito-identity get-credentials-for-identity --identity-id "$guest_id" --logins "$provider=$id_token" >"$work/user.json"
identity=$(jq -r .IdentityId "$work/user.json")
equal "$identity" "$guest_id" "the guest's identity is kept"
equal "$(public cognito-identity get-id --identity-pool-id "$idpool" --logins "$provider=$id_token" --query IdentityId --output text)" "$identity" "the user's identity"
creds() { jq -r '.Credentials | .AccessKeyId, (.SecretKey // .SecretAccessKey), .SessionToken' "$1"; }
mapfile -t u < <(creds "$work/user.json")
mapfile -t g < <(creds "$work/guest.json")
has "$(as "${u[@]}" sts get-caller-identity --query Arn --output text)" ":assumed-role/app-user/CognitoIdentityCredentials"

step "exactly the objects that the role allows"
echo mine >"$work/mine.txt"
as "${u[@]}" s3 cp --quiet "$work/mine.txt" "s3://data/private/$identity/mine.txt"
as "${u[@]}" s3 cp --quiet "s3://data/private/$identity/mine.txt" "$work/back.txt"
equal "$(cat "$work/back.txt")" mine
as "${u[@]}" s3 cp --quiet s3://data/public/hello.txt "$work/back.txt"
equal "$(cat "$work/back.txt")" "for everybody"
refused "is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::data/private/somebody-else/secret.txt because no identity-based policy allows the s3:PutObject action" \
  as "${u[@]}" s3api put-object --bucket data --key private/somebody-else/secret.txt --body "$work/mine.txt"
refused AccessDenied as "${u[@]}" s3api get-object --bucket data --key private/somebody-else/secret.txt "$work/no.txt"
refused AccessDenied as "${u[@]}" s3api list-objects-v2 --bucket data
refused AccessDenied as "${u[@]}" iam list-users

step "the guest reads public objects and nothing else"
as "${g[@]}" s3 cp --quiet s3://data/public/hello.txt "$work/back.txt"
refused AccessDenied as "${g[@]}" s3api get-object --bucket data --key "private/$identity/mine.txt" "$work/no.txt"
refused AccessDenied as "${g[@]}" s3api put-object --bucket data --key public/x --body "$work/mine.txt"
refused "forbidden" public cognito-identity get-credentials-for-identity --identity-id "$identity"

step "the same role through AssumeRoleWithWebIdentity"
openid=$(public cognito-identity get-open-id-token --identity-id "$identity" --logins "$provider=$id_token" --query Token --output text)
public sts assume-role-with-web-identity --role-arn "$user_role" --role-session-name basic --web-identity-token "$openid" >"$work/web.json"
mapfile -t w < <(creds "$work/web.json")
as "${w[@]}" s3 cp --quiet "s3://data/private/$identity/mine.txt" "$work/back.txt"
refused AccessDenied as "${w[@]}" s3api get-object --bucket data --key private/somebody-else/secret.txt "$work/no.txt"
refused "Not authorized to perform sts:AssumeRoleWithWebIdentity" public sts assume-role-with-web-identity --role-arn "$guest_role" --role-session-name basic --web-identity-token "$openid"
refused "Not authorized to perform sts:AssumeRoleWithWebIdentity" public sts assume-role-with-web-identity --role-arn "arn:aws:iam::$account:role/missing" --role-session-name basic --web-identity-token "$openid"

step "a role that trusts another pool gives nothing"
foreign=$(role app-foreign authenticated '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}' us-east-1:00000000-0000-0000-0000-000000000000)
refused "Not authorized to perform sts:AssumeRoleWithWebIdentity" public sts assume-role-with-web-identity --role-arn "$foreign" --role-session-name web --web-identity-token "$openid"
aws cognito-identity set-identity-pool-roles --identity-pool-id "$idpool" --roles "authenticated=$foreign"
refused InvalidIdentityPoolConfigurationException public cognito-identity get-credentials-for-identity --identity-id "$identity" --logins "$provider=$id_token"

step "attacks"
flip() { node -e 'const t=process.argv[1];const i=Math.floor(t.length/2);const c=t[i]==="A"?"B":"A";console.log(t.slice(0,i)+c+t.slice(i+1))' "$1"; }
refused InvalidClientTokenId as "${u[0]}" "${u[1]}" "$(flip "${u[2]}")" sts get-caller-identity
refused SignatureDoesNotMatch as "${u[0]}" "$(flip "${u[1]}")" "${u[2]}" sts get-caller-identity
refused InvalidClientTokenId as "${g[0]}" "${g[1]}" "${u[2]}" sts get-caller-identity
none=$(node -e 'const b=o=>Buffer.from(JSON.stringify(o)).toString("base64url");const p=process.argv[1].split(".");console.log(b({alg:"none"})+"."+p[1]+".")' "$id_token")
refused NotAuthorizedException public cognito-identity get-credentials-for-identity --identity-id "$identity" --logins "$provider=$none"
refused NotAuthorizedException public cognito-identity get-credentials-for-identity --identity-id "$identity" --logins "$provider=$(flip "$id_token")"
refused "Missing a required claim: aud" public cognito-identity get-credentials-for-identity --identity-id "$identity" --logins "$provider=$access_token"
pool2=$(aws cognito-idp create-user-pool --pool-name others --query UserPool.Id --output text)
client2=$(aws cognito-idp create-user-pool-client --user-pool-id "$pool2" --client-name app --explicit-auth-flows ALLOW_USER_PASSWORD_AUTH ALLOW_REFRESH_TOKEN_AUTH --query UserPoolClient.ClientId --output text)
aws cognito-idp admin-create-user --user-pool-id "$pool2" --username eve --message-action SUPPRESS >/dev/null
aws cognito-idp admin-set-user-password --user-pool-id "$pool2" --username eve --password 'Eavesdrop-1979' --permanent
eve=$(public cognito-idp initiate-auth --client-id "$client2" --auth-flow USER_PASSWORD_AUTH --auth-parameters USERNAME=eve,PASSWORD=Eavesdrop-1979 --query AuthenticationResult.IdToken --output text)
refused NotAuthorizedException public cognito-identity get-credentials-for-identity --identity-id "$identity" --logins "$provider=$eve"
refused NotAuthorizedException public cognito-identity get-credentials-for-identity --identity-id "$identity" --logins "cognito-idp.us-east-1.amazonaws.com/$pool2=$eve"

step "signing out everywhere ends the access token"
public cognito-idp global-sign-out --access-token "$access_token"
refused "Access Token has been revoked" public cognito-idp get-user --access-token "$access_token"
refused NotAuthorizedException public cognito-idp initiate-auth --client-id "$client" --auth-flow REFRESH_TOKEN_AUTH --auth-parameters "REFRESH_TOKEN=$(jq -r .AuthenticationResult.RefreshToken "$work/auth.json")"

step "a second server on the same data is refused"
refused "in use" "$root/bin/usher" serve --listen "127.0.0.1:$(free_port)"
