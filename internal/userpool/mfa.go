package userpool

import (
	"context"
	"slices"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// Second factors, by the names of their challenges and in the order in which they are listed.
const (
	factorSMS   = cognitoidp.ChallengeNameTypeSmsMfa
	factorTOTP  = cognitoidp.ChallengeNameTypeSoftwareTokenMfa
	factorEmail = cognitoidp.ChallengeNameTypeEmailOtp
)

var factors = []string{factorSMS, factorTOTP, factorEmail}

// mfaSettings is what SetUserPoolMfaConfig sets of a pool beside MfaConfiguration, SmsConfiguration and
// SmsAuthenticationMessage.
type mfaSettings struct {
	SMS      *bool                                 `json:"sms,omitempty"`  // nil: as soon as the pool can send messages
	TOTP     *bool                                 `json:"totp,omitempty"` // nil: never set
	Email    *cognitoidp.EmailMfaConfigType        `json:"email,omitempty"`
	WebAuthn *cognitoidp.WebAuthnConfigurationType `json:"webauthn,omitempty"`
}

// userMFA is what a user has for a second factor.
type userMFA struct {
	Enabled   []string `json:"enabled,omitempty"` // in the order of factors
	Preferred string   `json:"preferred,omitempty"`
	TOTP      bool     `json:"totp,omitempty"`     // has a verified authenticator app
	TOTPName  string   `json:"totpName,omitempty"` // FriendlyDeviceName of it
	Options   bool     `json:"options,omitempty"`  // SMS was turned on by SetUserSettings, which MFAOptions reports
	Passkey   bool     `json:"passkey,omitempty"`  // his passkeys verify him and, where the pool allows it, stand for both factors
}

func (u *user) mfa() *userMFA { return &u.Doc.V.MFA }

func (m *userMFA) enabled(factor string) bool { return slices.Contains(m.Enabled, factor) }

// enable turns a factor on or off. One that is off is not preferred.
func (m *userMFA) enable(factor string, on bool) {
	var enabled []string
	for _, f := range factors {
		if f == factor && on || f != factor && m.enabled(f) {
			enabled = append(enabled, f)
		}
	}
	m.Enabled = enabled
	if !on && m.Preferred == factor {
		m.Preferred = ""
	}
	if !on && factor == factorSMS {
		m.Options = false
	}
}

// preferred is PreferredMfaSetting.
func (m *userMFA) preferred() *string { return optional(m.Preferred) }

// options is MFAOptions.
func (m *userMFA) options() []cognitoidp.MFAOptionType {
	if !m.Options {
		return nil
	}
	return []cognitoidp.MFAOptionType{{DeliveryMedium: new(cognitoidp.DeliveryMediumTypeSms), AttributeName: new(attrPhone)}}
}

// mfaMode is the pool's MfaConfiguration.
func (p *pool) mfaMode() string { return mfaMode(&p.Settings) }

func mfaMode(s *cognitoidp.UserPoolType) string {
	return *or(s.MfaConfiguration, cognitoidp.UserPoolMfaTypeOff)
}

// offers reports whether the pool has a factor, unless its MFA is off.
func (p *pool) offers(factor string) bool { return offers(&p.Settings, &p.mfa, factor) }

func offers(s *cognitoidp.UserPoolType, m *mfaSettings, factor string) bool {
	switch factor {
	case factorSMS:
		return s.SmsConfiguration != nil && (m.SMS == nil || *m.SMS)
	case factorTOTP:
		return deref(m.TOTP)
	case factorEmail:
		return m.Email != nil
	}
	return false
}

// addressOf is the attribute that codes of a factor go to; "" for an authenticator app.
func addressOf(factor string) string {
	switch factor {
	case factorSMS:
		return attrPhone
	case factorEmail:
		return attrEmail
	}
	return ""
}

// mfaStep is what a sign-in whose primary factor is proven has to do next.
type mfaStep struct {
	challenge string   // "" if there is nothing more to prove
	choices   []string // of SELECT_MFA_TYPE and MFA_SETUP
}

// mfaStep decides on the second factor of a user.
//
// Source: Amazon Cognito developer guide, "Adding MFA to a user pool", "MFA decision logic at user runtime".
func (p *pool) mfaStep(u *user) (mfaStep, error) {
	m := u.mfa()
	var candidates []string
	switch p.mfaMode() {
	case cognitoidp.UserPoolMfaTypeOptional:
		if len(m.Enabled) == 0 {
			return mfaStep{}, nil
		}
		for _, f := range m.Enabled {
			if p.usable(u, f) {
				candidates = append(candidates, f)
			}
		}
	case cognitoidp.UserPoolMfaTypeOn:
		// The address that recovers the account is no second factor: whoever reads it would have both. Who turned it on himself
		// has decided otherwise.
		recovery := p.recoveryAttribute()
		for _, f := range factors {
			chosen := m.enabled(f)
			if p.usable(u, f) && (chosen || p.offers(f) && (f == factorTOTP || addressOf(f) != recovery)) {
				candidates = append(candidates, f)
			}
		}
	default:
		return mfaStep{}, nil
	}
	switch {
	case m.Preferred != "" && p.usable(u, m.Preferred):
		return mfaStep{challenge: m.Preferred}, nil
	case len(candidates) == 1:
		return mfaStep{challenge: candidates[0]}, nil
	case len(candidates) > 1:
		return mfaStep{cognitoidp.ChallengeNameTypeSelectMfaType, candidates}, nil
	}
	if p.mfaMode() == cognitoidp.UserPoolMfaTypeOn {
		if choices := p.canSetUp(u); len(choices) > 0 {
			return mfaStep{cognitoidp.ChallengeNameTypeMfaSetup, choices}, nil
		}
	}
	return mfaStep{}, errNoSecondFactor
}

// usable reports whether u can prove a factor now. An authenticator app that a user has stays good when the pool offers it
// no more.
func (p *pool) usable(u *user, factor string) bool {
	if factor == factorTOTP {
		return u.mfa().TOTP && (p.offers(factor) || u.mfa().enabled(factor))
	}
	return p.offers(factor) && u.attributes()[addressOf(factor)] != ""
}

// canSetUp is which factors a user without any can set up while signing in: an authenticator app, or an e-mail address if he
// has no address at all.
func (p *pool) canSetUp(u *user) (choices []string) {
	if p.offers(factorTOTP) && !u.mfa().TOTP {
		choices = append(choices, factorTOTP)
	}
	if p.offers(factorEmail) && u.attributes()[attrEmail] == "" && u.attributes()[attrPhone] == "" && p.recoveryAttribute() != attrEmail {
		choices = append(choices, factorEmail)
	}
	return choices
}

// recoveryAttribute is the address by which accounts are recovered first; "" if an administrator recovers them, or if the
// pool does not say.
func (p *pool) recoveryAttribute() string {
	if order := p.recoveryOrder(); len(order) > 0 {
		return order[0]
	}
	return ""
}

// checkMFA checks the settings of a pool that concern MFA against each other.
func checkMFA(s *cognitoidp.UserPoolType, m *mfaSettings) error {
	mode := mfaMode(s)
	if m.WebAuthn != nil && deref(s.UserPoolTier) == cognitoidp.UserPoolTierTypeLite {
		return errFirstFactorTier
	}
	if m.Email != nil {
		if deref(s.UserPoolTier) == cognitoidp.UserPoolTierTypeLite {
			return errEmailMFATier
		}
		if s.EmailConfiguration == nil || deref(s.EmailConfiguration.EmailSendingAccount) != cognitoidp.EmailSendingAccountTypeDeveloper {
			return errEmailMFASender
		}
		if r := s.AccountRecoverySetting; r != nil && len(r.RecoveryMechanisms) == 1 && *r.RecoveryMechanisms[0].Name == cognitoidp.RecoveryOptionNameTypeVerifiedEmail {
			return errEmailMFARecovery
		}
	}
	if mode == cognitoidp.UserPoolMfaTypeOff {
		return nil
	}
	if !slices.ContainsFunc(factors, func(f string) bool { return offers(s, m, f) }) {
		return errMFAWithoutSMS
	}
	if mode == cognitoidp.UserPoolMfaTypeOn && s.Policies != nil && s.Policies.SignInPolicy != nil {
		for _, f := range s.Policies.SignInPolicy.AllowedFirstAuthFactors {
			if f == cognitoidp.AuthFactorTypeEmailOtp || f == cognitoidp.AuthFactorTypeSmsOtp {
				return errMFAFirstFactor
			}
			if f == cognitoidp.AuthFactorTypeWebAuthn && !passkeysCanBeMFA(m) {
				return errMFAPasskeys
			}
		}
	}
	return nil
}

// SetUserPoolMfaConfig sets whether users of a pool need a second factor and which there are. What is not in the request is
// turned off; only the configuration of text messages, which other messages need too, stays.
func (s *Service) SetUserPoolMfaConfig(ctx context.Context, in *cognitoidp.SetUserPoolMfaConfigRequest) (*cognitoidp.SetUserPoolMfaConfigResponse, error) {
	var settings cognitoidp.UserPoolType
	var mfa mfaSettings
	err := s.updatePoolMFA(ctx, *in.UserPoolId, func(p *pool) (*cognitoidp.UserPoolType, *mfaSettings, error) {
		settings, mfa = p.Settings, mfaSettings{SMS: new(in.SmsMfaConfiguration != nil), Email: in.EmailMfaConfiguration, WebAuthn: in.WebAuthnConfiguration}
		if c := in.SoftwareTokenMfaConfiguration; c != nil {
			mfa.TOTP = new(deref(c.Enabled))
		}
		if c := in.SmsMfaConfiguration; c != nil {
			if c.SmsConfiguration != nil {
				settings.SmsConfiguration = c.SmsConfiguration
			}
			settings.SmsAuthenticationMessage = c.SmsAuthenticationMessage
			if settings.SmsConfiguration == nil {
				return nil, nil, errSMSConfiguration
			}
			if err := checkSMS(&settings, nil); err != nil {
				return nil, nil, err
			}
		}
		if err := checkWebAuthn(in.WebAuthnConfiguration); err != nil {
			return nil, nil, err
		}
		settings.MfaConfiguration = or(in.MfaConfiguration, cognitoidp.UserPoolMfaTypeOff)
		any := slices.ContainsFunc(factors, func(f string) bool { return offers(&settings, &mfa, f) })
		switch off := *settings.MfaConfiguration == cognitoidp.UserPoolMfaTypeOff; {
		case off && any:
			return nil, nil, errMFAOffWithFactors
		case !off && !any:
			return nil, nil, errMFAWithoutFactors
		}
		return &settings, &mfa, checkMFA(&settings, &mfa)
	})
	if err != nil {
		return nil, err
	}
	out := cognitoidp.SetUserPoolMfaConfigResponse(wireMFA(&settings, &mfa))
	return &out, nil
}

// GetUserPoolMfaConfig returns which second factors a pool has.
func (s *Service) GetUserPoolMfaConfig(ctx context.Context, in *cognitoidp.GetUserPoolMfaConfigRequest) (*cognitoidp.GetUserPoolMfaConfigResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	out := wireMFA(&p.Settings, &p.mfa)
	return &out, nil
}

// wireMFA returns the configured parts of a pool's MFA.
func wireMFA(s *cognitoidp.UserPoolType, m *mfaSettings) cognitoidp.GetUserPoolMfaConfigResponse {
	out := cognitoidp.GetUserPoolMfaConfigResponse{MfaConfiguration: new(mfaMode(s)), EmailMfaConfiguration: m.Email, WebAuthnConfiguration: m.WebAuthn}
	if offers(s, m, factorSMS) {
		out.SmsMfaConfiguration = &cognitoidp.SmsMfaConfigType{SmsAuthenticationMessage: s.SmsAuthenticationMessage, SmsConfiguration: s.SmsConfiguration}
	}
	if m.TOTP != nil {
		out.SoftwareTokenMfaConfiguration = &cognitoidp.SoftwareTokenMfaConfigType{Enabled: m.TOTP}
	}
	return out
}

// preference is what a request says about one factor: nil where it says nothing.
type preference struct {
	factor             string
	enabled, preferred *bool
}

func preferences(sms *cognitoidp.SMSMfaSettingsType, totp *cognitoidp.SoftwareTokenMfaSettingsType, email *cognitoidp.EmailMfaSettingsType) (list []preference) {
	if sms != nil {
		list = append(list, preference{factorSMS, sms.Enabled, sms.PreferredMfa})
	}
	if totp != nil {
		list = append(list, preference{factorTOTP, totp.Enabled, totp.PreferredMfa})
	}
	if email != nil {
		list = append(list, preference{factorEmail, email.Enabled, email.PreferredMfa})
	}
	return list
}

// SetUserMFAPreference sets which factors the signed-in user is asked for. Where the pool requires MFA he cannot turn one
// off.
func (s *Service) SetUserMFAPreference(ctx context.Context, in *cognitoidp.SetUserMFAPreferenceRequest) (*cognitoidp.SetUserMFAPreferenceResponse, error) {
	b := bearerFrom(ctx)
	_, err := s.updateUser(ctx, b.pool, b.user.Key, func(_ *db.Tx, u *user) error {
		if u.Sub != b.user.Sub {
			return errUserNotFound
		}
		if err := b.pool.prefer(u, preferences(in.SMSMfaSettings, in.SoftwareTokenMfaSettings, in.EmailMfaSettings), true); err != nil {
			return err
		}
		return b.pool.preferPasskey(u, in.WebAuthnMfaSettings)
	})
	return nil, err
}

// AdminSetUserMFAPreference sets which factors a user is asked for.
func (s *Service) AdminSetUserMFAPreference(ctx context.Context, in *cognitoidp.AdminSetUserMFAPreferenceRequest) (*cognitoidp.AdminSetUserMFAPreferenceResponse, error) {
	return nil, s.changeUser(ctx, in.UserPoolId, in.Username, func(_ *db.Tx, p *pool, u *user) error {
		if err := p.prefer(u, preferences(in.SMSMfaSettings, in.SoftwareTokenMfaSettings, in.EmailMfaSettings), false); err != nil {
			return err
		}
		return p.preferPasskey(u, in.WebAuthnMfaSettings)
	})
}

// preferPasskey edits whether the passkeys of u stand for both factors. He must have another second factor, or would be
// locked out with his authenticator lost.
func (p *pool) preferPasskey(u *user, in *cognitoidp.WebAuthnMfaSettingsType) error {
	m := u.mfa()
	if in != nil {
		m.Passkey = deref(in.Enabled)
	}
	switch required := p.mfaMode() == cognitoidp.UserPoolMfaTypeOn; {
	case !m.Passkey, len(m.Enabled) > 0, required && slices.ContainsFunc(factors, func(f string) bool { return p.usable(u, f) }):
	case in != nil:
		return errPasskeyMFAAlone
	default:
		m.Passkey = false // with the last other factor
	}
	if in != nil && m.Passkey && (p.mfaMode() == cognitoidp.UserPoolMfaTypeOff || !passkeysCanBeMFA(&p.mfa)) {
		return errPasskeyMFAOff
	}
	return nil
}

// prefer edits what a user is asked for. himself says that the request is his own.
func (p *pool) prefer(u *user, list []preference, himself bool) error {
	m, preferred := u.mfa(), ""
	for _, c := range list {
		switch {
		case !deref(c.preferred):
		case !deref(c.enabled):
			return errPreferredNotEnabled
		case preferred != "":
			return errPreferredTwice
		default:
			preferred = c.factor
		}
	}
	for _, c := range list {
		if !deref(c.enabled) {
			if himself && m.enabled(c.factor) && p.mfaMode() == cognitoidp.UserPoolMfaTypeOn {
				return errMFARequired
			}
			m.enable(c.factor, false)
			continue
		}
		if err := p.mayEnable(u, c.factor); err != nil {
			return err
		}
		m.enable(c.factor, true)
		if !deref(c.preferred) && m.Preferred == c.factor {
			m.Preferred = ""
		}
	}
	if preferred != "" {
		m.Preferred = preferred
	}
	return nil
}

// mayEnable returns why a factor cannot be turned on for u.
func (p *pool) mayEnable(u *user, factor string) error {
	if p.mfaMode() == cognitoidp.UserPoolMfaTypeOff || !p.offers(factor) {
		if factor == factorTOTP && u.mfa().TOTP && p.mfaMode() != cognitoidp.UserPoolMfaTypeOff {
			return nil // he has one already
		}
		return errFactorNotOffered(factor)
	}
	if factor == factorTOTP && !u.mfa().TOTP {
		return errNoSoftwareToken
	}
	if attr := addressOf(factor); attr != "" && u.attributes()[attr] == "" {
		return errNoFactorAddress(factor)
	}
	return nil
}

// SetUserSettings is the older way to turn codes by SMS on or off for the signed-in user.
func (s *Service) SetUserSettings(ctx context.Context, in *cognitoidp.SetUserSettingsRequest) (*cognitoidp.SetUserSettingsResponse, error) {
	b := bearerFrom(ctx)
	_, err := s.updateUser(ctx, b.pool, b.user.Key, func(_ *db.Tx, u *user) error {
		if u.Sub != b.user.Sub {
			return errUserNotFound
		}
		return b.pool.setOptions(u, in.MFAOptions, true)
	})
	return nil, err
}

// AdminSetUserSettings is the older way to turn codes by SMS on or off for a user.
func (s *Service) AdminSetUserSettings(ctx context.Context, in *cognitoidp.AdminSetUserSettingsRequest) (*cognitoidp.AdminSetUserSettingsResponse, error) {
	return nil, s.changeUser(ctx, in.UserPoolId, in.Username, func(_ *db.Tx, p *pool, u *user) error {
		return p.setOptions(u, in.MFAOptions, false)
	})
}

func (p *pool) setOptions(u *user, options []cognitoidp.MFAOptionType, himself bool) error {
	for _, o := range options {
		if deref(o.DeliveryMedium) != cognitoidp.DeliveryMediumTypeSms || deref(o.AttributeName) != attrPhone {
			return errMFAOptions
		}
	}
	if err := p.prefer(u, []preference{{factorSMS, new(len(options) > 0), new(len(options) > 0 && u.mfa().Preferred == factorSMS)}}, himself); err != nil {
		return err
	}
	u.mfa().Options = len(options) > 0
	return nil
}

// GetUserAuthFactors returns how the signed-in user can sign in.
func (s *Service) GetUserAuthFactors(ctx context.Context, in *cognitoidp.GetUserAuthFactorsRequest) (*cognitoidp.GetUserAuthFactorsResponse, error) {
	b := bearerFrom(ctx)
	m := b.user.mfa()
	return &cognitoidp.GetUserAuthFactorsResponse{
		Username: &b.user.Username, PreferredMfaSetting: m.preferred(), UserMFASettingList: m.Enabled, ConfiguredUserAuthFactors: b.pool.firstFactorsOf(b.user),
	}, nil
}

// AdminGetUserAuthFactors returns how a user can sign in.
func (s *Service) AdminGetUserAuthFactors(ctx context.Context, in *cognitoidp.AdminGetUserAuthFactorsRequest) (*cognitoidp.AdminGetUserAuthFactorsResponse, error) {
	p, u, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AdminGetUserAuthFactorsResponse{
		Username: &u.Username, PreferredMfaSetting: u.mfa().preferred(), UserMFASettingList: u.mfa().Enabled, ConfiguredUserAuthFactors: p.firstFactorsOf(u),
	}, nil
}

// firstFactorsOf is the primary factors of the pool that u has.
func (p *pool) firstFactorsOf(u *user) []string {
	configured := []string{}
	for _, f := range p.Settings.Policies.SignInPolicy.AllowedFirstAuthFactors {
		switch f {
		case cognitoidp.AuthFactorTypePassword:
			if !u.hasPassword() {
				continue
			}
		case cognitoidp.AuthFactorTypeEmailOtp:
			if u.attributes()[attrEmail] == "" {
				continue
			}
		case cognitoidp.AuthFactorTypeSmsOtp:
			if u.attributes()[attrPhone] == "" {
				continue
			}
		case cognitoidp.AuthFactorTypeWebAuthn:
			if !p.hasPasskey(u) {
				continue
			}
		default:
			continue
		}
		configured = append(configured, f)
	}
	return configured
}
