package sts

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"usher/internal/access"
	"usher/internal/api/sts"
	"usher/internal/arn"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/iam"
	"usher/internal/policy"
)

const (
	defaultDuration  = time.Hour
	maxChained       = time.Hour // of a role session that a role session assumes
	maxSessionPolicy = 10        // managed policies of a session
)

// Targets tells what permissions an operation needs (Service Authorization Reference, "Actions, resources, and condition
// keys for AWS Security Token Service"), and refuses what a kind of caller cannot do at all.
func (s *Service) Targets(ctx context.Context, op string, in any) ([]awsapi.Target, error) {
	p := access.PrincipalOf(ctx)
	if err := callable(p, op); err != nil {
		return nil, err
	}
	switch in := in.(type) {
	case *sts.AssumeRoleRequest:
		return s.assumeRoleTargets(ctx, p, in)
	case *sts.AssumeRootRequest:
		return assumeRootTargets(p, in)
	case *sts.GetFederationTokenRequest:
		return federationTargets(p, in)
	case *sts.GetWebIdentityTokenRequest:
		return outboundTargets(in)
	}
	return []awsapi.Target{{Resource: "*"}}, nil
}

// callable refuses operations by the kind of the caller's credentials.
func callable(p *access.Principal, op string) error {
	switch {
	case op == "GetCallerIdentity" || p == nil:
		return nil
	case p.Kind == policy.FederatedUser:
		return awsapi.ErrInvalidClientToken
	case p.Session != nil && (op == "GetSessionToken" || op == "GetFederationToken"):
		return errAccessDenied.Msg("Cannot call %s with session credentials", op)
	case p.Session != nil && p.Kind != policy.RoleSession && op != "AssumeRole":
		return awsapi.ErrInvalidClientToken
	case p.Kind == policy.Root && op == "AssumeRoot":
		return errAccessDenied.Msg("AssumeRoot cannot be called with the credentials of a root user.")
	case p.Kind == policy.Root && op == "AssumeRole":
		return errAccessDenied.Msg("Roles may not be assumed by root accounts.")
	}
	return nil
}

func (s *Service) assumeRoleTargets(ctx context.Context, p *access.Principal, in *sts.AssumeRoleRequest) ([]awsapi.Target, error) {
	role, err := arn.Parse(*in.RoleArn)
	if err != nil {
		return nil, errValidation.Msg("%s is invalid", *in.RoleArn)
	}
	tags, err := sessionTags(in.Tags, in.TransitiveTagKeys, inherited(p))
	if err != nil {
		return nil, err
	}
	if len(in.ProvidedContexts) > 0 {
		return nil, errInvalidParameter.Msg("Provided contexts are not supported.")
	}
	keys := map[string][]string{"sts:RoleSessionName": {*in.RoleSessionName}}
	switch mfa, err := s.checkMFA(ctx, p, in.SerialNumber, in.TokenCode); {
	case err != nil:
		return nil, err
	case mfa: // for this call alone: sessions of roles do not carry it
		keys["aws:MultiFactorAuthPresent"], keys["aws:MultiFactorAuthAge"] = []string{"true"}, []string{"0"}
	}
	if in.ExternalId != nil {
		keys["sts:ExternalId"] = []string{*in.ExternalId}
	}
	source := cmp.Or(str(in.SourceIdentity), sourceIdentity(p))
	if source != "" {
		keys["sts:SourceIdentity"] = []string{source}
	}
	tagKeys(keys, tags)
	if err := s.roleTagKeys(ctx, keys, *in.RoleArn, inherited(p)); err != nil {
		return nil, err
	}
	need := func(action string) awsapi.Target {
		return awsapi.Target{Action: action, Resource: *in.RoleArn, Account: role.AccountID, Keys: keys}
	}
	targets := []awsapi.Target{need("sts:AssumeRole")}
	if len(tags) > 0 {
		targets = append(targets, need("sts:TagSession"))
	}
	if source != "" {
		if have := sourceIdentity(p); have != "" && have != source { // once set it stays for all of the chain
			return nil, errAccessDenied.Msg("User: %s is not authorized to perform: sts:SetSourceIdentity on resource: %s", p.ARN, *in.RoleArn)
		}
		targets = append(targets, need("sts:SetSourceIdentity"))
	}
	return targets, nil
}

