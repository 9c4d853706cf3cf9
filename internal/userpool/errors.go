package userpool

import (
	"fmt"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
)

// Everything that the service says to callers about what went wrong is in this file, apart from the constraint failures
// that the model words. Client libraries compare some of these texts, so they are Amazon's to the byte as far as they are known.

// Users and signing in.
var (
	errUserNotFound         = cognitoidp.ErrUserNotFound.Msg("User does not exist.")
	errNoSuchCombination    = cognitoidp.ErrUserNotFound.Msg("Username/client id combination not found.")
	errWrongPassword        = cognitoidp.ErrNotAuthorized.Msg("Incorrect username or password.")
	errLockedOut            = cognitoidp.ErrNotAuthorized.Msg("Password attempts exceeded")
	errUserDisabled         = cognitoidp.ErrNotAuthorized.Msg("User is disabled.")
	errUserNotConfirmed     = cognitoidp.ErrUserNotConfirmed.Msg("User is not confirmed.")
	errResetRequired        = cognitoidp.ErrPasswordResetRequired.Msg("Password reset required for the user")
	errTemporaryExpired     = cognitoidp.ErrNotAuthorized.Msg("Temporary password has expired and must be reset by an administrator.")
	errSignUpExists         = cognitoidp.ErrUsernameExists.Msg("User already exists")
	errAdminCreateExists    = cognitoidp.ErrUsernameExists.Msg("User account already exists")
	errSignUpNotPermitted   = cognitoidp.ErrNotAuthorized.Msg("SignUp is not permitted for this user pool")
	errAlreadyConfirmed     = cognitoidp.ErrInvalidParameter.Msg("User is already confirmed.")
	errNoAutoVerification   = cognitoidp.ErrInvalidParameter.Msg("Cannot resend codes. Auto verification not turned on.")
	errCannotResetNow       = cognitoidp.ErrNotAuthorized.Msg("User password cannot be reset in the current state.")
	errNoResetDestination   = cognitoidp.ErrInvalidParameter.Msg("Cannot reset password for the user as there is no registered/verified email or phone_number")
	errContactAdministrator = cognitoidp.ErrNotAuthorized.Msg("Contact administrator to reset password.")
	errUnauthorizedWrite    = cognitoidp.ErrNotAuthorized.Msg("A client attempted to write unauthorized attribute")
)

func errNotUnconfirmed(status string) *awsapi.Error {
	return cognitoidp.ErrNotAuthorized.Msg("User cannot be confirmed. Current status is %s", status)
}

func errResendNotPossible(username string) *awsapi.Error {
	return cognitoidp.ErrUnsupportedUserState.Msg("Resend not possible. %s status is not FORCE_CHANGE_PASSWORD", username)
}

// Sessions, tokens and client secrets.
var (
	errSession            = cognitoidp.ErrNotAuthorized.Msg("Invalid session for the user.")
	errSessionExpired     = cognitoidp.ErrNotAuthorized.Msg("Invalid session for the user, session is expired.")
	errSessionUsed        = cognitoidp.ErrNotAuthorized.Msg("Invalid session for the user, session can only be used once.")
	errAccessToken        = cognitoidp.ErrNotAuthorized.Msg("Invalid Access Token")
	errAccessTokenExpired = cognitoidp.ErrNotAuthorized.Msg("Access Token has expired")
	errAccessTokenRevoked = cognitoidp.ErrNotAuthorized.Msg("Access Token has been revoked")
	errAccessTokenScope   = cognitoidp.ErrNotAuthorized.Msg("Access Token does not have required scopes")
	errRefresh            = cognitoidp.ErrNotAuthorized.Msg("Invalid Refresh Token")
	errRefreshDevice      = cognitoidp.ErrNotAuthorized.Msg("Invalid Refresh Token.")
	errRefreshExpired     = cognitoidp.ErrNotAuthorized.Msg("Refresh Token has expired")
	errRefreshRevoked     = cognitoidp.ErrNotAuthorized.Msg("Refresh Token has been revoked")
	errFlowNotEnabled     = cognitoidp.ErrInvalidParameter.Msg("Auth flow not enabled for this client")
	errLambdaOutput       = cognitoidp.ErrInvalidLambdaResponse.Msg("Unrecognizable lambda output")
	errMigratedName       = cognitoidp.ErrInvalidParameter.Msg("The username is not valid.")
	errStepUp             = cognitoidp.ErrUnsupportedOperation.Msg("Stepping up a sign-in by TARGET_ACR_VALUES or MAX_AGE is not available in this server.")
	errNoCustomAuth       = cognitoidp.ErrInvalidParameter.Msg("Custom auth lambda trigger is not configured for the user pool.")
)

