package userpool

import (
	"slices"

	"usher/internal/api/cognitoidp"
)

// poolSettings checks the settings of a pool that can be changed and returns them with the defaults filled in. mfa is what
// the pool has beside them.
//
// Source: Amazon Cognito user pools API reference, CreateUserPool and UpdateUserPool.
func poolSettings(in *cognitoidp.UpdateUserPoolRequest, mfa *mfaSettings) (*cognitoidp.UserPoolType, error) {
	if err := refuseUnavailable(in); err != nil {
		return nil, err
	}
	s := &cognitoidp.UserPoolType{
		Name:                     in.PoolName,
		DeletionProtection:       or(in.DeletionProtection, cognitoidp.DeletionProtectionTypeInactive),
		LambdaConfig:             or(in.LambdaConfig, cognitoidp.LambdaConfigType{}),
		AutoVerifiedAttributes:   set(in.AutoVerifiedAttributes),
		SmsAuthenticationMessage: in.SmsAuthenticationMessage,
		MfaConfiguration:         or(in.MfaConfiguration, cognitoidp.UserPoolMfaTypeOff),
		DeviceConfiguration:      in.DeviceConfiguration,
		SmsConfiguration:         in.SmsConfiguration,
		UserPoolTags:             in.UserPoolTags,
		UserPoolAddOns:           in.UserPoolAddOns,
		AccountRecoverySetting:   in.AccountRecoverySetting,
		UserPoolTier:             or(in.UserPoolTier, cognitoidp.UserPoolTierTypeEssentials),
		KeyConfiguration:         in.KeyConfiguration,
		IssuerConfiguration:      in.IssuerConfiguration,
		DcrConfiguration:         in.DcrConfiguration,
	}
	if s.UserPoolTags == nil {
		s.UserPoolTags = map[string]string{}
	}
	for _, step := range []func(*cognitoidp.UserPoolType, *cognitoidp.UpdateUserPoolRequest) error{
		setPolicies, setAdminCreate, setVerificationMessages, setUpdateSettings, setEmail, checkSMS, checkRecovery,
	} {
		if err := step(s, in); err != nil {
			return nil, err
		}
	}
	return s, checkMFA(s, mfa)
}

// refuseUnavailable refuses settings that promise what the server does not do, most of them protection of the users. Who
// configures them would otherwise believe it to be there. What is missing in comfort only is stored and returned.
func refuseUnavailable(in *cognitoidp.UpdateUserPoolRequest) error {
	switch {
	case in.UserPoolAddOns != nil && deref(in.UserPoolAddOns.AdvancedSecurityMode) != cognitoidp.AdvancedSecurityModeTypeOff:
		return errNotAvailable("AdvancedSecurityMode " + deref(in.UserPoolAddOns.AdvancedSecurityMode))
	case in.UserPoolAddOns != nil && in.UserPoolAddOns.AdvancedSecurityAdditionalFlows != nil && in.UserPoolAddOns.AdvancedSecurityAdditionalFlows.CustomAuthMode != nil:
		return errNotAvailable("CustomAuthMode")
	case in.KeyConfiguration != nil && deref(in.KeyConfiguration.KeyType) == cognitoidp.EncryptionKeyTypeCustomerManagedKey:
		return errNotAvailable("KeyType CUSTOMER_MANAGED_KEY")
	case in.KeyConfiguration != nil && in.KeyConfiguration.KmsKeyArn != nil:
		return errNotAvailable("KmsKeyArn")
	case in.IssuerConfiguration != nil && deref(in.IssuerConfiguration.Type) == cognitoidp.IssuerTypeUpdated:
		return errNotAvailable("Issuer type UPDATED")
	case in.DcrConfiguration != nil && deref(in.DcrConfiguration.EnableStatus) != cognitoidp.StatusTypeDisabled:
		return errNotAvailable("DcrConfiguration")
	case len(in.AcrConfiguration) > 0:
		return errNotAvailable("AcrConfiguration")
	}
	if p := in.Policies; p != nil && p.SignInPolicy != nil && slices.Contains(p.SignInPolicy.AllowedFirstAuthFactors, cognitoidp.AuthFactorTypeSoftwareToken) {
		return errNotAvailable("First factor " + cognitoidp.AuthFactorTypeSoftwareToken)
	}
	return nil
}

// defaultValidityDays is how long a temporary password can be used.
const defaultValidityDays = 7

func setPolicies(s *cognitoidp.UserPoolType, in *cognitoidp.UpdateUserPoolRequest) error {
	policy := cognitoidp.PasswordPolicyType{
		RequireUppercase: new(true), RequireLowercase: new(true), RequireNumbers: new(true), RequireSymbols: new(true),
	}
	if in.Policies != nil && in.Policies.PasswordPolicy != nil {
		policy = *in.Policies.PasswordPolicy
	}
	policy.MinimumLength = or(policy.MinimumLength, 8)
	policy.RequireUppercase, policy.RequireLowercase = or(policy.RequireUppercase, false), or(policy.RequireLowercase, false)
	policy.RequireNumbers, policy.RequireSymbols = or(policy.RequireNumbers, false), or(policy.RequireSymbols, false)
	if deref(policy.TemporaryPasswordValidityDays) == 0 {
		policy.TemporaryPasswordValidityDays = nil
	}
	if deref(policy.PasswordHistorySize) > 0 && *s.UserPoolTier == cognitoidp.UserPoolTierTypeLite {
		return errHistoryTier
	}
	factors := []string{cognitoidp.AuthFactorTypePassword}
	if in.Policies != nil && in.Policies.SignInPolicy != nil && in.Policies.SignInPolicy.AllowedFirstAuthFactors != nil {
		factors = set(in.Policies.SignInPolicy.AllowedFirstAuthFactors)
	}
	s.Policies = &cognitoidp.UserPoolPolicyType{PasswordPolicy: &policy, SignInPolicy: &cognitoidp.SignInPolicyType{AllowedFirstAuthFactors: factors}}
	switch {
	case !slices.Contains(factors, cognitoidp.AuthFactorTypePassword):
		return errPasswordFactor
	case len(factors) > 1 && *s.UserPoolTier == cognitoidp.UserPoolTierTypeLite:
		return errFirstFactorTier
	case slices.Contains(factors, cognitoidp.AuthFactorTypeSmsOtp) && s.SmsConfiguration == nil:
		return errSMSFactor
	}
	return nil
}