// tagKeys adds the condition keys that passed tags make.
func tagKeys(keys map[string][]string, tags []access.Tag) {
	var names, transitive []string
	for _, t := range tags {
		keys["aws:RequestTag/"+t.Key] = []string{t.Value}
		names = append(names, t.Key)
		if t.Transitive {
			transitive = append(transitive, t.Key)
		}
	}
	if len(names) > 0 {
		keys["aws:TagKeys"] = names
	}
	if len(transitive) > 0 {
		keys["sts:TransitiveTagKeys"] = transitive
	}
}

// roleTagKeys adds the tags of the role, replaced by the transitive ones that the session inherits.
func (s *Service) roleTagKeys(ctx context.Context, keys map[string][]string, roleARN string, inherited []access.Tag) error {
	role, err := s.IAM.RoleByARN(ctx, roleARN)
	if errors.Is(err, db.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	tags := maps.Clone(role.Tags)
	for name := range tags {
		for _, t := range inherited {
			if strings.EqualFold(name, t.Key) {
				tags[name] = t.Value
			}
		}
	}
	for name, value := range tags {
		keys["aws:ResourceTag/"+name] = []string{value}
		keys["iam:ResourceTag/"+name] = []string{value}
	}
	return nil
}

// checkMFA verifies and spends a code of an MFA device of the calling user, and reports whether there was one.
func (s *Service) checkMFA(ctx context.Context, p *access.Principal, serial, code *string) (bool, error) {
	switch {
	case serial == nil && code == nil:
		return false, nil
	case serial == nil || code == nil:
		return false, errAccessDenied.Msg("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")
	case p.Kind != policy.User:
		return false, errNoDevice
	}
	right, err := s.IAM.VerifyMFA(ctx, p.ID, *serial, *code)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return false, errNoDevice
	case err == nil && !right:
		return false, errAccessDenied.Msg("MultiFactorAuthentication failed with invalid MFA one time pass code.")
	}
	return right, err
}

var errNoDevice = errAccessDenied.Msg("MultiFactorAuthentication failed, unable to validate MFA code. Please verify your MFA serial number is valid and associated with this user.")

// inherited are the tags that the session of p hands on to the sessions of roles that it assumes.
func inherited(p *access.Principal) []access.Tag {
	if p.Session == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.Session.Tags), func(t access.Tag) bool { return !t.Transitive })
}

func sourceIdentity(p *access.Principal) string {
	if p.Session == nil {
		return ""
	}
	return p.Session.SourceIdentity
}