func errSecretHashMissing(client string) *awsapi.Error {
	return cognitoidp.ErrNotAuthorized.Msg("Client %s is configured with secret but SECRET_HASH was not received", client)
}

func errSecretHash(client string) *awsapi.Error {
	return cognitoidp.ErrNotAuthorized.Msg("Unable to verify secret hash for client %s", client)
}

func errRefreshSecretHash(client string) *awsapi.Error {
	return cognitoidp.ErrNotAuthorized.Msg("SecretHash does not match for the client: %s", client)
}

func errNamedFlowNotEnabled(flow string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s flow not enabled for this client", flow)
}

func errMissingParameter(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("Missing required parameter %s", name)
}

// Second factors and devices.
var (
	errFactorMismatch      = cognitoidp.ErrCodeMismatch.Msg("Invalid code or auth state for the user.")
	errTOTPMismatch        = cognitoidp.ErrCodeMismatch.Msg("Invalid code received for user")
	errTOTPUsed            = cognitoidp.ErrExpiredCode.Msg("Your software token has already been used once.")
	errEnrolMismatch       = cognitoidp.ErrEnableSoftwareTokenMFA.Msg("Code mismatch and fail enable Software Token MFA")
	errSoftwareTokenOff    = cognitoidp.ErrSoftwareTokenMFANotFound.Msg("Software Token MFA has not been enabled by the userPool")
	errSoftwareTokenGone   = cognitoidp.ErrSoftwareTokenMFANotFound.Msg("Software token MFA not found for the user.")
	errNoPendingToken      = cognitoidp.ErrSoftwareTokenMFANotFound.Msg("No software token is waiting to be verified.")
	errNoSoftwareToken     = cognitoidp.ErrInvalidParameter.Msg("User has not verified software token mfa")
	errNoTokenToDelete     = cognitoidp.ErrResourceNotFound.Msg("User has no software token.")
	errNoSecondFactor      = cognitoidp.ErrInvalidParameter.Msg("The user pool requires a second factor and the user can neither prove nor set up one.")
	errFirstChoice         = cognitoidp.ErrInvalidParameter.Msg("The answer is none of the available challenges.")
	errPreferredChallenge  = cognitoidp.ErrInvalidParameter.Msg("PREFERRED_CHALLENGE is none of PASSWORD, PASSWORD_SRP, EMAIL_OTP, SMS_OTP and WEB_AUTHN.")
	errMFAChoice           = cognitoidp.ErrInvalidParameter.Msg("The answer is none of the factors to choose from.")
	errSetupUnverified     = cognitoidp.ErrInvalidParameter.Msg("Missing required parameter EMAIL, or the session of VerifySoftwareToken")
	errTooManyCodes        = cognitoidp.ErrTooManyRequests.Msg("%s", errAttemptLimit.Message)
	errMFARequired         = cognitoidp.ErrInvalidParameter.Msg("The user pool requires MFA: factors of the user cannot be disabled.")
	errPreferredTwice      = cognitoidp.ErrInvalidParameter.Msg("Only one MFA factor can be preferred.")
	errPreferredNotEnabled = cognitoidp.ErrInvalidParameter.Msg("An MFA factor must be enabled to be preferred.")
	errMFAOptions          = cognitoidp.ErrInvalidParameter.Msg("MFAOptions takes only DeliveryMedium SMS with AttributeName phone_number.")
	errFriendlyName        = cognitoidp.ErrInvalidParameter.Msg("The name of the device is not valid.")
	errPublicA             = cognitoidp.ErrInvalidParameter.Msg("Invalid SRP_A value.")
	errMFAOffWithFactors   = cognitoidp.ErrInvalidParameter.Msg("Invalid MFA configuration given, can't turn off MFA and configure an MFA together.")
	errMFAWithoutFactors   = cognitoidp.ErrInvalidParameter.Msg("Invalid MFA configuration given, can't disable all MFAs with a required or optional configuration.")
	errMFAFirstFactor      = cognitoidp.ErrInvalidParameter.Msg("MFA cannot be required when EMAIL_OTP or SMS_OTP is an allowed first factor.")
	errEmailMFATier        = cognitoidp.ErrFeatureUnavailableInTier.Msg("Email MFA is not available in the user pool's tier.")
	errEmailMFASender      = cognitoidp.ErrInvalidParameter.Msg("Email MFA needs EmailSendingAccount DEVELOPER.")
	errEmailMFARecovery    = cognitoidp.ErrInvalidParameter.Msg("Email MFA cannot be used where accounts are recovered by e-mail alone.")
	errDeviceNotFound      = cognitoidp.ErrResourceNotFound.Msg("Device does not exist.")
	errDeviceKeyExists     = cognitoidp.ErrDeviceKeyExists.Msg("Device key already exists.")
	errForeignDeviceKey    = cognitoidp.ErrInvalidParameter.Msg("The device key is not the one that the access token was issued to.")
	errDeviceVerifier      = cognitoidp.ErrInvalidParameter.Msg("Invalid DeviceSecretVerifierConfig.")
	errMFAPasskeys         = cognitoidp.ErrInvalidParameter.Msg("WEB_AUTHN as first factor with required MFA needs FactorConfiguration MULTI_FACTOR_WITH_USER_VERIFICATION.")
	errNoDeviceTracking    = cognitoidp.ErrInvalidUserPoolConfiguration.Msg("Device tracking is not enabled for the user pool.")
)