// setAdminCreate also settles how long temporary passwords are valid, a setting of two names.
func setAdminCreate(s *cognitoidp.UserPoolType, in *cognitoidp.UpdateUserPoolRequest) error {
	config := deref(in.AdminCreateUserConfig)
	config.AllowAdminCreateUserOnly = or(config.AllowAdminCreateUserOnly, false)
	days, unused := s.Policies.PasswordPolicy.TemporaryPasswordValidityDays, config.UnusedAccountValidityDays
	switch {
	case days != nil && deref(unused) != 0 && *unused != *days:
		return errTwoValidities
	case days == nil && deref(unused) != 0:
		days = unused
	}
	days = or(days, defaultValidityDays)
	config.UnusedAccountValidityDays, s.Policies.PasswordPolicy.TemporaryPasswordValidityDays = days, days
	s.AdminCreateUserConfig = &config
	return nil
}

// setVerificationMessages keeps the messages of VerificationMessageTemplate and their older names beside it equal.
func setVerificationMessages(s *cognitoidp.UserPoolType, in *cognitoidp.UpdateUserPoolRequest) error {
	t := deref(in.VerificationMessageTemplate)
	t.DefaultEmailOption = or(t.DefaultEmailOption, cognitoidp.DefaultEmailOptionTypeConfirmWithCode)
	for _, m := range []struct{ template, older **string }{
		{&t.SmsMessage, &in.SmsVerificationMessage},
		{&t.EmailMessage, &in.EmailVerificationMessage},
		{&t.EmailSubject, &in.EmailVerificationSubject},
	} {
		switch {
		case *m.template == nil:
			*m.template = *m.older
		case *m.older != nil && **m.older != **m.template:
			return errTwoVerifications
		}
	}
	s.VerificationMessageTemplate = &t
	s.SmsVerificationMessage, s.EmailVerificationMessage, s.EmailVerificationSubject = t.SmsMessage, t.EmailMessage, t.EmailSubject
	return nil
}

func setUpdateSettings(s *cognitoidp.UserPoolType, in *cognitoidp.UpdateUserPoolRequest) error {
	attributes := []string{}
	if in.UserAttributeUpdateSettings != nil {
		attributes = append(attributes, set(in.UserAttributeUpdateSettings.AttributesRequireVerificationBeforeUpdate)...)
	}
	for _, attr := range attributes {
		if !slices.Contains(s.AutoVerifiedAttributes, attr) {
			return errUpdateSubset
		}
	}
	s.UserAttributeUpdateSettings = &cognitoidp.UserAttributeUpdateSettingsType{AttributesRequireVerificationBeforeUpdate: attributes}
	return nil
}

func setEmail(s *cognitoidp.UserPoolType, in *cognitoidp.UpdateUserPoolRequest) error {
	email := deref(in.EmailConfiguration)
	email.EmailSendingAccount = or(email.EmailSendingAccount, cognitoidp.EmailSendingAccountTypeCognitoDefault)
	if *email.EmailSendingAccount == cognitoidp.EmailSendingAccountTypeDeveloper && email.SourceArn == nil {
		return errEmailSourceArn
	}
	s.EmailConfiguration = &email
	return nil
}

func checkSMS(s *cognitoidp.UserPoolType, _ *cognitoidp.UpdateUserPoolRequest) error {
	if sms := s.SmsConfiguration; sms != nil && (deref(sms.SnsCallerArn) == "") == (sms.EumsSms == nil) {
		return errSMSConfiguration
	}
	return nil
}

func checkRecovery(s *cognitoidp.UserPoolType, _ *cognitoidp.UpdateUserPoolRequest) error {
	if s.AccountRecoverySetting == nil {
		return nil
	}
	var names []string
	var priorities []int32
	for _, m := range s.AccountRecoverySetting.RecoveryMechanisms {
		if slices.Contains(names, *m.Name) {
			return errRecoveryName
		}
		if slices.Contains(priorities, *m.Priority) {
			return errRecoveryPriority
		}
		names, priorities = append(names, *m.Name), append(priorities, *m.Priority)
	}
	if len(names) > 1 && slices.Contains(names, cognitoidp.RecoveryOptionNameTypeAdminOnly) {
		return errRecoveryName
	}
	return nil
}

// set returns a list without repetitions, nil if it is empty.
func set(list []string) []string {
	var unique []string
	for _, v := range list {
		if !slices.Contains(unique, v) {
			unique = append(unique, v)
		}
	}
	return unique
}

// or returns p, or a pointer to the default.
func or[T any](p *T, unset T) *T {
	if p == nil {
		return &unset
	}
	return p
}
