#!/usr/bin/env bash
# Passkeys with unmodified aws-amplify in a real browser.
. "$(dirname "$0")/lib.sh"
start_usher

# idp OPERATION JSON is for settings that an older AWS CLI does not know.
key=$(aws configure get aws_access_key_id):$(aws configure get aws_secret_access_key)
idp() {
  curl -fsS --aws-sigv4 "aws:amz:$AWS_REGION:cognito-idp" --user "$key" -H 'Content-Type: application/x-amz-json-1.1' \
    -H "X-Amz-Target: AWSCognitoIdentityProviderService.$1" -d "$2" "$endpoint"
}
# new_pool VERIFICATION makes a pool with passkeys and the user lin, and sets $pool and $client.
new_pool() {
  pool=$(idp CreateUserPool '{"PoolName":"people","Policies":{"SignInPolicy":{"AllowedFirstAuthFactors":["PASSWORD","WEB_AUTHN"]}}}' | jq -r .UserPool.Id)
  client=$(idp CreateUserPoolClient '{"UserPoolId":"'"$pool"'","ClientName":"app","ExplicitAuthFlows":["ALLOW_USER_AUTH","ALLOW_REFRESH_TOKEN_AUTH"]}' | jq -r .UserPoolClient.ClientId)
  equal "$(idp SetUserPoolMfaConfig '{"UserPoolId":"'"$pool"'","WebAuthnConfiguration":{"RelyingPartyId":"localhost","UserVerification":"'"$1"'"}}' | jq -r .WebAuthnConfiguration.RelyingPartyId)" localhost
  aws cognito-idp admin-create-user --user-pool-id "$pool" --username lin --message-action SUPPRESS >/dev/null
  aws cognito-idp admin-set-user-password --user-pool-id "$pool" --username lin --password 'Orbital-Mechanics-62' --permanent
}
new_pool required
strict=$pool strict_client=$client
new_pool preferred

POOL=$pool CLIENT=$client STRICT=$strict STRICT_CLIENT=$strict_client ENDPOINT=$endpoint CHROMIUM=$(command -v chromium) node "$root/test/npm/passkeys.mjs"