// Passkeys.
var (
	errPasskeysOff       = cognitoidp.ErrWebAuthnNotEnabled.Msg("Passkeys are not enabled for the user pool.")
	errNoRelyingParty    = cognitoidp.ErrWebAuthnConfigurationMissing.Msg("The user pool has no relying party id.")
	errPasskeyChallenge  = cognitoidp.ErrWebAuthnChallengeNotFound.Msg("The challenge of the passkey registration was not found or has expired.")
	errPasskeyClient     = cognitoidp.ErrWebAuthnClientMismatch.Msg("The passkey registration was started by another client.")
	errPasskeyOrigin     = cognitoidp.ErrWebAuthnOriginNotAllowed.Msg("The origin of the passkey is not allowed.")
	errRelyingParty      = cognitoidp.ErrWebAuthnRelyingPartyMismatch.Msg("The passkey is not one of the user pool's relying party.")
	errPasskeyType       = cognitoidp.ErrWebAuthnCredentialNotSupported.Msg("Passkeys of this type are not supported.")
	errPasskeyUnverified = cognitoidp.ErrWebAuthnCredentialNotSupported.Msg("The user pool requires passkeys that verify the user.")
	errPasskeyExists     = cognitoidp.ErrInvalidParameter.Msg("The passkey is registered already.")
	errPasskeyNotFound   = cognitoidp.ErrResourceNotFound.Msg("Passkey does not exist.")
	errPasskeyMFAOff     = cognitoidp.ErrInvalidParameter.Msg("Passkeys are no MFA in the user pool: it needs MFA and FactorConfiguration MULTI_FACTOR_WITH_USER_VERIFICATION.")
	errPasskeyMFAAlone   = cognitoidp.ErrInvalidParameter.Msg("Passkey MFA needs another MFA factor that is enabled for the user.")
	errCredential        = cognitoidp.ErrInvalidParameter.Msg("Credential is not a valid registration response.")
	errCredentialAnswer  = cognitoidp.ErrInvalidParameter.Msg("CREDENTIAL is not a valid authentication response.")
	errRelyingPartyID    = cognitoidp.ErrInvalidParameter.Msg("RelyingPartyId must be a domain, in lower case, that is not a public suffix.")
	errPasskeyOrigins    = cognitoidp.ErrInvalidParameter.Msg("The tag %s takes origins separated by blanks: https://host[:port], http only for localhost, or android:apk-key-hash:….", tagPasskeyOrigins)
)

