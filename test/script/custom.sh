#!/usr/bin/env bash
# Custom authentication challenges: functions behind a Lambda endpoint, amazon-cognito-identity-js in front.
. "$(dirname "$0")/lib.sh"
lambda_port=$(free_port)
node "$root/test/npm/lambda.mjs" "$lambda_port" >"$work/lambda.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do grep -q ready "$work/lambda.log" 2>/dev/null && break; sleep 0.05; done
echo lambda-key:lambda-secret >"$work/lambda-credentials"
start_usher --lambda "http://127.0.0.1:$lambda_port" --lambda-credentials-file "$work/lambda-credentials"

f=arn:aws:lambda:us-east-1:123456789012:function
pool=$(aws cognito-idp create-user-pool --pool-name people --query UserPool.Id --output text \
  --lambda-config "DefineAuthChallenge=$f:define,CreateAuthChallenge=$f:create,VerifyAuthChallengeResponse=$f:verify")
client=$(aws cognito-idp create-user-pool-client --user-pool-id "$pool" --client-name app \
  --explicit-auth-flows ALLOW_CUSTOM_AUTH ALLOW_USER_SRP_AUTH ALLOW_REFRESH_TOKEN_AUTH --query UserPoolClient.ClientId --output text)
aws cognito-idp admin-create-user --user-pool-id "$pool" --username ada --message-action SUPPRESS --user-attributes Name=email,Value=ada@example.org >/dev/null
aws cognito-idp admin-set-user-password --user-pool-id "$pool" --username ada --password Analytical-1843 --permanent

ENDPOINT=$endpoint POOL=$pool CLIENT=$client node "$root/test/npm/custom.mjs"
