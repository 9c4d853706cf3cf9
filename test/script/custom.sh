#!/usr/bin/env bash
# Custom authentication challenges: functions behind a Lambda endpoint, amazon-cognito-identity-js in front. Then aws-amplify
# with everything that it can ask of a pool beside passwords.
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

# Users of another directory, messages in a function's words, and confirmation by link.
pool=$(aws cognito-idp create-user-pool --pool-name migrated --auto-verified-attributes email --query UserPool.Id --output text \
  --verification-message-template DefaultEmailOption=CONFIRM_WITH_LINK --lambda-config "UserMigration=$f:migrate,CustomMessage=$f:words")
client=$(aws cognito-idp create-user-pool-client --user-pool-id "$pool" --client-name app \
  --explicit-auth-flows ALLOW_USER_PASSWORD_AUTH ALLOW_USER_SRP_AUTH ALLOW_REFRESH_TOKEN_AUTH --query UserPoolClient.ClientId --output text)
ENDPOINT=$endpoint POOL=$pool CLIENT=$client USHER=$root/bin/usher node "$root/test/npm/migration.mjs"

public cognito-idp sign-up --client-id "$client" --username joan --password Analytical-1843 --user-attributes Name=email,Value=joan@example.org >/dev/null
link=$(usher inbox | grep -oE 'CustomMessage_SignUp: <a href="[^"]+"' | head -n 1 | sed 's/.*"\(.*\)"/\1/; s/&amp;/\&/g')
has "$link" "$endpoint/confirmUser?" "the link"
has "$(curl -fsS "$link")" '<button>Confirm</button>' "the page of the link"
refused UserNotConfirmedException public cognito-idp initiate-auth --client-id "$client" --auth-flow USER_PASSWORD_AUTH --auth-parameters USERNAME=joan,PASSWORD=Analytical-1843
has "$(curl -fsS --data "${link#*\?}" "$endpoint/confirmUser")" 'has been confirmed' "the button"
public cognito-idp initiate-auth --client-id "$client" --auth-flow USER_PASSWORD_AUTH --auth-parameters USERNAME=joan,PASSWORD=Analytical-1843 >/dev/null
step "a link that confirms when its button is pressed, not when it is opened"

# An identity provider, and an identity of it that is a user's.
aws cognito-idp create-identity-provider --user-pool-id "$pool" --provider-name Google --provider-type Google --idp-identifiers google.example \
  --provider-details client_id=c,client_secret=s,authorize_scopes="openid email" --attribute-mapping email=email >/dev/null
equal "$(aws cognito-idp get-identity-provider-by-identifier --user-pool-id "$pool" --idp-identifier google.example --query IdentityProvider.ProviderDetails.token_url --output text)" https://www.googleapis.com/oauth2/v4/token
aws cognito-idp update-user-pool-client --user-pool-id "$pool" --client-id "$client" --supported-identity-providers COGNITO Google \
  --explicit-auth-flows ALLOW_USER_PASSWORD_AUTH ALLOW_REFRESH_TOKEN_AUTH >/dev/null
refused 'The provider Facebook does not exist' aws cognito-idp update-user-pool-client --user-pool-id "$pool" --client-id "$client" --supported-identity-providers Facebook
aws cognito-idp admin-link-provider-for-user --user-pool-id "$pool" --destination-user ProviderName=Cognito,ProviderAttributeValue=joan \
  --source-user ProviderName=Google,ProviderAttributeName=Cognito_Subject,ProviderAttributeValue=117
token=$(public cognito-idp initiate-auth --client-id "$client" --auth-flow USER_PASSWORD_AUTH --auth-parameters USERNAME=joan,PASSWORD=Analytical-1843 --query AuthenticationResult.IdToken --output text)
has "$(claim "$token" identities)" '"userId":"117"' "identities of the ID token"
step "an identity provider, given to a client and linked to a user"

pool=$(aws cognito-idp create-user-pool --pool-name everything --query UserPool.Id --output text --auto-verified-attributes email \
  --lambda-config "DefineAuthChallenge=$f:define,CreateAuthChallenge=$f:create,VerifyAuthChallengeResponse=$f:verify" \
  --policies '{"SignInPolicy":{"AllowedFirstAuthFactors":["PASSWORD","EMAIL_OTP"]}}' --user-attribute-update-settings AttributesRequireVerificationBeforeUpdate=email \
  --device-configuration ChallengeRequiredOnNewDevice=true,DeviceOnlyRememberedOnUserPrompt=false)
aws cognito-idp set-user-pool-mfa-config --user-pool-id "$pool" --mfa-configuration OPTIONAL --software-token-mfa-configuration Enabled=true >/dev/null
client=$(aws cognito-idp create-user-pool-client --user-pool-id "$pool" --client-name app \
  --explicit-auth-flows ALLOW_CUSTOM_AUTH ALLOW_USER_SRP_AUTH ALLOW_USER_AUTH ALLOW_REFRESH_TOKEN_AUTH --query UserPoolClient.ClientId --output text)
aws cognito-idp admin-create-user --user-pool-id "$pool" --username ada --message-action SUPPRESS --temporary-password Analytical-1843 \
  --user-attributes Name=email,Value=ada@example.org Name=email_verified,Value=true >/dev/null

ENDPOINT=$endpoint POOL=$pool CLIENT=$client USHER=$root/bin/usher node "$root/test/npm/amplify-factors.mjs"