func errFactorNotOffered(factor string) *awsapi.Error {
	if factor == factorTOTP {
		return cognitoidp.ErrInvalidParameter.Msg("%s", errSoftwareTokenOff.Message)
	}
	return cognitoidp.ErrInvalidParameter.Msg("%s has not been enabled by the userPool", factor)
}

func errNoFactorAddress(factor string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("User does not have delivery config set to turn on %s", factor)
}

// Tracked sessions.
var (
	errSessionsTier      = cognitoidp.ErrFeatureUnavailableInTier.Msg("User session tracking is not available in the user pool's tier.")
	errSessionsUntracked = cognitoidp.ErrInvalidParameter.Msg("User session tracking is not enabled for the user pool.")
	errSessionNotFound   = cognitoidp.ErrResourceNotFound.Msg("Session does not exist.")
	errSessionCurrent    = cognitoidp.ErrInvalidParameter.Msg("The session of the access token cannot be revoked by it.")
)

// Import of users.
var (
	errImportRunning    = cognitoidp.ErrUserImportInProgress.Msg("An import job of the user pool is in progress.")
	errImportOther      = cognitoidp.ErrPreconditionNotMet.Msg("Another import job of the user pool is in progress.")
	errImportNoFile     = cognitoidp.ErrPreconditionNotMet.Msg("The CSV file of the import job has not been uploaded.")
	errImportNoVerified = cognitoidp.ErrPreconditionNotMet.Msg("The user pool verifies no attribute, so that imported users could not set a password.")
)

func errImportJobNotFound(id string) *awsapi.Error {
	return cognitoidp.ErrResourceNotFound.Msg("User import job %s does not exist.", id)
}

func errImportState(status string) *awsapi.Error {
	return cognitoidp.ErrPreconditionNotMet.Msg("The import job is in the state %s.", status)
}

func errTierChange(feature string) *awsapi.Error {
	return cognitoidp.ErrTierChangeNotAllowed.Msg("The tier cannot be changed to LITE while the user pool uses %s.", feature)
}

func errAliasAttribute(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s cannot be an alias: want %s, %s or %s.", name, attrEmail, attrPhone, attrPreferredUsername)
}

// errChangeRefused says why settings cannot be changed, and which users or clients stand in the way.
func errChangeRefused(why string, who []string) *awsapi.Error {
	const most = 20
	list := strings.Join(who[:min(len(who), most)], ", ")
	if len(who) > most {
		list += fmt.Sprintf(" and %d more", len(who)-most)
	}
	return cognitoidp.ErrInvalidParameter.Msg("The change is refused: %s: %s", why, list)
}

func errTagNotTrue(key string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("The tag %s takes true.", key)
}

func errHashAlgorithm(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%q is no PasswordHashingAlgorithm: want %s, %s, %s or %s", name, algorithmArgon2id, algorithmBcrypt, algorithmScrypt, algorithmPBKDF2)
}

// errImportRow says why a row of a file is refused. It goes to the log.
func errImportRow(why string) *awsapi.Error { return cognitoidp.ErrInvalidParameter.Msg("%s", why) }