// sessionTags checks the tags that a caller passes. inherited are those of the calling session that must not be set anew.
func sessionTags(in []sts.Tag, transitive []string, inherited []access.Tag) ([]access.Tag, error) {
	var tags []access.Tag
	for _, t := range in {
		key := str(t.Key)
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, errInvalidParameter.Msg("Tag keys that start with aws: are reserved for system use.")
		}
		if slices.ContainsFunc(tags, func(o access.Tag) bool { return strings.EqualFold(o.Key, key) }) {
			return nil, errInvalidParameter.Msg("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		tags = append(tags, access.Tag{Key: key, Value: str(t.Value)})
	}
	for _, key := range transitive {
		i := slices.IndexFunc(tags, func(t access.Tag) bool { return strings.EqualFold(t.Key, key) })
		if i < 0 {
			return nil, errInvalidParameter.Msg("The specified transitive tag key must be included in the requested tags.")
		}
		tags[i].Transitive = true
	}
	for _, t := range tags {
		if slices.ContainsFunc(inherited, func(o access.Tag) bool { return strings.EqualFold(o.Key, t.Key) }) {
			return nil, errInvalidParameter.Msg("One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
	}
	return tags, nil
}

// AssumeRole implements sts:AssumeRole. That the caller may was decided before.
func (s *Service) AssumeRole(ctx context.Context, in *sts.AssumeRoleRequest) (*sts.AssumeRoleResponse, error) {
	p := access.PrincipalOf(ctx)
	if p == nil {
		return nil, awsapi.ErrMissingAuthentication
	}
	role, err := s.IAM.RoleByARN(ctx, *in.RoleArn)
	if errors.Is(err, db.ErrNotFound) { // deleted since
		return nil, errAccessDenied.Msg("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", p.ARN, *in.RoleArn)
	} else if err != nil {
		return nil, err
	}
	chained := p.Kind == policy.RoleSession
	lifetime, err := roleDuration(in.DurationSeconds, role, chained)
	if err != nil {
		return nil, err
	}
	tags, err := sessionTags(in.Tags, in.TransitiveTagKeys, inherited(p))
	if err != nil {
		return nil, err
	}
	document, arns, err := s.checkSessionPolicies(ctx, role.Account, in.Policy, in.PolicyArns)
	if err != nil {
		return nil, err
	}
	b := &bearer{kind: policy.RoleSession, account: role.Account, id: role.ID, session: access.Session{
		Name: *in.RoleSessionName, Chained: chained, Tags: append(inherited(p), tags...),
		SourceIdentity: cmp.Or(str(in.SourceIdentity), sourceIdentity(p)),
		Policy:         document, PolicyARNs: arns,
	}}
	out, err := s.issue(ctx, b, lifetime, in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleResponse{
		Credentials: out.wire(), AssumedRoleUser: assumedRoleUser(role, b.session.Name), PackedPolicySize: packedSize(out, &b.session),
		SourceIdentity: optional(b.session.SourceIdentity), SessionTokenSize: out.size(), SessionTokenUtilization: out.utilization(),
	}, nil
}

func assumedRoleUser(role *iam.Principal, session string) *sts.AssumedRoleUser {
	return &sts.AssumedRoleUser{AssumedRoleId: new(role.ID + ":" + session), Arn: new(sessionARN(role, session))}
}

// packedSize is absent where the call passed neither policies nor tags.
func packedSize(out *issued, session *access.Session) *int32 {
	if session.Policy == "" && len(session.PolicyARNs) == 0 && len(session.Tags) == 0 {
		return nil
	}
	return &out.packed
}

// roleDuration is how long a role session lasts.
func roleDuration(asked *int32, role *iam.Principal, chained bool) (time.Duration, error) {
	if asked == nil {
		return defaultDuration, nil
	}
	d := time.Duration(*asked) * time.Second
	switch {
	case chained && d > maxChained:
		return 0, errValidation.Msg("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	case d > role.MaxSession:
		return 0, errValidation.Msg("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return d, nil
}

// checkSessionPolicies checks the session policies that a caller passes: a document, and managed policies of the account.
func (s *Service) checkSessionPolicies(ctx context.Context, account string, document *string, descriptors []sts.PolicyDescriptorType) (string, []string, error) {
	if err := checkSessionPolicy(str(document)); err != nil {
		return "", nil, err
	}
	if len(descriptors) > maxSessionPolicy {
		return "", nil, errValidation.Msg("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", maxSessionPolicy)
	}
	var arns []string
	for _, d := range descriptors {
		text := str(d.Arn)
		a, err := arn.Parse(text)
		if err != nil {
			return "", nil, errValidation.Msg("%s is invalid", text)
		}
		src, err := s.IAM.ManagedPolicy(ctx, text)
		if err != nil {
			return "", nil, err
		}
		if src.Policy == nil || a.AccountID != "aws" && a.AccountID != account {
			return "", nil, sts.ErrMalformedPolicyDocument.Msg("Policy %s does not exist or is not attachable.", text)
		}
		arns = append(arns, text)
	}
	return str(document), arns, nil
}

func checkSessionPolicy(document string) error {
	if document == "" {
		return nil
	}
	err := policy.Validate(document, policy.KindSession)
	var bad *policy.Malformed
	var large *policy.TooLarge
	switch {
	case errors.As(err, &bad):
		return sts.ErrMalformedPolicyDocument.Msg("%s", bad.Message)
	case errors.As(err, &large):
		return sts.ErrPackedPolicyTooLarge.Msg("Packed policy consumes %d%% of allotted space, please use smaller policy.", percent(policy.Size(document), large.Limit))
	}
	return err
}

func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func optional(v string) *string {
	if v == "" {
		return nil
	}
	return &v
}
