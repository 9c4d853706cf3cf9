#!/usr/bin/env bash
# Second factors and remembered devices with unmodified amazon-cognito-identity-js.
. "$(dirname "$0")/lib.sh"
start_usher

# new_pool NAME OPTION… makes a pool with one user and sets $pool and $client.
new_pool() {
  local user=$1
  shift
  pool=$(aws cognito-idp create-user-pool --pool-name "$user" "$@" --query UserPool.Id --output text)
  client=$(aws cognito-idp create-user-pool-client --user-pool-id "$pool" --client-name app \
    --explicit-auth-flows ALLOW_USER_SRP_AUTH ALLOW_REFRESH_TOKEN_AUTH --query UserPoolClient.ClientId --output text)
  aws cognito-idp admin-create-user --user-pool-id "$pool" --username "$user" --message-action SUPPRESS --user-attributes Name=phone_number,Value=+15550001234 >/dev/null
  aws cognito-idp admin-set-user-password --user-pool-id "$pool" --username "$user" --password 'Nanosecond-11.8' --permanent
}

new_pool ada --device-configuration ChallengeRequiredOnNewDevice=true,DeviceOnlyRememberedOnUserPrompt=false
REQUIRED=$pool REQUIRED_CLIENT=$client
aws cognito-idp set-user-pool-mfa-config --user-pool-id "$pool" --mfa-configuration ON --software-token-mfa-configuration Enabled=true >/dev/null

new_pool grace --user-pool-tags '{"usher:recovery-codes":"true"}'
OPTIONAL=$pool OPTIONAL_CLIENT=$client
aws cognito-idp set-user-pool-mfa-config --user-pool-id "$pool" --mfa-configuration OPTIONAL --software-token-mfa-configuration Enabled=true \
  --sms-mfa-configuration '{"SmsConfiguration":{"SnsCallerArn":"arn:aws:iam::123456789012:role/sms"}}' >/dev/null
equal "$(aws cognito-idp get-user-pool-mfa-config --user-pool-id "$pool" --query MfaConfiguration --output text)" OPTIONAL

export REQUIRED REQUIRED_CLIENT OPTIONAL OPTIONAL_CLIENT
ENDPOINT=$endpoint USHER=$root/bin/usher node "$root/test/npm/mfa.mjs"