// Codes.
var (
	errCodeMismatch  = cognitoidp.ErrCodeMismatch.Msg("Invalid verification code provided, please try again.")
	errCodeExpired   = cognitoidp.ErrExpiredCode.Msg("Invalid code provided, please request a code again.")
	errAttemptLimit  = cognitoidp.ErrLimitExceeded.Msg("Attempt limit exceeded, please try after some time.")
	errCodeNoValue   = cognitoidp.ErrInvalidParameter.Msg("User does not have the attribute to verify.")
	errLinkForm      = cognitoidp.ErrInvalidParameter.Msg("The form cannot be read.")
	errCodeAttribute = cognitoidp.ErrInvalidParameter.Msg("Only email and phone_number can be verified.")
)

// Passwords.
var (
	errPasswordShort    = errPassword("Password not long enough")
	errPasswordNumeric  = errPassword("Password must have numeric characters")
	errPasswordLower    = errPassword("Password must have lowercase characters")
	errPasswordUpper    = errPassword("Password must have uppercase characters")
	errPasswordSymbol   = errPassword("Password must have symbol characters")
	errPasswordStorage  = cognitoidp.ErrInvalidParameter.Msg("The tag %s takes %s, %s or %s.", tagPasswordStorage, storageSRP, storageArgon2id, storageBoth)
	errTooManyAtOnce    = cognitoidp.ErrTooManyRequests.Msg("Too many requests")
	errFrozen           = cognitoidp.ErrInvalidParameter.Msg("The user pool does not have the tag %s with the value true.", tagUnfrozen)
	errNothingToChange  = cognitoidp.ErrInvalidParameter.Msg("There is nothing to change.")
	errPoolChanged      = cognitoidp.ErrTooManyRequests.Msg("The settings of the user pool have changed meanwhile: try again.") // clients do
	errNoRecoveryCodes  = cognitoidp.ErrInvalidParameter.Msg("The user pool does not take recovery codes: they need the tag %s, and MFA.", tagRecoveryCodes)
	errNothingToRecover = cognitoidp.ErrInvalidParameter.Msg("The user has no second factor that recovery codes could stand in for.")
	errSignInNotFresh   = cognitoidp.ErrNotAuthorized.Msg("The sign-in is more than 15 minutes ago: sign in again.")
	errPasswordUsed     = cognitoidp.ErrPasswordHistoryPolicyViolation.Msg("Password has previously been used")
)

func errPassword(rule string) *awsapi.Error {
	return cognitoidp.ErrInvalidPassword.Msg("Password did not conform with policy: %s", rule)
}

// Usernames, aliases, attributes.
var (
	errUsernameNotEmail   = cognitoidp.ErrInvalidParameter.Msg("Username should be an email.")
	errUsernameNotPhone   = cognitoidp.ErrInvalidParameter.Msg("Username should be a phone number.")
	errUsernameNotEither  = cognitoidp.ErrInvalidParameter.Msg("Username should be either an email or a phone number.")
	errUsernameEmailAlias = cognitoidp.ErrInvalidParameter.Msg("Username cannot be of email format, since user pool is configured for email alias.")
	errUsernamePhoneAlias = cognitoidp.ErrInvalidParameter.Msg("Username cannot be of phone number format, since user pool is configured for phone number alias.")
	errEmailFormat        = cognitoidp.ErrInvalidParameter.Msg("Invalid email address format.")
	errPhoneFormat        = cognitoidp.ErrInvalidParameter.Msg("Invalid phone number format.")
	errUsernameMismatch   = cognitoidp.ErrInvalidParameter.Msg("Username and the attribute that it stands for must be equal.")
	errPreferredTooEarly  = cognitoidp.ErrInvalidParameter.Msg("user.preferred_username: Attribute cannot be updated. (preferred_username can only be set after confirmation)")
	errPreferredIsAlias   = cognitoidp.ErrInvalidParameter.Msg("preferred_username cannot have the format of another alias of the user pool.")
	errNoSuchAttributes   = cognitoidp.ErrInvalidParameter.Msg("One or more requested attributes do not exist.")
	errNoDestination      = cognitoidp.ErrInvalidParameter.Msg("Cannot send an invitation: the user has no email or phone_number for the desired delivery mediums.")
)

