package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	iamapi "usher/internal/api/iam"
	"usher/internal/awsapi"
)

// Trust is what `usher trust` sets up: an OIDC provider, and a role that the bearers of its tokens may assume, if audience and
// subject are the ones that are named.
type Trust struct {
	Account  string // "": the first
	Issuer   string // URL, as in iss
	Audience string
	Subject  string   // may hold the wildcards * and ?, but not only them
	Role     string   // name
	Policies []string // ARNs to attach to the role
	JWKS     string   // the issuer's keys, for one that this server cannot reach; empty: they are discovered
}

// TrustStep is one thing that was done, and the AWS CLI command that does the same, if there is one.
type TrustStep struct{ Did, Command string }

// Trust creates the provider, unless it is there, and the role. A role that is there already is left alone.
func (s *Server) Trust(ctx context.Context, t Trust) ([]TrustStep, error) {
	if t.Issuer == "" || t.Audience == "" || t.Role == "" {
		return nil, errors.New("issuer, audience and role must be named")
	}
	if strings.Trim(t.Subject, "*?") == "" {
		return nil, errors.New("the subject must say more than wildcards: every workload that the issuer vouches for could assume the role")
	}
	if t.Account == "" {
		accounts, err := s.iam.Accounts(ctx)
		if err != nil {
			return nil, err
		}
		t.Account = accounts[0].ID
	}
	ctx = awsapi.WithCaller(ctx, awsapi.Caller{AccountID: t.Account, ARN: "arn:aws:iam::" + t.Account + ":root", UserID: t.Account})
	if ok, err := s.iam.AccountExists(ctx, t.Account); err != nil || !ok {
		return nil, errors.Join(err, fmt.Errorf("there is no account %s", t.Account))
	}
	if _, err := s.iam.GetRole(ctx, &iamapi.GetRoleRequest{RoleName: &t.Role}); err == nil {
		return nil, fmt.Errorf("the role %s exists already; name another with --role", t.Role)
	} else if !errors.Is(err, iamapi.ErrNoSuchEntity) {
		return nil, err
	}
	for _, arn := range t.Policies {
		if p, err := s.iam.ManagedPolicy(ctx, arn); err != nil {
			return nil, err
		} else if p.Policy == nil {
			return nil, fmt.Errorf("there is no policy %s", arn)
		}
	}
	_, name, _ := strings.Cut(t.Issuer, "://")
	provider := "arn:aws:iam::" + t.Account + ":oidc-provider/" + name
	policy, err := t.policy(provider, name)
	if err != nil {
		return nil, err
	}

	createProvider := &iamapi.CreateOpenIDConnectProviderRequest{Url: &t.Issuer, ClientIDList: []string{t.Audience}}
	createRole := &iamapi.CreateRoleRequest{RoleName: &t.Role, AssumeRolePolicyDocument: &policy}
	for _, in := range []awsapi.Input{createProvider, createRole} { // as if they came in by the API
		v := awsapi.NewValidator(iamapi.Protocol.Style)
		if in.Validate(v); v.Err() != nil {
			return nil, v.Err()
		}
	}

	var done []TrustStep
	did := func(command, format string, args ...any) {
		done = append(done, TrustStep{fmt.Sprintf(format, args...), command})
	}
	_, err = s.iam.CreateOpenIDConnectProvider(ctx, createProvider)
	switch {
	case errors.Is(err, iamapi.ErrEntityAlreadyExists):
		err = s.iam.AddClientIDToOpenIDConnectProvider(ctx, &iamapi.AddClientIDToOpenIDConnectProviderRequest{OpenIDConnectProviderArn: &provider, ClientID: &t.Audience})
		did(fmt.Sprintf("aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn %s --client-id %s", quote(provider), quote(t.Audience)),
			"provider %s was there; it takes the audience %s", provider, t.Audience)
	case err == nil:
		did(fmt.Sprintf("aws iam create-open-id-connect-provider --url %s --client-id-list %s", quote(t.Issuer), quote(t.Audience)), "provider %s", provider)
	}
	if err != nil {
		return nil, err
	}
	if t.JWKS != "" {
		n, err := s.iam.SetProviderKeys(ctx, provider, []byte(t.JWKS))
		if err != nil {
			return nil, err
		}
		did("", "%d keys of the issuer are stored: it is never contacted; upload anew when they change", n)
	}
	role, err := s.iam.CreateRole(ctx, createRole)
	if err != nil {
		return nil, err
	}
	did(fmt.Sprintf("aws iam create-role --role-name %s --assume-role-policy-document %s", quote(t.Role), quote(policy)),
		"role %s, for the audience %s and the subject %s", *role.Role.Arn, t.Audience, t.Subject)
	for _, arn := range t.Policies {
		if err := s.iam.AttachRolePolicy(ctx, &iamapi.AttachRolePolicyRequest{RoleName: &t.Role, PolicyArn: &arn}); err != nil {
			return nil, err
		}
		did(fmt.Sprintf("aws iam attach-role-policy --role-name %s --policy-arn %s", quote(t.Role), quote(arn)), "policy %s attached", arn)
	}
	return done, nil
}

// policy is the trust policy of the role.
func (t *Trust) policy(provider, name string) (string, error) {
	type values map[string]string
	condition := map[string]values{"StringEquals": {name + ":aud": t.Audience}}
	if strings.ContainsAny(t.Subject, "*?") {
		condition["StringLike"] = values{name + ":sub": t.Subject}
	} else {
		condition["StringEquals"][name+":sub"] = t.Subject
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": values{"Federated": provider}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": condition,
	}}})
	return string(text), err
}

// quote makes one word of a shell.
func quote(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@=+,") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
