#!/usr/bin/env bash
# Unmodified JavaScript clients: amazon-cognito-identity-js over SRP, and the AWS SDK v3 with fromCognitoIdentityPool.
. "$(dirname "$0")/lib.sh"
start_usher

pool=$(aws cognito-idp create-user-pool --pool-name people --auto-verified-attributes email --query UserPool.Id --output text)
client=$(aws cognito-idp create-user-pool-client --user-pool-id "$pool" --client-name app \
  --explicit-auth-flows ALLOW_USER_SRP_AUTH ALLOW_REFRESH_TOKEN_AUTH --query UserPoolClient.ClientId --output text)
aws cognito-idp admin-create-user --user-pool-id "$pool" --username kay --message-action SUPPRESS --temporary-password 'Temporary-1.8' >/dev/null
idpool=$(aws cognito-identity create-identity-pool --identity-pool-name app --allow-unauthenticated-identities \
  --cognito-identity-providers "ProviderName=cognito-idp.us-east-1.amazonaws.com/$pool,ClientId=$client" --query IdentityPoolId --output text)
for kind in authenticated unauthenticated; do
  aws iam create-role --role-name "web-$kind" --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{
    "StringEquals":{"cognito-identity.amazonaws.com:aud":"'"$idpool"'"},"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"'$kind'"}}}]}' >/dev/null
done
aws iam put-role-policy --role-name web-authenticated --policy-name data --policy-document '{"Version":"2012-10-17","Statement":[
  {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::web/private/${cognito-identity.amazonaws.com:sub}/*"}]}'
aws iam put-role-policy --role-name web-unauthenticated --policy-name data --policy-document '{"Version":"2012-10-17","Statement":[
  {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::web/public/*"}]}'
account=$(aws sts get-caller-identity --query Account --output text)
aws cognito-identity set-identity-pool-roles --identity-pool-id "$idpool" \
  --roles "authenticated=arn:aws:iam::$account:role/web-authenticated,unauthenticated=arn:aws:iam::$account:role/web-unauthenticated"
aws s3 mb s3://web >/dev/null
echo hello >"$work/hello.txt"
aws s3 cp --quiet "$work/hello.txt" s3://web/public/hello.txt

export ENDPOINT=$endpoint POOL=$pool CLIENT=$client IDENTITY_POOL=$idpool USHER=$root/bin/usher NODE_NO_WARNINGS=1
node "$root/test/npm/srp.mjs"
node "$root/test/npm/amplify.mjs"