// errNothingToVerify refuses to call an attribute verified, or not, that has no value.
func errNothingToVerify(attr string) *awsapi.Error {
	if attr == attrPhone {
		return cognitoidp.ErrInvalidParameter.Msg("Phone Number is required to verify/un-verify a phone number")
	}
	return cognitoidp.ErrInvalidParameter.Msg("Email is required to verify/un-verify an email")
}

// errAliasSignUp refuses a new user whose e-mail address or phone number is another's name to sign in with.
func errAliasSignUp(kind string) *awsapi.Error {
	return cognitoidp.ErrUsernameExists.Msg("An account with the given %s already exists.", kind)
}

// errAliasExists refuses to verify an alias that another user holds.
func errAliasExists(kind string) *awsapi.Error {
	return cognitoidp.ErrAliasExists.Msg("An account with the %s already exists.", kind)
}

func errSchema(text string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s", "Attributes did not conform to the schema: "+text)
}

func errSchemaNoAttribute(name string) *awsapi.Error {
	return errSchema(name + ": Attribute does not exist in the schema.\n")
}

func errSchemaNoType(name string) *awsapi.Error {
	return errSchema("Type for attribute {" + name + "} could not be determined")
}

func errUpdateNoAttribute(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("user.%s: Attribute does not exist in the schema.", name)
}

func errImmutable(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("user.%s: Attribute cannot be updated. (changing an immutable attribute)", name)
}

func errRequiredDelete(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("user.%s: Attribute cannot be deleted. (required by the schema)", name)
}

// Pools, clients, groups, tags.
var (
	errGroupNotFound      = cognitoidp.ErrResourceNotFound.Msg("Group not found.")
	errDescription        = cognitoidp.ErrInvalidParameter.Msg("The description must not contain a null character.")
	errGroupExists        = cognitoidp.ErrGroupExists.Msg("A group with the name already exists.")
	errPaginationToken    = cognitoidp.ErrInvalidParameter.Msg("Invalid pagination token")
	errDeletionProtection = cognitoidp.ErrInvalidParameter.Msg("The user pool cannot be deleted because deletion protection is activated. Deletion protection must be inactivated first.")
	errBothUsernameKinds  = cognitoidp.ErrInvalidParameter.Msg("Only one of the aliasAttributes or usernameAttributes can be set in a user pool.")
	errPreferredRequired  = cognitoidp.ErrInvalidParameter.Msg("preferred_username cannot be both required and an alias.")
	errCustomRequired     = cognitoidp.ErrInvalidParameter.Msg("Required custom attributes are not supported currently.")
	errAttributeUnnamed   = cognitoidp.ErrInvalidParameter.Msg("An attribute of the schema has no name.")
	errAttributeType      = cognitoidp.ErrInvalidParameter.Msg("Invalid AttributeDataType input, consider using the provided AttributeDataType enum.")
	errMFAWithoutSMS      = cognitoidp.ErrInvalidParameter.Msg("SMS configuration and Auto verification for phone_number are required when MFA is required/optional")
	errTwoValidities      = cognitoidp.ErrInvalidParameter.Msg("Please use TemporaryPasswordValidityDays in PasswordPolicy instead of UnusedAccountValidityDays")
	errEmailSourceArn     = cognitoidp.ErrInvalidParameter.Msg("SourceArn is required with EmailSendingAccount DEVELOPER.")
	errTwoVerifications   = cognitoidp.ErrInvalidParameter.Msg("VerificationMessageTemplate and the verification messages beside it must agree.")
	errSMSConfiguration   = cognitoidp.ErrInvalidParameter.Msg("SmsConfiguration takes either SnsCallerArn or EumsSms.")
	errRecoveryPriority   = cognitoidp.ErrInvalidParameter.Msg("Account recovery mechanisms must have the priorities 1 and 2, each once.")
	errRecoveryName       = cognitoidp.ErrInvalidParameter.Msg("Account recovery mechanisms must be different, and admin_only must be the only one.")
	errUpdateSubset       = cognitoidp.ErrInvalidParameter.Msg("AttributesRequireVerificationBeforeUpdate must be a subset of AutoVerifiedAttributes.")
	errSecretTwice        = cognitoidp.ErrInvalidParameter.Msg("Only one of GenerateSecret or ClientSecret can be set.")
	errFlowsMixed         = cognitoidp.ErrInvalidParameter.Msg("Cannot use a legacy auth flow along with ALLOW_ auth flows.")
	errClientTokenFlow    = cognitoidp.ErrInvalidParameter.Msg("ALLOW_CLIENT_TOKEN_AUTH must be the only auth flow of a client that has a secret.")
	errRotationFlow       = cognitoidp.ErrInvalidParameter.Msg("ALLOW_REFRESH_TOKEN_AUTH cannot be enabled with refresh token rotation.")
	errTokenValidity      = cognitoidp.ErrInvalidParameter.Msg("Invalid range for token validity.")
	errOAuthIncomplete    = cognitoidp.ErrInvalidParameter.Msg("AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows.")
	errOAuthMixed         = cognitoidp.ErrInvalidOAuthFlow.Msg("client_credentials flow can not be selected along with code flow or implicit flow.")
	errOAuthNoSecret      = cognitoidp.ErrInvalidOAuthFlow.Msg("client_credentials flow can not be selected if client does not have a client secret.")
	errDefaultRedirect    = cognitoidp.ErrInvalidParameter.Msg("DefaultRedirectURI must be one of the CallbackURLs.")
	errCallbackMissing    = cognitoidp.ErrInvalidParameter.Msg("CallbackURLs are required for the code and implicit flows.")
	errPropagateSecret    = cognitoidp.ErrInvalidParameter.Msg("EnablePropagateAdditionalUserContextData requires a client secret.")
	errTokenTier          = cognitoidp.ErrFeatureUnavailableInTier.Msg("Access token customization is not available in the user pool's tier.")
	errTwoPreToken        = cognitoidp.ErrInvalidParameter.Msg("PreTokenGeneration and the LambdaArn of PreTokenGenerationConfig must be equal.")
	errPasswordFactor     = cognitoidp.ErrInvalidParameter.Msg("AllowedFirstAuthFactors must include PASSWORD.")
	errSMSFactor          = cognitoidp.ErrInvalidParameter.Msg("SMS_OTP as first factor requires SmsConfiguration.")
	errFirstFactorTier    = cognitoidp.ErrFeatureUnavailableInTier.Msg("First factors other than PASSWORD are not available in the user pool's tier.")
	errHistoryTier        = cognitoidp.ErrFeatureUnavailableInTier.Msg("Password history is not available in the user pool's tier.")
	errFixedClientID      = cognitoidp.ErrInvalidParameter.Msg("A client id has up to 128 letters, digits, _ and +.")
	errPublicClient       = cognitoidp.ErrInvalidParameter.Msg("A client that was created without a secret cannot get one.")
	errLastSecret         = cognitoidp.ErrInvalidParameter.Msg("The last secret of a client cannot be deleted.")
	errTagCount           = cognitoidp.ErrInvalidParameter.Msg("A user pool can have at most 50 tags.")
	errTagPrefix          = cognitoidp.ErrInvalidParameter.Msg("Tag keys and values cannot begin with aws:.")
)

func errFixedPoolID(region string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("The tag _custom_id_ takes up to 40 letters and digits, with or without %s_ before them.", region)
}

func errPoolIDTaken(id string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("The user pool id %s is taken.", id)
}

func errClientIDTaken(id string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("The client id %s is taken.", id)
}

func errPoolNotFound(id string) *awsapi.Error {
	return cognitoidp.ErrResourceNotFound.Msg("User pool %s does not exist.", id)
}

func errClientNotFound(id string) *awsapi.Error {
	return cognitoidp.ErrResourceNotFound.Msg("User pool client %s does not exist.", id)
}

func errProviderNotFound(name, pool string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("The provider %s does not exist for User Pool %s.", name, pool)
}

func errScopeNotFound(scope string) *awsapi.Error {
	return cognitoidp.ErrScopeDoesNotExist.Msg("Invalid scope requested: %s", scope)
}

func errResourceServerNotFound(identifier string) *awsapi.Error {
	return cognitoidp.ErrResourceNotFound.Msg("Resource server %s does not exist.", identifier)
}

func errResourceServerExists(identifier string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s already exists in the user pool.", identifier)
}

func errScopeTwice(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("The scope %s is given more than once.", name)
}

func errClientSecretNotFound(id string) *awsapi.Error {
	return cognitoidp.ErrResourceNotFound.Msg("Client secret %s does not exist.", id)
}

func errRedirectURI(uri string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s is not a valid redirect URI: it must be absolute, without fragment, and https unless it leads to localhost or has a scheme of its own.", uri)
}

func errClientAttributes(access, doing string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("Invalid %s attributes specified while %s a client", access, doing)
}

func errAttributeExists(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s: Existing attribute already has name %s.", name, name)
}

// errAttributeDefinition refuses the definition of an attribute; the text names it in place of %s.
func errAttributeDefinition(text, name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg(text, name)
}

func errResourceARN(text string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s is not the ARN of a user pool.", text)
}

func errLimit(what string, most int) *awsapi.Error {
	return cognitoidp.ErrLimitExceeded.Msg("The limit of %d %s is reached.", most, what)
}

// Identity providers and linking.
var (
	errProviderChanged = cognitoidp.ErrConcurrentModification.Msg("The identity provider has been changed meanwhile.")
	errDiscovery       = cognitoidp.ErrInvalidParameter.Msg("Unable to contact well-known endpoint")
	errMetadataSource  = cognitoidp.ErrInvalidParameter.Msg("ProviderDetails takes either MetadataURL or MetadataFile.")
	errMerging         = cognitoidp.ErrInvalidParameter.Msg("Merging is not currently supported, provide a SourceUser that has not been signed up in order to link")
	errLinkedAlready   = cognitoidp.ErrInvalidParameter.Msg("SourceUser is already linked to DestinationUser")
	errLinkedElsewhere = cognitoidp.ErrAliasExists.Msg("SourceUser is already linked to another user.")
	errIdentityValue   = cognitoidp.ErrInvalidParameter.Msg("ProviderAttributeValue is not valid.")
)

func errIdentityProvider(name string) *awsapi.Error {
	return cognitoidp.ErrResourceNotFound.Msg("Identity provider %s does not exist.", name)
}

func errProviderExists(name string) *awsapi.Error {
	return cognitoidp.ErrDuplicateProvider.Msg("A provider of the name %s exists already in the user pool.", name)
}

func errIdentifierTaken(identifier string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("The identifier %s is that of another provider.", identifier)
}

func errProviderName(text string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s", text)
}

func errProviderDetail(key, what string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("Invalid ProviderDetails: %s %s.", key, what)
}

func errMapping(attribute, what string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("Invalid AttributeMapping: %s %s.", attribute, what)
}

func errMetadataFetch(from string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("Error retrieving metadata from %s", from)
}

func errMetadata(why string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("The SAML metadata cannot be used: %s.", why)
}

func errProviderBegins(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("The provider %s begins sign-ins (IDPInit): the client can have SAML providers only.", name)
}

func errIdentityMember(user, members string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s needs %s.", user, members)
}

func errIdentityAttribute(attribute, kind string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s is not a ProviderAttributeName for %s: it is Cognito_Subject or, for OIDC and SAML, a mapped attribute.", attribute, kind)
}

func errLinkImmutable(attribute string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("DestinationUser has the immutable attribute %s.", attribute)
}

// ListUsers.
func errSearchAttribute(name string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("Invalid search attribute: %s", name)
}

func errFilter(why string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("Error while parsing filter: %s", why)
}

// errNotAvailable refuses a setting that promises what this server does not do yet. See refuseUnavailable.
func errNotAvailable(setting string) *awsapi.Error {
	return cognitoidp.ErrInvalidParameter.Msg("%s is not available in this server.", setting)
}
